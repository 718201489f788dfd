package controlplane_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// TestFaults: what tests do to a control plane to see what others make of it.
func TestFaults(t *testing.T) {
	plane, client := start(t, controlplane.Options{})
	create := func(name string) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.CoreV1().ConfigMaps("default").Create(ctx, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		return err
	}
	t.Run("an API server that crashed is gone, and comes back as it was", func(t *testing.T) {
		require.NoError(t, create("before"))
		require.NoError(t, plane.CrashAPIServer(t.Context()))
		require.Error(t, create("meanwhile"))
		require.NoError(t, plane.RestartAPIServer(t.Context()))
		eventually(t, func(ctx context.Context) (string, error) {
			if _, err := client.CoreV1().ConfigMaps("default").Get(ctx, "before", metav1.GetOptions{}); err != nil {
				return "what was there before: " + err.Error(), nil
			}
			return "", nil
		})
	})
	t.Run("a frozen etcd takes nothing in until it is thawed", func(t *testing.T) {
		require.NoError(t, plane.FreezeEtcd())
		t.Cleanup(func() { _ = plane.ThawEtcd() }) // else it would not stop
		for tries := 0; create(fmt.Sprint("frozen-", tries)) == nil; tries++ {
			require.Less(t, tries, 1000, "the signal takes a moment to arrive")
		}
		require.NoError(t, plane.ThawEtcd())
		eventually(t, func(context.Context) (string, error) {
			if err := create("thawed"); err != nil {
				return err.Error(), nil
			}
			return "", nil
		})
	})
	t.Run("a process is frozen and thawed", func(t *testing.T) {
		path := plane.DataDir() + "/ice"
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		p, err := plane.StartProcess("ice", "/bin/sh", "-c", `echo running; exec tail -f "$0"`, path)
		require.NoError(t, err)
		eventually(t, func(context.Context) (string, error) { return lacks(p.LogPath(), "running\n") })
		for _, step := range []struct {
			act      func() error
			isFrozen bool
		}{{p.Freeze, true}, {p.Thaw, false}} {
			require.NoError(t, step.act())
			eventually(t, func(context.Context) (string, error) {
				if isStopped(t, path) != step.isFrozen {
					return fmt.Sprintf("a process that is frozen: %t", step.isFrozen), nil
				}
				return "", nil
			})
		}
		require.NoError(t, p.Freeze())
		assert.NoError(t, p.Kill(), "frozen as it is")
	})
}

// isStopped is true while the process with this in its command line, not its guard, is stopped by a signal.
func isStopped(t *testing.T, inCommandLine string) bool {
	t.Helper()
	for _, process := range processesOf(t, inCommandLine) {
		pid, name, _ := strings.Cut(process, " ")
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err == nil && name != "guard" {
			return strings.Contains(string(stat), ") T ")
		}
	}
	return false
}
