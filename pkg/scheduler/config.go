package scheduler

import (
	"fmt"
	"os"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	gangplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gang"
	gpuplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

const (
	// DefaultProfile is the scheduler name that is served where no configuration file says otherwise.
	DefaultProfile = "phalanx"
	// defaultQPS and defaultBurst take the place of kube-scheduler's 50 and 100 requests a second, at which a gang of 1,000
	// would be half started for 20 s. The API server's own priority and fairness protects it better than a slow client.
	defaultQPS   = 2000
	defaultBurst = 4000
	// upstreamLease is the lease of the default scheduler, which must not be ours.
	upstreamLease = "kube-scheduler"
)

// defaultConfig is what is served without a configuration file: upstream's defaults, but for profile, rate and lease.
func defaultConfig() (*config.KubeSchedulerConfiguration, error) {
	cfg, err := latest.Default()
	if err != nil {
		return nil, err
	}
	cfg.Profiles[0].SchedulerName = DefaultProfile
	cfg.ClientConnection.QPS, cfg.ClientConnection.Burst = defaultQPS, defaultBurst
	cfg.LeaderElection.ResourceName = Name
	return cfg, nil
}

// stated is the part of a configuration file whose absence matters: upstream's loader fills in its own defaults, after
// which nobody can tell them from the user's words.
type stated struct {
	ClientConnection struct {
		QPS   *float32 `json:"qps"`
		Burst *int32   `json:"burst"`
	} `json:"clientConnection"`
}

// ourDefaults puts our defaults where a configuration file left upstream's.
func ourDefaults(cfg *config.KubeSchedulerConfiguration, file string) error {
	if cfg.LeaderElection.ResourceName == upstreamLease {
		cfg.LeaderElection.ResourceName = Name
	}
	if file == "" {
		return nil
	}
	raw, err := os.ReadFile(file) // #nosec G304 -- whoever starts the program names its configuration
	if err != nil {
		return err
	}
	var said stated
	if err := yaml.Unmarshal(raw, &said); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if said.ClientConnection.QPS == nil {
		cfg.ClientConnection.QPS = defaultQPS
	}
	if said.ClientConnection.Burst == nil {
		cfg.ClientConnection.Burst = defaultBurst
	}
	return nil
}

// replaced are the core's plugins whose work ours does.
var replaced = []string{names.GangScheduling, names.TopologyPlacementGenerator, names.PodGroupPodsCount, names.PrioritySort}

// useOurPlugins makes a profile run our plugins, however little its configuration says of them.
func useOurPlugins(profile *config.KubeSchedulerProfile) {
	if profile.Plugins == nil {
		profile.Plugins = &config.Plugins{}
	}
	p := profile.Plugins
	for _, set := range []*config.PluginSet{&p.MultiPoint, &p.PreEnqueue, &p.QueueSort, &p.Permit, &p.PlacementGenerate, &p.PlacementScore} {
		set.Enabled = slices.DeleteFunc(set.Enabled, func(e config.Plugin) bool { return slices.Contains(replaced, e.Name) })
	}
	for _, ours := range []config.Plugin{{Name: gangplugin.SortName}, {Name: gangplugin.Name}, {Name: gpuplugin.Name, Weight: gpuplugin.ScoreWeight}} {
		isOurs := func(e config.Plugin) bool { return e.Name == ours.Name }
		// Without the GPU plugin gangs still run, by the counter of GPUs alone: whoever turns it off has a reason.
		isOff := ours.Name == gpuplugin.Name && slices.ContainsFunc(p.MultiPoint.Disabled, isOurs)
		if !isOff && !slices.ContainsFunc(p.MultiPoint.Enabled, isOurs) {
			p.MultiPoint.Enabled = append(p.MultiPoint.Enabled, ours)
		}
	}
	// The core's preemption for groups tries victims one at a time, with the whole gang each time: thousands of them stall
	// the loop. Single pods keep theirs.
	p.PodGroupPostFilter.Disabled = append(p.PodGroupPostFilter.Disabled, config.Plugin{Name: names.DefaultPreemption})
	// Ours is asked first: it ends the matter where no member was tried, which others do not expect.
	p.PodGroupPostFilter.Enabled = append([]config.Plugin{{Name: gangplugin.Name}},
		slices.DeleteFunc(p.PodGroupPostFilter.Enabled, func(e config.Plugin) bool { return e.Name == gangplugin.Name })...)
}

// argsOf returns the arguments of our plugin Gang in a profile, nil if it states none.
func argsOf(profile *config.KubeSchedulerProfile) runtime.Object {
	for _, plugin := range profile.PluginConfig {
		if plugin.Name == gangplugin.Name {
			return plugin.Args
		}
	}
	return nil
}

// repairPolicies returns what the configuration says of gangs that lost members, by scheduler name.
func repairPolicies(cfg *config.KubeSchedulerConfiguration) (map[string]repair.Policy, error) {
	policies := map[string]repair.Policy{}
	for i := range cfg.Profiles {
		policy, err := gangplugin.RepairPolicy(argsOf(&cfg.Profiles[i]))
		if err != nil {
			return nil, fmt.Errorf("profile %q: %w", cfg.Profiles[i].SchedulerName, err)
		}
		policies[cfg.Profiles[i].SchedulerName] = policy
	}
	return policies, nil
}

// profileNames returns the scheduler names that the configuration serves.
func profileNames(cfg *config.KubeSchedulerConfiguration) []string {
	out := make([]string, 0, len(cfg.Profiles))
	for _, profile := range cfg.Profiles {
		out = append(out, profile.SchedulerName)
	}
	return out
}
