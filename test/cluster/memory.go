package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ResidentMiB is the memory that the scheduler holds, in MiB. An error where the system does not tell, or it does not run.
func (s *Scheduler) ResidentMiB() (int, error) {
	_, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return 0, err
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, file := range lines {
		raw, err := os.ReadFile(file)
		program, _, _ := strings.Cut(string(raw), "\x00")
		if err != nil || filepath.Base(program) != "phalanx-scheduler" || !strings.Contains(string(raw), "--secure-port="+port) {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kib, err := strconv.Atoi(strings.Fields(rest)[0])
				return kib / 1024, err
			}
		}
	}
	return 0, fmt.Errorf("no process of the scheduler at port %s tells what memory it holds", port)
}
