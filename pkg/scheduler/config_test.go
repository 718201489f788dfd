package scheduler

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	gangplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gang"
	gpuplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

func TestMain(m *testing.M) {
	if err := setOurGates(); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func isEnabled(set config.PluginSet, name string) bool {
	return slices.ContainsFunc(set.Enabled, func(p config.Plugin) bool { return p.Name == name })
}

func TestWithoutAFileOneProfileIsServedUnderALeaseOfItsOwn(t *testing.T) {
	cfg, err := defaultConfig()
	require.NoError(t, err)
	require.Equal(t, []string{"phalanx"}, profileNames(cfg))
	require.Equal(t, "phalanx-scheduler", cfg.LeaderElection.ResourceName)
	require.EqualValues(t, defaultQPS, cfg.ClientConnection.QPS)
}

func TestEveryProfileRunsOurPlugins(t *testing.T) {
	cfg, err := defaultConfig()
	require.NoError(t, err)
	for name, profile := range map[string]config.KubeSchedulerProfile{
		"upstream's default profile":  cfg.Profiles[0],
		"a profile that says nothing": {},
		"a profile that names ours already": {Plugins: &config.Plugins{MultiPoint: config.PluginSet{
			Enabled: []config.Plugin{{Name: gangplugin.Name}, {Name: names.GangScheduling}, {Name: gpuplugin.Name, Weight: 1}},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			profile := profile.DeepCopy()
			useOurPlugins(profile)
			all := profile.Plugins.MultiPoint
			for _, gone := range replaced {
				require.False(t, isEnabled(all, gone), gone)
			}
			for _, ours := range []string{gangplugin.Name, gangplugin.SortName, gpuplugin.Name} {
				count := 0
				for _, p := range all.Enabled {
					if p.Name == ours {
						count++
					}
				}
				require.Equal(t, 1, count, ours)
			}
			require.Equal(t, gangplugin.Name, profile.Plugins.PodGroupPostFilter.Enabled[0].Name)
			require.Contains(t, profile.Plugins.PodGroupPostFilter.Disabled, config.Plugin{Name: names.DefaultPreemption})
		})
	}
}

func TestTheGPUPluginMayBeTurnedOff(t *testing.T) {
	profile := config.KubeSchedulerProfile{Plugins: &config.Plugins{MultiPoint: config.PluginSet{
		Disabled: []config.Plugin{{Name: gpuplugin.Name}, {Name: gangplugin.Name}},
	}}}
	useOurPlugins(&profile)
	require.False(t, isEnabled(profile.Plugins.MultiPoint, gpuplugin.Name))
	require.True(t, isEnabled(profile.Plugins.MultiPoint, gangplugin.Name), "the Gang plugin may not")

	weightOf := func(profile config.KubeSchedulerProfile) int32 {
		useOurPlugins(&profile)
		all := profile.Plugins.MultiPoint.Enabled
		return all[slices.IndexFunc(all, func(p config.Plugin) bool { return p.Name == gpuplugin.Name })].Weight
	}
	require.EqualValues(t, gpuplugin.ScoreWeight, weightOf(config.KubeSchedulerProfile{}))
	require.EqualValues(t, 2, weightOf(config.KubeSchedulerProfile{Plugins: &config.Plugins{MultiPoint: config.PluginSet{
		Enabled: []config.Plugin{{Name: gpuplugin.Name, Weight: 2}},
	}}}))
}

func TestOurDefaultsFillWhatAFileLeavesOut(t *testing.T) {
	for name, c := range map[string]struct {
		file  string
		qps   float32
		burst int32
	}{
		"nothing about the client": {"profiles: []", defaultQPS, defaultBurst},
		"a rate of its own":        {"clientConnection: {qps: 7, burst: 9}", 50, 100},
		"a rate without a burst":   {"clientConnection: {qps: 7}", 50, defaultBurst},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			require.NoError(t, os.WriteFile(path, []byte(c.file), 0o600))
			// What upstream's loader makes of a file that says nothing; a rate that the file states would stand there instead.
			cfg := &config.KubeSchedulerConfiguration{}
			cfg.ClientConnection.QPS, cfg.ClientConnection.Burst = 50, 100
			cfg.LeaderElection.ResourceName = "kube-scheduler"
			require.NoError(t, ourDefaults(cfg, path))
			require.Equal(t, c.qps, cfg.ClientConnection.QPS)
			require.Equal(t, c.burst, cfg.ClientConnection.Burst)
			require.Equal(t, Name, cfg.LeaderElection.ResourceName)
		})
	}
}
