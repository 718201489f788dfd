package controlplane

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used since it started, as Linux tells it in /proc.
type Usage struct {
	// Started is exact to a few hundredths of a second.
	Started time.Time
	CPU     time.Duration
	// PeakKiB is the most memory that it ever held, NowKiB what it holds, and FileKiB what of that are pages of files.
	PeakKiB, NowKiB, FileKiB int
}

// tick is the unit in which Linux tells a process's time, whatever the kernel's own.
const tick = time.Second / 100

// Fields of /proc/PID/stat, counted from behind the name, which may have spaces.
const (
	userTime   = 11
	systemTime = 12
	startTime  = 19
)

// UsageOf reads what a process has used.
func UsageOf(pid int) (Usage, error) {
	var u Usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks [startTime + 1]time.Duration
	for _, at := range []int{userTime, systemTime, startTime} {
		n, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks[at] = time.Duration(n) * tick
	}
	u.CPU = ticks[userTime] + ticks[systemTime]
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return u, err
	}
	up, err := strconv.ParseFloat(strings.Fields(string(uptime))[0], 64)
	if err != nil {
		return u, fmt.Errorf("/proc/uptime: %w", err)
	}
	u.Started = time.Now().Add(ticks[startTime] - time.Duration(up*float64(time.Second)))

	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*int{"VmHWM": &u.PeakKiB, "VmRSS": &u.NowKiB, "RssFile": &u.FileKiB}[name]
		if into == nil {
			continue
		}
		if _, err := fmt.Sscanf(strings.TrimSpace(value), "%d kB", into); err != nil {
			return u, fmt.Errorf("/proc/%d/status: %q: %w", pid, line, err)
		}
	}
	if u.PeakKiB == 0 {
		return u, errors.New("this system does not tell what memory a process holds")
	}
	return u, nil
}

// Usage is what the process has used, its guard apart.
func (p *Process) Usage() (Usage, error) {
	guard := p.guard.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", guard, guard))
	if err != nil {
		return Usage{}, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		return Usage{}, fmt.Errorf("the guard of %s has children %q, and not one: %w", p.name, children, err)
	}
	return UsageOf(pid)
}
