package gang

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// holding is a HyperNode with members by name.
func holding(name string, tier int64, tierName, kind string, members ...string) *unstructured.Unstructured {
	list := make([]any, len(members))
	for i, member := range members {
		list[i] = map[string]any{"type": kind, "selector": map[string]any{"exactMatch": map[string]any{"name": member}}}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": name},
		"spec":     map[string]any{"tier": tier, "tierName": tierName, "members": list},
	}}
}

func setOf(t *testing.T, hyperNodes ...*unstructured.Unstructured) *hypernode.Set {
	set := hypernode.NewSet()
	for _, h := range hyperNodes {
		require.NoError(t, set.Add(h))
	}
	return set
}

// labelled are nodes n0, n1, …, with 8 free GPUs each, in racks by label.
func labelled(racks ...string) []fwk.NodeInfo {
	var nodes []fwk.NodeInfo
	for i, rack := range racks {
		nodes = append(nodes, nodeWith(fmt.Sprint("n", i), list("nvidia.com/gpu", "8"), nil, func(n *v1.Node) {
			n.Labels = map[string]string{"example.com/rack": rack}
		}))
	}
	return nodes
}

func byLabel(set HyperNodes) *Gang {
	return &Gang{levels: levels{{Name: "rack", NodeLabel: "example.com/rack"}}, hyperNodes: set, clusters: map[string]*cluster.Cluster{}}
}

// fabricOf draws the paths of all nodes.
func fabricOf(c *cluster.Cluster) []string {
	var out []string
	tree := c.Fabric().Tree()
	for node := range tree.Len() {
		out = append(out, fmt.Sprint(tree.Node(node), " ", tree.Path(tree.Depth(), tree.Of(tree.Depth(), node))))
	}
	return out
}

func TestHyperNodesAreTheFabricWhileThereAreAny(t *testing.T) {
	nodes := labelled("x", "x", "y", "y")
	set := setOf(t)
	g := byLabel(set)
	wish := gang.Wish{Required: gang.Level{Tier: 1}}
	require.Equal(t, []string{"n0 [x]", "n1 [x]", "n2 [y]", "n3 [y]"}, fabricOf(g.clusterFor([]gang.Wish{wish}, nodes)))

	require.NoError(t, set.Add(holding("b1", 3, "block", "HyperNode", "r1", "r2")))
	require.NoError(t, set.Add(holding("r1", 1, "", "Node", "n0", "n2")))
	c := g.clusterFor([]gang.Wish{wish}, nodes)
	require.Equal(t, []cluster.Level{{Name: "block"}, {Name: "tier-1"}}, c.Levels())
	require.Equal(t, []string{"n0 [b1 r1]", "n2 [b1 r1]", "n1 [n1 n1]", "n3 [n3 n3]"}, fabricOf(c))
	tree, helped := c.Fabric().Tree(), c.Helped()
	require.Same(t, tree, g.clusterFor([]gang.Wish{wish}, nodes).Fabric().Tree(), "nothing changed")
	require.Equal(t, helped, c.Helped())

	require.NoError(t, set.Add(holding("r2", 1, "", "Node", "n1")))
	require.Equal(t, []string{"n0 [b1 r1]", "n2 [b1 r1]", "n1 [b1 r2]", "n3 [n3 n3]"}, fabricOf(g.clusterFor([]gang.Wish{wish}, nodes)))
	require.Greater(t, c.Helped(), helped, "who was refused may fit now")

	nodes = append(nodes[1:], labelled("z")[0])
	require.Len(t, fabricOf(g.clusterFor([]gang.Wish{wish}, nodes)), 4)
	require.NoError(t, set.Replace(nil, ""))
	require.Equal(t, []string{"n1 [x]", "n2 [y]", "n3 [y]", "n0 [z]"}, fabricOf(g.clusterFor([]gang.Wish{wish}, nodes)))
}

func TestLevelsOfWishes(t *testing.T) {
	racks := setOf(t, holding("b", 4, "block", "HyperNode", "r"), holding("r", 2, "", "Node", "n0", "n1"))
	for name, c := range map[string]struct {
		set   *hypernode.Set
		level gang.Level
		depth int
		first string // the broadest level of the picture that the wish is looked up in
	}{
		"tier 1 without HyperNodes is the narrowest level": {setOf(t), gang.Level{Tier: 1}, 1, "rack"},
		"beyond all levels is the cluster":                 {setOf(t), gang.Level{Tier: 2}, 0, "rack"},
		"below all tiers is the node":                      {racks, gang.Level{Tier: 1}, 3, "block"},
		"a tier that is":                                   {racks, gang.Level{Tier: 2}, 2, "block"},
		"in a gap the one below":                           {racks, gang.Level{Tier: 3}, 2, "block"},
		"the highest":                                      {racks, gang.Level{Tier: 4}, 1, "block"},
		"beyond it still the highest":                      {racks, gang.Level{Tier: 9}, 1, "block"},
		"by the tier's name":                               {racks, gang.Level{TierName: "block"}, 1, "block"},
		"by the tier's name in our words":                  {racks, gang.Level{Name: "block"}, 1, "block"},
		"by the number of one without a name":              {racks, gang.Level{Name: "tier-2"}, 2, "block"},
		"a node":                                           {racks, gang.Level{Name: "kubernetes.io/hostname"}, 3, "block"},
		"by a node label key":                              {racks, gang.Level{Name: "example.com/rack"}, 1, "rack"},
		"by a configured level's name":                     {racks, gang.Level{Name: "rack"}, 1, "rack"},
	} {
		t.Run(name, func(t *testing.T) {
			clu := byLabel(c.set).clusterFor([]gang.Wish{{Required: c.level}}, labelled("x", "x"))
			require.Equal(t, c.first, clu.Levels()[0].Name)
			got, complaint := depth(clu, c.level)
			require.Empty(t, complaint)
			require.Equal(t, c.depth, got)
		})
	}
	_, complaint := depth(byLabel(racks).clusterFor(nil, labelled("x")), gang.Level{TierName: "rack", Source: `spec.networkTopology.highestTierName "rack"`})
	require.Equal(t, `spec.networkTopology.highestTierName "rack": no node carries such a level; the levels are: block, tier-2, node`, complaint)
}

func TestTheClosestHyperNodeIsNamed(t *testing.T) {
	set := setOf(t, holding("b1", 2, "", "HyperNode", "r1", "r2"), holding("r1", 1, "", "Node", "n0"), holding("r2", 1, "", "Node", "n1", "n2"))
	g := byLabel(set)
	wish := gang.Wish{Required: gang.Level{Tier: 1}}
	p := newProblem(klog.Background(), g.clusterFor([]gang.Wish{wish}, labelled("", "", "")), classesOf(podsWith(3, gpus("8")), noRole), 3, nil)
	require.Empty(t, p.wish(wish))
	_, why := g.solve(t.Context(), p)
	require.Equal(t, "TopologyTooNarrow: no tier-1 has 3 slots of 8 nvidia.com/gpu; the best, tier-1 r2 in b1, has 2", why.String())
}
