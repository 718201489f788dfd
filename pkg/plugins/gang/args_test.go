package gang

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/internal/arguments"
)

func TestArguments(t *testing.T) {
	for name, c := range map[string]struct {
		object runtime.Object
		want   int32
		err    string
	}{
		"nothing said":              {nil, DefaultScheduleTimeoutSeconds, ""},
		"an empty object":           {&GangArgs{}, DefaultScheduleTimeoutSeconds, ""},
		"a timeout":                 {&GangArgs{ScheduleTimeoutSeconds: ptr.To[int32](5)}, 5, ""},
		"a timeout of nothing":      {&GangArgs{ScheduleTimeoutSeconds: ptr.To[int32](0)}, 0, "pluginConfig of Gang: scheduleTimeoutSeconds: Invalid value: 0: must be at least 1"},
		"another plugin's argument": {&runtime.Unknown{Raw: []byte("{}")}, 0, "pluginConfig of Gang: its arguments must be of kind GangArgs in kubescheduler.config.k8s.io/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			args, err := arguments.Of[GangArgs](Name, c.object)
			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, *args.ScheduleTimeoutSeconds)
		})
	}
}

func TestArgumentsOfRepair(t *testing.T) {
	for name, c := range map[string]struct {
		args GangArgs
		want repair.Policy
		err  string
	}{
		"nothing said":   {GangArgs{}, repair.Policy{Timeout: 5 * time.Minute}, ""},
		"a duration":     {GangArgs{RepairTimeout: &metav1.Duration{Duration: time.Hour}}, repair.Policy{Timeout: time.Hour}, ""},
		"no time at all": {GangArgs{RepairTimeout: &metav1.Duration{}}, repair.Policy{}, ""},
		"less than that": {GangArgs{RepairTimeout: &metav1.Duration{Duration: -time.Second}}, repair.Policy{},
			`pluginConfig of Gang: repairTimeout: Invalid value: "-1s": must be at least 0, which keeps no places`},
		"a restart":     {GangArgs{AfterRepair: AfterRepairRestart}, repair.Policy{Timeout: 5 * time.Minute, Restart: true}, ""},
		"nothing after": {GangArgs{AfterRepair: AfterRepairNone}, repair.Policy{Timeout: 5 * time.Minute}, ""},
		"something else": {GangArgs{AfterRepair: "Weep"}, repair.Policy{},
			`pluginConfig of Gang: afterRepair: Unsupported value: "Weep": supported values: "None", "Restart"`},
	} {
		t.Run(name, func(t *testing.T) {
			policy, err := RepairPolicy(&c.args)
			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, policy)
		})
	}
}

func TestArgumentsOfTopology(t *testing.T) {
	level := func(name, label string) Level { return Level{Name: name, NodeLabel: label} }
	const words = "must be a word for the level in small letters, digits and dashes, other than node and host"
	for name, c := range map[string]struct {
		topology Topology
		want     []Level // the levels that come of it
		err      string
	}{
		"nothing said":               {Topology{}, presets["auto"], ""},
		"a preset":                   {Topology{Preset: "oci"}, []Level{level("network-block", "oci.oraclecloud.com/host.network_block_id"), level("rack", "oci.oraclecloud.com/host.rack_id")}, ""},
		"levels":                     {Topology{Levels: []Level{level("block", "example.com/block"), level("rack", "rack")}}, []Level{level("block", "example.com/block"), level("rack", "rack")}, ""},
		"an unknown preset":          {Topology{Preset: "azure"}, nil, `topology.preset: Unsupported value: "azure": supported values: "auto", "aws", "gke", "nvidia-block", "nvidia-leaf", "nvlink", "oci", "topograph", "zone"`},
		"a preset and levels":        {Topology{Preset: "aws", Levels: []Level{level("rack", "rack")}}, nil, "topology.levels: Forbidden: there is a preset already"},
		"a level without a name":     {Topology{Levels: []Level{level("", "rack")}}, nil, `topology.levels[0].name: Invalid value: "": ` + words},
		"a name in capitals":         {Topology{Levels: []Level{level("Rack", "rack")}}, nil, `topology.levels[0].name: Invalid value: "Rack": ` + words},
		"a name that means the node": {Topology{Levels: []Level{level("rack", "rack"), level("host", "h")}}, nil, `topology.levels[1].name: Invalid value: "host": ` + words},
		"one name twice":             {Topology{Levels: []Level{level("rack", "a"), level("rack", "b")}}, nil, `topology.levels[1].name: Duplicate value: "rack"`},
		"a label that is none":       {Topology{Levels: []Level{level("rack", "a rack")}}, nil, `topology.levels[0].nodeLabel: Invalid value: "a rack": must be the key of a node label`},
		"one label twice":            {Topology{Levels: []Level{level("a", "rack"), level("b", "rack")}}, nil, `topology.levels[1].nodeLabel: Duplicate value: "rack"`},
	} {
		t.Run(name, func(t *testing.T) {
			args, err := arguments.Of[GangArgs](Name, &GangArgs{Topology: c.topology})
			if c.err != "" {
				require.EqualError(t, err, "pluginConfig of Gang: "+c.err)
				return
			}
			require.NoError(t, err)
			var got []Level
			for _, l := range args.Topology.clusterLevels() {
				got = append(got, Level(l))
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestEveryPresetIsSound(t *testing.T) {
	require.Len(t, Presets(), len(presets))
	for _, name := range Presets() {
		t.Run(name, func(t *testing.T) {
			require.NotEmpty(t, presets[name])
			require.Subset(t, presets[DefaultPreset], presets[name])
			if name == DefaultPreset { // whose levels are of several providers, who use the same words
				return
			}
			written := slices.DeleteFunc(slices.Clone(presets[name]), func(l Level) bool {
				return l.NodeLabel == "cloud.google.com/gce-topology-host" // the machine of one node: "host" means that anyway
			})
			require.NoError(t, (&Topology{Levels: written}).validate(nil), "users could write it down themselves")
		})
	}
}

func TestArgumentsAreCopiedWhole(t *testing.T) {
	args := &GangArgs{ScheduleTimeoutSeconds: ptr.To[int32](5), RepairTimeout: &metav1.Duration{Duration: time.Hour}, Topology: Topology{Levels: []Level{{Name: "rack", NodeLabel: "rack"}}}}
	copied := args.DeepCopyObject().(*GangArgs)
	require.Equal(t, args, copied)
	*args.ScheduleTimeoutSeconds, args.Topology.Levels[0].Name = 6, "row"
	args.RepairTimeout.Duration = time.Minute
	require.Equal(t, time.Hour, copied.RepairTimeout.Duration)
	require.Equal(t, int32(5), *copied.ScheduleTimeoutSeconds)
	require.Equal(t, "rack", copied.Topology.Levels[0].Name)
}
