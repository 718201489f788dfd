package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

func TestAWrongArgumentOfAPluginEndsTheStartWithItsName(t *testing.T) {
	t.Parallel()
	program, err := cluster.BuildScheduler(t.Context())
	require.NoError(t, err)
	kubeconfig := adminKubeconfig(t, shared, "wrong-arguments")
	for name, c := range map[string]struct{ plugin, args, want string }{
		"an unknown field":         {"Gang", "{scheduleTimeoutSecond: 60}", `unknown field "scheduleTimeoutSecond"`},
		"a value out of range":     {"Gang", "{scheduleTimeoutSeconds: 0}", "scheduleTimeoutSeconds: Invalid value: 0: must be at least 1"},
		"a value of another kind":  {"Gang", `{scheduleTimeoutSeconds: "soon"}`, "scheduleTimeoutSeconds"},
		"a negative duration":      {"Gang", "{repairTimeout: -1s}", `repairTimeout: Invalid value: "-1s": must be at least 0, which keeps no places`},
		"a wish for nothing known": {"Gang", "{afterRepair: Weep}", `afterRepair: Unsupported value: "Weep": supported values: "None", "Restart"`},
		"an unknown weight":        {"GPU", "{weights: {tightness: 1}}", `unknown field "weights.tightness"`},
		"a weight that is no good": {"GPU", "{weights: {fit: -1}}", "weights.fit: Invalid value: -1: must be from 0 to 100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "config.yaml")
			require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: %q}
leaderElection: {leaderElect: false}
profiles:
- schedulerName: wrong
  pluginConfig:
  - name: %s
    args: %s
`, kubeconfig, c.plugin, c.args), 0o600))
			out := runToItsError(t, program, "--config="+file, "--secure-port=0")
			require.Contains(t, out, c.want)
			require.Contains(t, out, c.plugin)
		})
	}
}

// runToItsError runs the scheduler with flags that it cannot start with, and returns all that it says.
func runToItsError(t *testing.T, program string, flags ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, flags...).CombinedOutput()
	require.NoError(t, ctx.Err(), "it started: %s", out)
	exit := &exec.ExitError{}
	require.ErrorAs(t, err, &exit, "%s", out)
	require.Equal(t, 1, exit.ExitCode())
	return string(out)
}

func TestTheVersionIsOursAndKubernetes(t *testing.T) {
	t.Parallel()
	program, err := cluster.BuildScheduler(t.Context())
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), program, "--version").Output()
	require.NoError(t, err)
	require.Regexp(t, `^Phalanx v\d+\.\d+\.\d+\S* \(Kubernetes v1\.37\.2\)\n$`, string(out))
}

func adminKubeconfig(t *testing.T, c *cluster.Cluster, name string) string {
	t.Helper()
	kubeconfig, err := c.Kubeconfig(name, "system:masters")
	require.NoError(t, err)
	path, err := c.WriteKubeconfig(name, kubeconfig)
	require.NoError(t, err)
	return path
}
