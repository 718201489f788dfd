package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// tailLines is how much of a log an error carries.
	tailLines = 25
	// tailBytes bounds what is read to find these lines.
	tailBytes = 64 << 10
	// stopTimeout is how long a process may take to end after SIGTERM.
	stopTimeout = 10 * time.Second
)

// leash ties child processes to this one. It is a fifo that only this process holds open for writing and that every guard
// reads: see guard/main.go.
type leash struct {
	guard  string // path of the guard's binary
	fifo   string
	writer *os.File
}

func newLeash(guard, dir string) (*leash, error) {
	fifo := filepath.Join(dir, "leash")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		return nil, fmt.Errorf("making %s: %w", fifo, err)
	}
	// Opened for both, so that the open does not wait for a reader. Go closes it in every process that is executed from
	// here, which leaves this process as the only writer.
	writer, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &leash{guard: guard, fifo: fifo, writer: writer}, nil
}

// cut makes every guard kill its child. It may be called more than once.
func (l *leash) cut() error {
	if err := l.writer.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// script writes an executable that runs the program under a guard and passes its arguments on: envtest starts programs by
// their path alone.
func (l *leash) script(path, program string) error {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	text := fmt.Sprintf("#!/bin/sh\nexec %s %s %s \"$@\"\n", quote(l.guard), quote(l.fifo), quote(program))
	return os.WriteFile(path, []byte(text), 0o755)
}

// process is a guarded child that this package starts itself.
type process struct {
	name    string
	logPath string
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the child has ended
	err     error         // how it ended; valid once exited is closed
}

// start runs the program under a guard, with its output in logPath.
func (l *leash) start(name, program, logPath string, args ...string) (*process, error) {
	log, err := openLog(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{name: name, logPath: logPath, exited: make(chan struct{})}
	p.cmd = exec.Command(l.guard, append([]string{l.fifo, program}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		defer close(p.exited)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// failure is an error if the process has ended, with the tail of its log; nil while it runs.
func (p *process) failure() error {
	select {
	case <-p.exited:
	default:
		return nil
	}
	how := "it ended by itself"
	if p.err != nil {
		how = p.err.Error()
	}
	return withTail(fmt.Errorf("%s stopped: %s", p.name, how), p.logPath)
}

// stop ends the process. A process that ended before is an error: something went wrong that nobody noticed.
func (p *process) stop() error {
	if err := p.failure(); err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	select {
	case <-p.exited:
		return nil
	case <-patience.C:
	}
	// Only the guard is killed; its child goes with it by the parent-death signal, or when the leash is cut.
	_ = p.cmd.Process.Kill()
	<-p.exited
	return withTail(fmt.Errorf("%s did not stop within %s and was killed", p.name, stopTimeout), p.logPath)
}

// openLog opens a log for appending: several attempts to start a program leave their output one after the other.
func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

// withTail adds the end of a log to an error, which is where a process says why it failed.
func withTail(err error, logPath string) error {
	tail, readErr := logTail(logPath)
	if readErr != nil {
		return fmt.Errorf("%w (its log cannot be read: %v)", err, readErr)
	}
	if tail == "" {
		return fmt.Errorf("%w (%s is empty)", err, filepath.Base(logPath))
	}
	return fmt.Errorf("%w\n%s ends with:\n%s", err, filepath.Base(logPath), tail)
}

// logTail returns the last lines of a log.
func logTail(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if _, err := file.Seek(max(0, info.Size()-tailBytes), io.SeekStart); err != nil {
		return "", err
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return "", err
	}
	return lastLines(content, tailLines), nil
}

// lastLines returns at most n lines from the end.
func lastLines(text []byte, n int) string {
	lines := strings.Split(string(bytes.TrimRight(text, "\n")), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
