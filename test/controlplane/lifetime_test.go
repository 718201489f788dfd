package controlplane_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// TestParent: what becomes of a control plane when the process that runs it ends.
func TestParent(t *testing.T) {
	t.Run("killed without a chance to clean up, leaves no process", func(t *testing.T) {
		helper, data := startHelper(t)
		require.NoError(t, helper.Process.Kill())
		_ = helper.Wait()
		eventually(t, func(context.Context) (string, error) { return noProcessOf(t, data), nil })
	})

	t.Run("interrupted on its terminal, stops in order and leaves no process and no file", func(t *testing.T) {
		helper, data := startHelper(t)
		// What Ctrl-C does: a signal to the whole foreground process group.
		require.NoError(t, syscall.Kill(-helper.Process.Pid, syscall.SIGINT))
		assert.NoError(t, helper.Wait())
		assert.Empty(t, noProcessOf(t, data))
		assert.NoDirExists(t, data)
	})
}

// startHelper runs this test binary as a process with a control plane, and returns it with the data directory.
func startHelper(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	dir, err := controlplane.EnsureBinaries(t.Context(), os.Stderr)
	require.NoError(t, err)
	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperVariable+"="+dir, "TMPDIR="+t.TempDir())
	helper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output, err := helper.StdoutPipe()
	require.NoError(t, err)
	helper.Stderr = os.Stderr
	require.NoError(t, helper.Start())
	t.Cleanup(func() { _ = helper.Process.Kill() })

	lines := bufio.NewScanner(output)
	require.True(t, lines.Scan())
	data := lines.Text()
	// Four programs, each with its guard.
	require.Len(t, processesOf(t, data), 8, "the helper said: %s", data)
	return helper, data
}

// TestProcess: a program that is run beside the control plane.
func TestProcess(t *testing.T) {
	plane, _ := start(t, controlplane.Options{})
	require.NoError(t, os.WriteFile(plane.DataDir()+"/beside", nil, 0o600))
	run := func(t *testing.T, script string) *controlplane.Process {
		// A path in the command line makes the process findable.
		p, err := plane.StartProcess("beside", "/bin/sh", "-c", script, plane.DataDir()+"/beside")
		require.NoError(t, err)
		return p
	}
	beside := func(t *testing.T) []string { return processesOf(t, plane.DataDir()+"/beside") }

	t.Run("is stopped in order", func(t *testing.T) {
		p := run(t, `trap 'echo bye; exit 0' TERM; echo hello; while :; do :; done`)
		eventually(t, func(context.Context) (string, error) { return lacks(p.LogPath(), "hello\n") })
		assert.NoError(t, p.Failure())
		assert.NoError(t, p.Stop())
		missing, err := lacks(p.LogPath(), "hello\nbye\n")
		require.NoError(t, err)
		assert.Empty(t, missing)
		assert.Empty(t, beside(t))
	})

	t.Run("is killed as by a crash, and gone then", func(t *testing.T) {
		p := run(t, `echo running; exec tail -f "$0"`)
		eventually(t, func(context.Context) (string, error) { return lacks(p.LogPath(), "running\n") })
		require.NoError(t, p.Kill())
		assert.Empty(t, beside(t))
		assert.ErrorContains(t, p.Failure(), "beside ended: exit status 137")
		assert.NoError(t, p.Kill(), "a second time")
	})

	t.Run("that ended by itself says so with its last words when it is stopped", func(t *testing.T) {
		p := run(t, `echo cannot go on; exit 4`)
		<-p.Done()
		assert.ErrorContains(t, p.Stop(), "beside ended: exit status 4\nbeside.log ends with:\n")
		assert.ErrorContains(t, p.Stop(), "cannot go on")
	})

	t.Run("that nobody stopped ends with the control plane", func(t *testing.T) {
		run(t, `exec tail -f "$0"`)
		require.NotEmpty(t, beside(t))
		require.NoError(t, plane.Stop())
		assert.Empty(t, beside(t))
	})
}

// lacks says what a file does not end with.
func lacks(path, end string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil || strings.HasSuffix(string(content), end) {
		return "", err
	}
	return fmt.Sprintf("%q at the end of %q", end, content), nil
}

// TestGuard: what a guard does about the deaths around it.
func TestGuard(t *testing.T) {
	dir, err := controlplane.EnsureBinaries(t.Context(), os.Stderr)
	require.NoError(t, err)
	guard := filepath.Join(dir, "guard")

	// Stands for a child: it says that it runs, and its command line names the folder, so that processesOf finds it.
	script := func(t *testing.T, body string) (folder string, argv []string) {
		folder = t.TempDir()
		path := filepath.Join(folder, "child.sh")
		require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
		return folder, []string{"/bin/sh", path}
	}
	// Becomes another program, so that there is one process to look for.
	const sleeper = `echo running; exec tail -f "$0"`

	leash := func(t *testing.T, folder string) (string, *os.File) {
		fifo := filepath.Join(folder, "leash")
		require.NoError(t, syscall.Mkfifo(fifo, 0o600))
		writer, err := os.OpenFile(fifo, os.O_RDWR, 0)
		require.NoError(t, err)
		t.Cleanup(func() { writer.Close() })
		return fifo, writer
	}
	t.Run("passes the exit status on", func(t *testing.T) {
		folder, argv := script(t, "exit 7")
		fifo, _ := leash(t, folder)
		err := exec.Command(guard, append([]string{fifo}, argv...)...).Run()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		assert.Equal(t, 7, exit.ExitCode())
	})

	t.Run("kills its child when the asker is gone before it even looks", func(t *testing.T) {
		folder, argv := script(t, sleeper)
		fifo, writer := leash(t, folder)
		writer.Close()
		err := exec.Command(guard, append([]string{fifo}, argv...)...).Run()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		assert.Equal(t, 128+int(syscall.SIGKILL), exit.ExitCode())
	})

	t.Run("takes its child along when it is killed itself", func(t *testing.T) {
		folder, argv := script(t, sleeper)
		fifo, _ := leash(t, folder)
		cmd := exec.Command(guard, append([]string{fifo}, argv...)...)
		output, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		require.True(t, bufio.NewScanner(output).Scan())
		require.Len(t, processesOf(t, folder), 2)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		eventually(t, func(context.Context) (string, error) { return noProcessOf(t, folder), nil })
	})

	t.Run("passes a signal on once", func(t *testing.T) {
		folder, argv := script(t, `trap 'echo signalled; exit 3' TERM; echo running; while :; do :; done`)
		fifo, _ := leash(t, folder)
		cmd := exec.Command(guard, append([]string{fifo}, argv...)...)
		output, err := cmd.StdoutPipe()
		require.NoError(t, err)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(output)
		require.True(t, lines.Scan())
		// To the whole group, as envtest does.
		require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM))
		var said []string
		for lines.Scan() {
			said = append(said, lines.Text())
		}
		_ = cmd.Wait()
		assert.Equal(t, []string{"signalled"}, said)
		assert.Equal(t, 3, cmd.ProcessState.ExitCode())
	})
}

// noProcessOf says which processes of the folder are left, or "".
func noProcessOf(t *testing.T, folder string) string {
	t.Helper()
	if left := processesOf(t, folder); len(left) > 0 {
		return fmt.Sprintf("the end of %v", left)
	}
	return ""
}

// processesOf lists the processes that have the folder in their command line, as "pid name".
func processesOf(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var list []string
	for _, path := range paths {
		// A process may be gone by now, and a dead one that nobody has waited for has no command line.
		cmdline, _ := os.ReadFile(path)
		if bytes.Contains(cmdline, []byte(folder)) {
			pid := filepath.Base(filepath.Dir(path))
			program, _, _ := bytes.Cut(cmdline, []byte{0})
			list = append(list, pid+" "+filepath.Base(string(program)))
		}
	}
	slices.Sort(list)
	return list
}
