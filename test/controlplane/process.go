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
	"sync"
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

	mu       sync.Mutex
	children []*Process
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

// cut makes every guard kill its child, and returns when those that were started here are gone. It may be called more than
// once.
func (l *leash) cut() error {
	if err := l.writer.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.children {
		<-p.done
	}
	return nil
}

// script writes an executable that runs the program under a guard and passes its arguments on: envtest starts programs by
// their path alone, and keeps to itself what it started. The guard's process id is in <path>.pid.
func (l *leash) script(path, program string) error {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	text := fmt.Sprintf("#!/bin/sh\necho $$ > %s\nexec %s %s %s \"$@\"\n", quote(path+".pid"), quote(l.guard), quote(l.fifo), quote(program))
	return os.WriteFile(path, []byte(text), 0o755)
}

// Process is a child under a guard. Its methods may be called from several goroutines.
type Process struct {
	name    string
	logPath string
	guard   *exec.Cmd
	done    chan struct{} // closed when the child has ended
	err     error         // how it ended; valid once done is closed
}

// start runs the program under a guard, with its output in logPath.
func (l *leash) start(name, program, logPath string, args ...string) (*Process, error) {
	log, err := openLog(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &Process{name: name, logPath: logPath, done: make(chan struct{})}
	p.guard = exec.Command(l.guard, append([]string{l.fifo, program}, args...)...)
	p.guard.Stdout, p.guard.Stderr = log, log
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.guard.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	l.mu.Lock()
	l.children = append(l.children, p)
	l.mu.Unlock()
	go func() {
		defer close(p.done)
		p.err = p.guard.Wait()
	}()
	return p, nil
}

// LogPath is the file that has everything the process wrote.
func (p *Process) LogPath() string { return p.logPath }

// Done is closed when the process has ended, for whatever reason.
func (p *Process) Done() <-chan struct{} { return p.done }

// Failure is an error if the process has ended, with the tail of its log; nil while it runs.
func (p *Process) Failure() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	how := "exit status 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return withTail(fmt.Errorf("%s ended: %s", p.name, how), p.logPath)
}

// Stop asks the process to end, with SIGTERM, and waits until it has; one that does not listen is killed after a while. A
// process that had ended before is an error: something went wrong that nobody noticed.
func (p *Process) Stop() error {
	if err := p.Failure(); err != nil {
		return err
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	select {
	case <-p.done:
		return nil
	case <-patience.C:
	}
	return errors.Join(fmt.Errorf("%s did not stop within %s and was killed", p.name, stopTimeout), p.Kill())
}

// Kill ends the process with SIGKILL, as a crash would, and returns when it is gone.
func (p *Process) Kill() error {
	// The guard kills its child when it gets this signal, and ends when the child has.
	if err := p.signal(syscall.SIGUSR1); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Freeze stops the process in the middle of what it does, with SIGSTOP: time goes on without it. Thaw lets it go on.
func (p *Process) Freeze() error { return p.signal(syscall.SIGTSTP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(s os.Signal) error {
	if err := p.guard.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to %s: %w", s, p.name, err)
	}
	return nil
}

// openLog opens a log for appending: several attempts to start a program leave their output one after the other.
func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
}

// withTail adds the end of a log to an error, which is where a process says why it failed.
func withTail(err error, logPath string) error {
	tail, readErr := logTail(logPath)
	if readErr != nil {
		return fmt.Errorf("%w (its log cannot be read: %w)", err, readErr)
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
