package gang

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

var (
	block = cluster.Level{Name: "block", NodeLabel: "example.com/block"}
	rack  = cluster.Level{Name: "rack", NodeLabel: "example.com/rack"}
	power = cluster.Level{Name: "example.com/power", NodeLabel: "example.com/power"}
)

func TestLevelsAreFoundByNameOrLabel(t *testing.T) {
	known := levels{block, rack}
	for word, want := range map[string]cluster.Level{"rack": rack, "example.com/rack": rack, "block": block} {
		got, ok := known.named(word)
		require.True(t, ok, word)
		require.Equal(t, want, got, word)
	}
	for _, word := range []string{"", "row", "example.com/row", "Rack", v1.LabelHostname} {
		_, ok := known.named(word)
		require.False(t, ok, word)
	}
}

func TestForeignLevels(t *testing.T) {
	hyperNodes := setOf(t, holding("b", 2, "block", "HyperNode", "r"), holding("r", 1, "", "Node", "n0")).Current()
	for name, c := range map[string]struct {
		required, preferred, slice string
		foreign, withHyperNodes    []cluster.Level
		all                        []cluster.Level // of a picture of its own
	}{
		"no wish":                             {},
		"a configured level":                  {required: "rack", withHyperNodes: []cluster.Level{rack}, all: []cluster.Level{rack}},
		"by its label":                        {required: "example.com/rack", withHyperNodes: []cluster.Level{rack}, all: []cluster.Level{rack}},
		"a level that HyperNodes have, too":   {required: "block", all: []cluster.Level{block}},
		"a tier's number":                     {required: "tier-1", all: []cluster.Level{{Name: "tier-1", NodeLabel: "tier-1"}}},
		"a node":                              {required: "node", preferred: v1.LabelHostname, slice: "host"},
		"a label":                             {required: power.Name, foreign: []cluster.Level{power}, withHyperNodes: []cluster.Level{power}, all: []cluster.Level{power}},
		"a word that is no label is nobody's": {required: "row", all: []cluster.Level{{Name: "row", NodeLabel: "row"}}},
		"the same label twice":                {required: power.Name, preferred: power.Name, foreign: []cluster.Level{power}, withHyperNodes: []cluster.Level{power}, all: []cluster.Level{power}},
		"a label and a configured level inside it": {required: power.Name, preferred: "rack", foreign: []cluster.Level{power}, withHyperNodes: []cluster.Level{power, rack}, all: []cluster.Level{power, rack}},
		"required, preferred and slice in order":   {required: "block", preferred: power.Name, slice: "rack", foreign: []cluster.Level{power}, withHyperNodes: []cluster.Level{power, rack}, all: []cluster.Level{block, power, rack}},
	} {
		t.Run(name, func(t *testing.T) {
			w := gang.Wish{Required: gang.Level{Name: c.required}, Preferred: gang.Level{Name: c.preferred}, Slice: gang.Level{Name: c.slice}}
			known := levels{block, rack}
			require.Equal(t, c.foreign, known.foreign(w, nil))
			require.Equal(t, c.withHyperNodes, known.foreign(w, hyperNodes))
			require.Equal(t, c.all, known.of([]gang.Wish{w}))
		})
	}
}

func TestAPictureForForeignLabelsHasTheLevelsOfAllWishes(t *testing.T) {
	whole := gang.Wish{Required: gang.Level{Name: power.Name}}
	part := gang.Wish{Required: gang.Level{Name: "rack"}, Preferred: gang.Level{Name: power.Name}}
	require.Equal(t, []cluster.Level{power, rack}, levels{block, rack}.of([]gang.Wish{whole, part}))
}

func TestDepthsOfLevels(t *testing.T) {
	c := cluster.New([]cluster.Level{block, rack})
	c.Update(racksOf(map[string]int{"b1/r1": 1, "b1/r2": 1}))
	for name, test := range map[string]struct {
		level gang.Level
		want  int
	}{
		"nothing":                  {gang.Level{}, 0},
		"the broadest":             {gang.Level{Name: "block"}, 1},
		"by label":                 {gang.Level{Name: "example.com/rack"}, 2},
		"by a tier's name":         {gang.Level{TierName: "rack"}, 2},
		"the node":                 {gang.Level{Name: "node"}, 3},
		"the node by its label":    {gang.Level{Name: v1.LabelHostname}, 3},
		"tier 1 is the narrowest":  {gang.Level{Tier: 1}, 2},
		"tier 2":                   {gang.Level{Tier: 2}, 1},
		"a tier beyond all levels": {gang.Level{Tier: 3}, 0},
		"a tier far beyond them":   {gang.Level{Tier: 1 << 20}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, complaint := depth(c, test.level)
			require.Empty(t, complaint)
			require.Equal(t, test.want, got)
		})
	}
	_, complaint := depth(c, gang.Level{Name: "row", Source: `annotation x "row"`})
	require.Equal(t, `annotation x "row": no node carries such a level; the levels are: block, rack, node`, complaint)
	_, complaint = depth(cluster.New(nil), gang.Level{Name: "rack", Source: "x"})
	require.Equal(t, "x: no node carries such a level; the levels are: node", complaint)
}

func TestAutoKeepsTheOrderOfEveryPreset(t *testing.T) {
	for _, name := range Presets() {
		last := -1
		for _, level := range presets[name] {
			at := slices.Index(presets[DefaultPreset], level)
			require.Greater(t, at, last, "%s: %s", name, level.Name)
			last = at
		}
	}
}

func TestPresetsAreLevelsThatAnybodyMayWrite(t *testing.T) {
	for _, name := range Presets() {
		if name == DefaultPreset { // in which providers share names, of which a cluster has one
			continue
		}
		require.NoError(t, (&Topology{Levels: presets[name]}).validate(field.NewPath("topology")), name)
	}
}

func TestAnNVL72IsADomain(t *testing.T) {
	for _, label := range []string{"nvidia.com/gpu.clique", gang.GPUCliqueKey} {
		var nodes []fwk.NodeInfo
		for tray := range 36 {
			nodes = append(nodes, nodeWith(fmt.Sprint("tray-", tray), list("nvidia.com/gpu", "4"), nil, func(n *v1.Node) {
				n.Labels = map[string]string{label: fmt.Sprint("cluster.", tray%2)}
			}))
		}
		for members, trays := range map[int]int{72: 18, 64: 16} {
			c := cluster.New(Topology{Preset: DefaultPreset}.clusterLevels())
			c.Update(nodes)
			solution, why := (&Gang{}).solve(t.Context(), newProblem(klog.Background(), c, classesOf(podsWith(members, gpus("1")), noRole), members, nil))
			require.Zero(t, why)
			require.Equal(t, 1, solution.Depth, "one clique holds it")
			require.Len(t, solution.Nodes(), trays, "whole trays are left")
		}
	}
}
