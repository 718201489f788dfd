package controlplane

import (
	"bytes"
	"context"
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

	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/util/wait"
)

// arguments is the command line for go that builds b into out. No debug information: it makes the big programs half as
// large and quicker to link, and a panic still names its functions.
func (b binary) arguments(out string) []string {
	return []string{
		"build", "-mod=readonly", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w " + b.ldflags), "-o", out, b.pkg,
	}
}

// build makes one binary. What is in place stays usable until the new one is complete, also for processes that run it.
func build(ctx context.Context, dir string, b binary, toolchain string) error {
	temp := filepath.Join(dir, "."+b.name+".new")
	defer os.Remove(temp)

	cmd := exec.CommandContext(ctx, "go", b.arguments(temp)...)
	cmd.Dir = b.module
	// Without cgo the result does not depend on a C compiler being there, and runs on any machine.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	// A group of its own, so that giving up ends the compilers too and not only the go command.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("go %s: %w\n%s", strings.Join(cmd.Args[1:], " "), err, lastLines(output.Bytes(), tailLines))
	}

	stamp, err := b.stamp(toolchain)
	if err != nil {
		return err
	}
	// The stamp goes first and comes last: at no moment does it vouch for a binary that it does not belong to.
	if err := os.Remove(stampPath(dir, b)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, b.name)); err != nil {
		return err
	}
	return os.WriteFile(stampPath(dir, b), []byte(stamp), 0o644)
}

// startProgress says what goes on, with the elapsed time counting on a terminal. The returned function ends the line.
func startProgress(w io.Writer, text string) func(error) {
	begin := time.Now()
	seconds := func() int { return int(time.Since(begin).Round(time.Second).Seconds()) }
	stop, stopped := make(chan struct{}), make(chan struct{})

	file, isFile := w.(*os.File)
	isTerminal := isFile && term.IsTerminal(int(file.Fd()))
	fmt.Fprint(w, text)
	if !isTerminal {
		fmt.Fprintln(w)
		close(stopped)
	} else {
		go func() {
			defer close(stopped)
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					fmt.Fprintf(w, "\r%s %d s", text, seconds())
				}
			}
		}()
	}
	return func(err error) {
		close(stop)
		<-stopped
		outcome := "done"
		if err != nil {
			outcome = "failed"
		}
		if isTerminal {
			fmt.Fprintf(w, "\r%s %s in %d s\n", text, outcome, seconds())
		} else {
			fmt.Fprintf(w, "  %s in %d s\n", outcome, seconds())
		}
	}
}

// lock takes an exclusive lock on the file, which the kernel drops when this process ends. waiting is called once if
// somebody else holds it.
func lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	tellOnce := sync.OnceFunc(waiting)
	err = wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(context.Context) (bool, error) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			tellOnce()
			return false, nil
		}
		if errors.Is(err, unix.EINTR) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		file.Close()
		return nil, err
	}
	// Closing the only descriptor of the lock drops it.
	return func() { file.Close() }, nil
}
