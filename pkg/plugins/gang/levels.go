package gang

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// Level is a topology level in [GangArgs].
type Level struct {
	// Name is what the level is called in wishes and in sentences: "rack".
	Name string `json:"name"`
	// NodeLabel is the key of the node label whose value names a node's domain at this level.
	NodeLabel string `json:"nodeLabel"`
}

// Topology is the fabric's levels in [GangArgs]: a preset, or levels. Where the cluster has Volcano's HyperNodes, their tiers
// are the levels, and these hold for wishes that name them: see package hypernode.
type Topology struct {
	// Preset names a list of levels that is built in, where there are no levels; auto if unset.
	Preset string `json:"preset,omitempty"`
	// Levels are the levels, broadest first. A level whose label no node carries does not exist.
	Levels []Level `json:"levels,omitempty"`
}

// DefaultPreset serves where nothing is said.
const DefaultPreset = "auto"

// presets are the node labels by which the field writes a fabric down, broadest level first.
var presets = map[string][]Level{
	"zone": {{"zone", v1.LabelTopologyZone}},
	"topograph": {
		{"tier-2", "fabric.topograph.run/tier-2"}, {"tier-1", "fabric.topograph.run/tier-1"}, {"tier-0", "fabric.topograph.run/tier-0"},
		{"accelerator-domain", "accelerator.topograph.run/domain"}, {"accelerator-sub-domain", "accelerator.topograph.run/sub-domain"},
	},
	"nvidia-block": {
		{"datacenter", "network.topology.nvidia.com/datacenter"}, {"spine", "network.topology.nvidia.com/spine"},
		{"block", "network.topology.nvidia.com/block"}, {"accelerator", "network.topology.nvidia.com/accelerator"},
	},
	"nvidia-leaf": {
		{"core", "network.topology.nvidia.com/core"}, {"spine", "network.topology.nvidia.com/spine"},
		{"leaf", "network.topology.nvidia.com/leaf"}, {"accelerator", "network.topology.nvidia.com/accelerator"},
	},
	"aws": {
		{"network-layer-1", "topology.k8s.aws/network-node-layer-1"}, {"network-layer-2", "topology.k8s.aws/network-node-layer-2"},
		{"network-layer-3", "topology.k8s.aws/network-node-layer-3"},
	},
	"gke": {
		{"block", "cloud.google.com/gce-topology-block"}, {"sub-block", "cloud.google.com/gce-topology-subblock"},
		{"gce-host", "cloud.google.com/gce-topology-host"},
	},
	"oci": {{"network-block", "oci.oraclecloud.com/host.network_block_id"}, {"rack", "oci.oraclecloud.com/host.rack_id"}},
	// Both say the same, where both are there: one is GPU feature discovery's, one our reporter's.
	"nvlink": {{"nvlink-clique", "nvidia.com/gpu.clique"}, {"gpu-clique", gang.GPUCliqueKey}},
}

// nvidiaLevels are those of both presets of older topograph releases in one order, in which each of the two stands as well.
var nvidiaLevels = []Level{
	{"datacenter", "network.topology.nvidia.com/datacenter"}, {"core", "network.topology.nvidia.com/core"},
	{"spine", "network.topology.nvidia.com/spine"}, {"block", "network.topology.nvidia.com/block"},
	{"leaf", "network.topology.nvidia.com/leaf"}, {"accelerator", "network.topology.nvidia.com/accelerator"},
}

func init() {
	// auto is all of them: a cluster carries the labels of one provider, and levels that no node carries do not exist.
	presets[DefaultPreset] = slices.Concat(presets["zone"], nvidiaLevels,
		presets["topograph"], presets["aws"], presets["gke"], presets["oci"], presets["nvlink"])
}

// Presets returns the names of the built-in lists of levels, in order.
func Presets() []string {
	names := make([]string, 0, len(presets))
	for name := range presets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// clusterLevels returns the levels that arguments ask for.
func (t Topology) clusterLevels() []cluster.Level {
	levels := t.Levels
	if len(levels) == 0 {
		levels = presets[t.Preset]
	}
	out := make([]cluster.Level, len(levels))
	for i, level := range levels {
		out[i] = cluster.Level(level)
	}
	return out
}

// levels finds levels by the words in which gangs ask for them.
type levels []cluster.Level

// named returns a configured level by its name or its label.
func (l levels) named(name string) (cluster.Level, bool) {
	i := slices.IndexFunc(l, func(level cluster.Level) bool { return level.Name == name || level.NodeLabel == name })
	if i < 0 {
		return cluster.Level{}, false
	}
	return l[i], true
}

// isNode is true for the words that mean a single node.
func isNode(name string) bool { return name == v1.LabelHostname || name == "node" || name == "host" }

// foreign returns the node labels that a wish asks for and that are no level of the fabric, in the order broad to narrow that
// the wish itself implies. Where HyperNodes are the fabric, the configured levels are foreign.
func (l levels) foreign(w gang.Wish, hyperNodes *hypernode.Tree) []cluster.Level {
	var out []cluster.Level
	for _, level := range []gang.Level{w.Required, w.Preferred, w.Slice} {
		found, isConfigured := l.named(level.Name)
		if isNode(level.Name) || isConfigured && hyperNodes == nil || hyperNodes.Has(level.Name) {
			continue
		}
		if !isConfigured {
			if !strings.Contains(level.Name, "/") {
				continue
			}
			found = cluster.Level{Name: level.Name, NodeLabel: level.Name}
		}
		if !slices.Contains(out, found) {
			out = append(out, found)
		}
	}
	return out
}

// of returns the levels that wishes name, those of the whole gang first, broadest first: those that a picture for foreign labels has.
func (l levels) of(wishes []gang.Wish) []cluster.Level {
	var out []cluster.Level
	for _, w := range wishes {
		for _, level := range []gang.Level{w.Required, w.Preferred, w.Slice} {
			found, isKnown := l.named(level.Name)
			if !isKnown {
				found = cluster.Level{Name: level.Name, NodeLabel: level.Name}
			}
			if level.Name != "" && !isNode(level.Name) && !slices.Contains(out, found) {
				out = append(out, found)
			}
		}
	}
	return out
}

// depth returns the depth of a level in a cluster; complaint says so if there is no such level.
func depth(c *cluster.Cluster, level gang.Level) (depth int, complaint string) {
	have := c.Levels()
	switch {
	case level == gang.Level{}:
		return 0, ""
	case level.Tier > 0 && c.HyperNodes() != nil:
		return c.HyperNodes().Depth(level.Tier), ""
	case level.Tier > 0: // tier 1 is the narrowest level; beyond the broadest there is the cluster
		return max(0, len(have)+1-level.Tier), ""
	}
	name := level.Name
	if name == "" {
		name = level.TierName
	}
	for i := range have {
		if have[i].Name == name || have[i].NodeLabel == name {
			return i + 1, ""
		}
	}
	if isNode(name) {
		return len(have) + 1, ""
	}
	names := make([]string, len(have))
	for i := range have {
		names[i] = have[i].Name
	}
	return 0, fmt.Sprintf("%s: no node carries such a level; the levels are: %s", level.Source, strings.Join(append(names, "node"), ", "))
}
