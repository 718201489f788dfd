package gang

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// roleByLabel is an account in which a label names a member's role.
type roleByLabel struct{ Account }

func (roleByLabel) Role(_ gang.Key, pod *v1.Pod) string { return pod.Labels["role"] }

// racksOf are nodes with 8 GPUs each, so many per rack, written as "b1/r1": 2.
func racksOf(count map[string]int) []fwk.NodeInfo {
	var nodes []fwk.NodeInfo
	var names []string
	for name := range count {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		block, rack, _ := strings.Cut(name, "/")
		for i := range count[name] {
			nodes = append(nodes, nodeWith(fmt.Sprintf("%s-%s-n%d", block, rack, i), list("cpu", "64", "nvidia.com/gpu", "8"), nil, func(n *v1.Node) {
				n.Labels = map[string]string{"example.com/block": block, "example.com/rack": rack}
			}))
		}
	}
	return nodes
}

var blocksAndRacks = []cluster.Level{{Name: "block", NodeLabel: "example.com/block"}, {Name: "rack", NodeLabel: "example.com/rack"}}

// roleMembers are members of a role with so many GPUs each.
func roleMembers(role string, count int, each string) []*v1.Pod {
	var pods []*v1.Pod
	for i := range count {
		pods = append(pods, podWith(fmt.Sprintf("%s-%d", role, i), gpus(each), func(p *v1.Pod) { p.Labels = map[string]string{"role": role} }))
	}
	return pods
}

func inOne(level string) gang.Wish {
	return gang.Wish{Required: gang.Level{Name: level, Source: "annotation " + level}}
}

// planned returns the racks that each role stands in, or why it stands nowhere.
func planned(t *testing.T, d ledger.Demand, nodes []fwk.NodeInfo, pods, standing []*v1.Pod, need int) (map[string][]string, string) {
	t.Helper()
	g := &Gang{account: roleByLabel{}}
	c := cluster.New(blocksAndRacks)
	c.Update(nodes)
	before := c.Fabric().Slots(c.Request(gpus("1")))
	before = slices.Clone(before)
	try := &try{demand: d, need: need, classes: classesOf(pods, func(p *v1.Pod) string { return p.Labels["role"] })}
	parts := g.partsOf(try, pods, standing)
	require.NotNil(t, parts)
	whole := newProblem(klog.Background(), c, try.classes, need, nil)
	wish := d.Wish
	wish.SliceSize, wish.Slice = 0, gang.Level{}
	require.Empty(t, whole.wish(wish))
	whole.standBeside(standing)
	if try.refused = needOfParts(try, parts); try.refused == (gang.Waiting{}) {
		g.arrange(t.Context(), try, whole, parts)
	}
	require.Equal(t, before, c.Fabric().Slots(c.Request(gpus("1"))), "what was reserved is given back")
	if try.refused != (gang.Waiting{}) {
		return nil, try.refused.String()
	}
	out := map[string][]string{}
	for _, pod := range pods {
		place, ok := try.plan[pod.UID]
		if !ok {
			continue
		}
		number, ok := c.Fabric().Number(place.node)
		require.True(t, ok)
		rack := strings.Join(c.Fabric().Tree().Path(2, c.Fabric().Tree().Of(2, number)), "/")
		if role := pod.Labels["role"]; !slices.Contains(out[role], rack) {
			out[role] = append(out[role], rack)
		}
	}
	return out, ""
}

func TestEachSubGroupStandsAsItWishesInsideTheGangsDomain(t *testing.T) {
	roles := ledger.Demand{
		Wish:      inOne("block"),
		SubGroups: []gang.SubGroup{{Name: "prefill", Wish: inOne("rack")}, {Name: "decode", Wish: inOne("rack")}},
	}
	for i := range roles.SubGroups { // a nil selector asks the members' own annotations, which these have not
		roles.SubGroups[i].Selector = labels.SelectorFromSet(labels.Set{"role": roles.SubGroups[i].Name})
	}
	for name, c := range map[string]struct {
		racks map[string]int
		pods  []*v1.Pod
		want  map[string][]string
		why   string
	}{
		"a rack for each": {
			map[string]int{"b1/r1": 2, "b1/r2": 3}, append(roleMembers("prefill", 2, "8"), roleMembers("decode", 3, "8")...),
			map[string][]string{"prefill": {"b1/r1"}, "decode": {"b1/r2"}}, "",
		},
		"both in one rack": {
			map[string]int{"b1/r1": 4}, append(roleMembers("prefill", 2, "8"), roleMembers("decode", 2, "8")...),
			map[string][]string{"prefill": {"b1/r1"}, "decode": {"b1/r1"}}, "",
		},
		"not in two blocks": {
			map[string]int{"b1/r1": 2, "b2/r1": 3, "b2/r2": 1}, append(roleMembers("prefill", 2, "8"), roleMembers("decode", 3, "8")...),
			nil, "TopologyTooNarrow: of 5 members that must be placed, only 4 fit together in one block, though each kind of them would fit alone",
		},
		"not one of them in two racks": {
			map[string]int{"b1/r1": 2, "b1/r2": 2, "b1/r3": 1}, append(roleMembers("prefill", 2, "8"), roleMembers("decode", 3, "8")...),
			nil, `TopologyTooNarrow: sub-group "decode": no rack inside block b1 has 3 slots of 8 nvidia.com/gpu; the best, rack r2 in b1, has 2`,
		},
		"the second block, if the first is too narrow for one of them": {
			map[string]int{"b1/r1": 2, "b1/r2": 2, "b1/r3": 1, "b2/r1": 3, "b2/r2": 3}, append(roleMembers("prefill", 2, "8"), roleMembers("decode", 3, "8")...),
			map[string][]string{"prefill": {"b2/r1"}, "decode": {"b2/r2"}}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, why := planned(t, roles, racksOf(c.racks), c.pods, nil, len(c.pods))
			require.Equal(t, c.why, why)
			if c.why == "" {
				for role, racks := range c.want {
					require.Len(t, got[role], len(racks), "%s in %v", role, got)
				}
			}
		})
	}
}

func TestVolcanosSubGroupsFormByLabel(t *testing.T) {
	var pods []*v1.Pod
	for i := range 4 {
		pods = append(pods, podWith(fmt.Sprintf("p-%d", i), gpus("8"), func(p *v1.Pod) {
			p.Labels = map[string]string{"role": fmt.Sprint("replica-", i/2), "replica": fmt.Sprint(i / 2)}
		}))
	}
	d := ledger.Demand{SubGroups: []gang.SubGroup{{Name: "replicas", Wish: inOne("rack"), Size: 2, Minimum: 2, Selector: labels.Everything(), MatchLabelKeys: []string{"replica"}}}}
	got, why := planned(t, d, racksOf(map[string]int{"b1/r1": 3, "b1/r2": 3}), pods, nil, 4)
	require.Empty(t, why)
	require.Len(t, got["replica-0"], 1)
	require.Len(t, got["replica-1"], 1)

	_, why = planned(t, d, racksOf(map[string]int{"b1/r1": 3, "b1/r2": 3}), pods[:3], nil, 3)
	require.Equal(t, `GangIncomplete: 1 of 2 sub-groups "replicas" have 2 members`, why)
}

func TestAReplacementJoinsItsSlice(t *testing.T) {
	nodes := racksOf(map[string]int{"b1/r1": 2, "b1/r2": 3})
	var pods []*v1.Pod
	for i := range 4 {
		pods = append(pods, podWith(fmt.Sprintf("ring-%d", i), gpus("8"), func(p *v1.Pod) {
			p.Labels = map[string]string{"role": fmt.Sprint("slice-", i/2)}
		}))
	}
	d := ledger.Demand{Wish: gang.Wish{SliceSize: 2, Slice: gang.Level{Name: "rack", Source: "annotation rack"}}}
	for rank, node := range map[int]string{0: "b1-r2-n0", 1: "b1-r2-n1", 2: "b1-r1-n0"} {
		pods[rank].Spec.NodeName = node
	}
	got, why := planned(t, d, nodes, pods[3:], pods[:3], 1)
	require.Empty(t, why)
	require.Equal(t, map[string][]string{"slice-1": {"b1/r1"}}, got)
}

func TestRolesStandInSlicesOfTheirOwn(t *testing.T) {
	d := ledger.Demand{Wish: gang.Wish{SliceSize: 2, Slice: gang.Level{Name: "rack", Source: "annotation rack"}}}
	pods := append(roleMembers("big", 2, "8"), roleMembers("small", 4, "4")...)
	got, why := planned(t, d, racksOf(map[string]int{"b1/r1": 2, "b1/r2": 2}), pods, nil, 6)
	require.Empty(t, why)
	require.Len(t, got["big"], 1)
	_, why = planned(t, d, racksOf(map[string]int{"b1/r1": 1, "b1/r2": 1, "b1/r3": 2}), append(pods, roleMembers("large", 2, "8")...), nil, 8)
	require.Equal(t, "Fragmented: of 8 members that must be placed, only 6 fit together, though each kind of them would fit alone", why)
}

// ofRoles makes a sub-group of each role, which wishes for one domain of a level, or for nothing.
func ofRoles(wish gang.Wish, roles ...string) ledger.Demand {
	d := ledger.Demand{}
	for _, role := range roles {
		d.SubGroups = append(d.SubGroups, gang.SubGroup{Name: role, Wish: wish, Selector: labels.SelectorFromSet(labels.Set{"role": role})})
	}
	return d
}

func TestPartsAreMovedForTheSakeOfThoseAfterThem(t *testing.T) {
	// Each alone stands best in the rack of 3 nodes that is left, whichever comes first: but the pairs must share the one of 4.
	d := ofRoles(inOne("rack"), "pair-a", "three-a", "pair-b", "three-b")
	pods := slices.Concat(roleMembers("pair-a", 2, "8"), roleMembers("three-a", 3, "8"), roleMembers("pair-b", 2, "8"), roleMembers("three-b", 3, "8"))
	got, why := planned(t, d, racksOf(map[string]int{"b1/r1": 4, "b1/r2": 3, "b1/r3": 3}), pods, nil, len(pods))
	require.Empty(t, why)
	require.Equal(t, []string{"b1/r1"}, got["pair-a"])
	require.Equal(t, []string{"b1/r1"}, got["pair-b"])
}

// TestWhatPartsMiss shows parts that are not weighed against each other: a may stand on n1 and n2, b on n1, c on n2 and n3.
// Whoever of a and c comes first takes what another needs, and in each of the orders that are tried one of them does.
func TestWhatPartsMiss(t *testing.T) {
	nodes := racksOf(map[string]int{"b1/r1": 3})
	for i, pools := range []string{"ab", "ac", "c"} {
		for _, pool := range pools {
			nodes[i].Node().Labels["pool-"+string(pool)] = "yes"
		}
	}
	var pods []*v1.Pod
	for _, role := range []string{"a", "b", "c"} {
		for _, pod := range roleMembers(role, 1, "8") {
			selecting("pool-"+role, "yes")(pod)
			pods = append(pods, pod)
		}
	}
	_, why := planned(t, ofRoles(gang.Wish{}, "a", "b", "c"), nodes, pods, nil, 3)
	require.Contains(t, why, "InsufficientGPUs: sub-group")
}
