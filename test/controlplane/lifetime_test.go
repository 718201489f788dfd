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

// helperReady is what the helper prints once its control plane runs.
const helperReady = "helper: ready"

// TestNothingOutlivesTheParent kills a process that runs a control plane, without a chance to clean up.
func TestNothingOutlivesTheParent(t *testing.T) {
	_, err := controlplane.EnsureBinaries(t.Context(), os.Stderr)
	require.NoError(t, err)
	data := t.TempDir()

	helper := exec.Command(os.Args[0])
	helper.Env = append(os.Environ(), helperDataDir+"="+data)
	output, err := helper.StdoutPipe()
	require.NoError(t, err)
	helper.Stderr = os.Stderr
	require.NoError(t, helper.Start())
	defer helper.Process.Kill()

	lines := bufio.NewScanner(output)
	var said []string
	for lines.Scan() && lines.Text() != helperReady {
		said = append(said, lines.Text())
	}
	running := processesOf(t, data)
	// Four programs, each with its guard.
	require.Len(t, running, 8, "the helper said: %s", strings.Join(said, "\n"))

	require.NoError(t, helper.Process.Signal(syscall.SIGKILL))
	_ = helper.Wait()
	eventually(t, func(context.Context) (string, error) {
		if left := processesOf(t, data); len(left) > 0 {
			return fmt.Sprintf("the end of %v", left), nil
		}
		return "", nil
	})
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
		eventually(t, func(context.Context) (string, error) {
			if left := processesOf(t, folder); len(left) > 0 {
				return fmt.Sprintf("the end of %v", left), nil
			}
			return "", nil
		})
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
