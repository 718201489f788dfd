// Command guard runs one command and makes sure that it does not outlive the process that asked for it.
//
//	guard <fifo> <command> [argument ...]
//
// The asker holds the only write end of the fifo. When it goes away, by whatever death, the kernel closes that end, guard
// reads the end of file, kills the command and exits. A fifo needs no thread of the asker to stay alive, as a
// parent-death signal would, and no process id that could be used again.
//
// If guard itself is killed, the parent-death signal of Linux takes the command along: guard forks from its main thread,
// which lives as long as guard does.
//
// Signals that end a process are passed on to the command, which has a process group of its own, so that it sees each of
// them once: kube-apiserver takes a second SIGTERM as an order to stop at once. SIGUSR1 becomes SIGKILL and SIGTSTP becomes
// SIGSTOP, which guard could not pass on: they are how a crash and a frozen process are played. SIGCONT thaws the command. The
// exit status is the command's.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// exitCannotRun is the status a shell gives for a command that it could not start.
const exitCannotRun = 127

func init() {
	// The main goroutine runs on the main thread from here on: the parent-death signal is sent when the thread that
	// forked ends, and this one does not end before the process.
	runtime.LockOSThread()
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: guard <fifo> <command> [argument ...]")
		os.Exit(2)
	}
	status, err := run(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
	}
	os.Exit(status)
}

func run(fifo, path string, args []string) (int, error) {
	// Without O_NONBLOCK the open would wait for a writer, for ever if the asker is gone already. With it, the first read
	// reports the end of file in that case.
	pipe, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return exitCannotRun, err
	}

	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGTSTP, syscall.SIGCONT)

	cmd := exec.Command(path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return exitCannotRun, err
	}

	go func() {
		for s := range signals {
			switch s {
			case syscall.SIGUSR1:
				s = syscall.SIGKILL
			case syscall.SIGTSTP:
				s = syscall.SIGSTOP
			}
			_ = cmd.Process.Signal(s)
		}
	}()
	go func() {
		// Nobody writes: the copy ends when the asker does.
		_, _ = io.Copy(io.Discard, pipe)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}()

	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, isUnix := exit.Sys().(syscall.WaitStatus); isUnix && status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	if err != nil {
		return exitCannotRun, err
	}
	return 0, nil
}
