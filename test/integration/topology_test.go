package integration

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rackKey is the label of a world's racks: a key of its own, so that worlds do not see each other's.
func (w *world) rackKey() string { return "rack.example.com/" + w.ns }

// addRack adds a rack of so many nodes.
func (w *world) addRack(name string, nodes int) {
	w.t.Helper()
	w.addNodes(nodes, func(n *v1.Node) { n.Labels[w.rackKey()] = name })
}

// racks counts the bound pods with the prefix by rack.
func (w *world) racks(prefix string) map[string]int {
	w.t.Helper()
	counts := map[string]int{}
	for node, pods := range w.nodesOf(prefix) {
		n, err := w.Client.CoreV1().Nodes().Get(w.t.Context(), node, metav1.GetOptions{})
		require.NoError(w.t, err)
		counts[n.Labels[w.rackKey()]] += pods
	}
	return counts
}

// nodesOf counts the bound pods with the prefix by node.
func (w *world) nodesOf(prefix string) map[string]int {
	counts := map[string]int{}
	for _, p := range w.pods(w.t.Context(), prefix) {
		if p.Spec.NodeName != "" {
			counts[p.Spec.NodeName]++
		}
	}
	return counts
}

// wishing gives a PodGroup annotations, in pairs of key and value.
func wishing(pairs ...string) func(*unstructured.Unstructured) {
	annotations := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		annotations[pairs[i]] = pairs[i+1]
	}
	return func(group *unstructured.Unstructured) { group.SetAnnotations(annotations) }
}

func TestAGangStandsInOneRackIfItMust(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 0, func(w *world, d dialect) {
		w.addRack("narrow", 3)
		w.addRack("wide", 4)
		w.podGroup(d.groups, "fits", d.minimum(4), wishing("phalanx.dev/required-topology", w.rackKey()))
		w.podGroup(d.groups, "broad", d.minimum(5), wishing("phalanx.dev/required-topology", w.rackKey()))
		w.members(d, "broad", 0, 5, 8)
		w.waitSentence("broad", fmt.Sprintf("TopologyTooNarrow: no %s has 5 slots of 8 nvidia.com/gpu", w.rackKey()))
		w.members(d, "fits", 0, 4, 8)
		w.waitRunning("fits", 4)
		require.Equal(t, map[string]int{"wide": 4}, w.racks("fits"))
		require.Zero(t, w.bound(t.Context(), "broad"))
		w.addRack("broader", 5)
		w.waitRunning("broad", 5)
		require.Equal(t, map[string]int{"broader": 5}, w.racks("broad"))
	})
}

func TestAGangWithoutAWishIsPackedIntoBrokenNodes(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 3, func(w *world, d dialect) {
		w.create(w.pod(podSpec{name: "single", gpus: 2}))
		w.waitRunning("single", 1)
		w.podGroup(d.groups, "packed", d.minimum(6))
		w.members(d, "packed", 0, 6, 1)
		w.waitRunning("packed", 6)
		broken := w.pods(t.Context(), "single")[0].Spec.NodeName
		require.Equal(t, map[string]int{broken: 6}, w.nodesOf("packed"))
	})
}

func TestALateMemberAndAReplacementJoinTheirGangsRack(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 0, func(w *world, d dialect) {
		w.addRack("a", 4)
		w.addRack("b", 4)
		w.podGroup(d.groups, "ray", d.minimum(2), wishing("phalanx.dev/required-topology", w.rackKey()))
		w.members(d, "ray", 0, 2, 8)
		w.waitRunning("ray", 2)
		home := w.racks("ray")
		w.members(d, "ray", 2, 3, 8)
		w.waitRunning("ray", 3)
		w.deletePods("ray-1")
		w.members(d, "ray", 3, 4, 8)
		w.waitRunning("ray", 3)
		require.Len(t, home, 1)
		for rack := range home {
			require.Equal(t, map[string]int{rack: 3}, w.racks("ray"))
		}
	})
}

func TestSlicesStandInOneRackEach(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 0, func(w *world, d dialect) {
		w.addRack("a", 3)
		w.addRack("b", 3)
		w.addRack("c", 2)
		w.podGroup(d.groups, "sliced", d.minimum(6), wishing("phalanx.dev/slice-size", "2", "phalanx.dev/slice-topology", w.rackKey()))
		w.members(d, "sliced", 0, 6, 8)
		w.waitRunning("sliced", 6)
		require.Equal(t, map[string]int{"a": 2, "b": 2, "c": 2}, w.racks("sliced"))
		ofRank := map[string]string{}
		for _, p := range w.pods(t.Context(), "sliced") {
			n, err := w.Client.CoreV1().Nodes().Get(t.Context(), p.Spec.NodeName, metav1.GetOptions{})
			require.NoError(t, err)
			ofRank[p.Name] = n.Labels[w.rackKey()]
		}
		for rank := 0; rank < 6; rank += 2 {
			require.Equal(t, ofRank[fmt.Sprint("sliced-", rank)], ofRank[fmt.Sprint("sliced-", rank+1)])
		}
	})
}

func TestALevelThatDoesNotExistIsSaidSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 1)
	w.podGroup(volcano.groups, "lost", volcano.minimum(1), wishing("phalanx.dev/required-topology", "rak"))
	w.members(volcano, "lost", 0, 1, 8)
	w.eventually(sayingAboutAll(w, "lost", `GangInvalid: annotation phalanx.dev/required-topology "rak": no node carries such a level; the levels are: `))
}

// TestMembersThatDependOnEachOtherGetTheRightAnswer is about filters that judge a member by where its siblings stand.
func TestMembersThatDependOnEachOtherGetTheRightAnswer(t *testing.T) {
	siblings := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"job": name}}
	}
	for name, test := range map[string]struct {
		mutate func(w *world, p *v1.Pod)
		holds  func(w *world, pods []v1.Pod) bool
	}{
		"one member per node, by anti-affinity": {
			func(_ *world, p *v1.Pod) {
				p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{
					{LabelSelector: siblings("apart"), TopologyKey: v1.LabelHostname}}}}
			},
			func(w *world, _ []v1.Pod) bool { return len(w.nodesOf("apart")) == 4 },
		},
		"one member per node, by a host port": {
			func(_ *world, p *v1.Pod) {
				p.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 8080, HostPort: 8080}}
			},
			func(w *world, _ []v1.Pod) bool { return len(w.nodesOf("apart")) == 4 },
		},
		"as many members in every rack": {
			func(w *world, p *v1.Pod) {
				p.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: w.rackKey(), WhenUnsatisfiable: v1.DoNotSchedule, LabelSelector: siblings("apart")}}
			},
			func(w *world, _ []v1.Pod) bool {
				racks := w.racks("apart")
				return racks["a"] == 2 && racks["b"] == 2
			},
		},
		"all members in the rack of the first": {
			func(w *world, p *v1.Pod) {
				p.Spec.Affinity = &v1.Affinity{PodAffinity: &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{
					{LabelSelector: siblings("apart"), TopologyKey: w.rackKey()}}}}
			},
			func(w *world, _ []v1.Pod) bool { return len(w.racks("apart")) == 1 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, shared, 0)
			w.addRack("a", 4)
			w.addRack("b", 4)
			w.podGroup(volcano.groups, "apart", volcano.minimum(4))
			for i := range 4 {
				pod := w.pod(podSpec{name: fmt.Sprint("apart-", i), gpus: 1, labels: map[string]string{"job": "apart"}})
				volcano.join(pod, "apart")
				test.mutate(w, pod)
				w.create(pod)
			}
			w.waitRunning("apart", 4)
			require.True(t, test.holds(w, w.pods(t.Context(), "apart")), "nodes %v, racks %v", w.nodesOf("apart"), w.racks("apart"))
		})
	}
}

// TestSlicesHoldThoughMembersDependOnEachOther is about a gang that the solver cannot plan: what it wishes for holds all the same.
func TestSlicesHoldThoughMembersDependOnEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	w.addRack("a", 1)
	w.addRack("b", 3)
	w.addRack("c", 3)
	w.podGroup(volcano.groups, "sliced", volcano.minimum(4), wishing("phalanx.dev/slice-size", "2", "phalanx.dev/slice-topology", w.rackKey()))
	for i := range 4 {
		pod := w.pod(podSpec{name: fmt.Sprint("sliced-", i), gpus: 8, labels: map[string]string{"job": "sliced"}})
		pod.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{MaxSkew: 2, TopologyKey: w.rackKey(), WhenUnsatisfiable: v1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"job": "sliced"}}}}
		volcano.join(pod, "sliced")
		w.create(pod)
	}
	w.waitRunning("sliced", 4)
	require.Equal(t, map[string]int{"b": 2, "c": 2}, w.racks("sliced"))
}

// TestFiltersThatTheSolverDoesNotKnowHaveTheLastWord puts a foreign pod's anti-affinity in the way of the best plan.
func TestFiltersThatTheSolverDoesNotKnowHaveTheLastWord(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 0, func(w *world, d dialect) {
		w.addRack("best", 2)
		w.addRack("second", 3)
		hermit := w.pod(podSpec{name: "hermit", gpus: 0, mutate: func(p *v1.Pod) {
			p.Spec.NodeSelector[w.rackKey()] = "best"
			p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{
				{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"job": "planned"}}, TopologyKey: v1.LabelHostname}}}}
		}})
		w.create(hermit)
		w.waitRunning("hermit", 1)
		w.podGroup(d.groups, "planned", d.minimum(2), wishing("phalanx.dev/required-topology", w.rackKey()))
		for i := range 2 {
			pod := w.pod(podSpec{name: fmt.Sprint("planned-", i), gpus: 8, labels: map[string]string{"job": "planned"}})
			d.join(pod, "planned")
			w.create(pod)
		}
		w.waitRunning("planned", 2)
		require.Equal(t, map[string]int{"second": 2}, w.racks("planned"))
	})
}

// TestRanksStandInTheOrderOfTheFabric looks at a gang that needs two racks: neighbours in rank are neighbours in the fabric.
func TestRanksStandInTheOrderOfTheFabric(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	w.addRack("a", 2)
	w.addRack("b", 2)
	w.podGroup(volcano.groups, "ring", volcano.minimum(4), wishing("phalanx.dev/preferred-topology", w.rackKey()))
	w.members(volcano, "ring", 0, 4, 8)
	w.waitRunning("ring", 4)
	var order []string
	for i := range 4 {
		p, err := w.Client.CoreV1().Pods(w.ns).Get(t.Context(), fmt.Sprint("ring-", i), metav1.GetOptions{})
		require.NoError(t, err)
		n, err := w.Client.CoreV1().Nodes().Get(t.Context(), p.Spec.NodeName, metav1.GetOptions{})
		require.NoError(t, err)
		order = append(order, n.Labels[w.rackKey()])
	}
	require.True(t, slices.IsSorted(order), "ranks by rack: %v", order)
}

// TestRolesStandInRacksOfTheirOwn is about members whose roles state different wishes: each role is a sub-group.
func TestRolesStandInRacksOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	w.addRack("a", 2)
	w.addRack("b", 3)
	w.podGroup(volcano.groups, "serve", volcano.minimum(5))
	for role, count := range map[string]int{"prefill": 2, "decode": 3} {
		for i := range count {
			pod := w.pod(podSpec{name: fmt.Sprintf("serve-%s-%d", role, i), gpus: 8, annotations: map[string]string{"volcano.sh/task-spec": role}})
			volcano.join(pod, "serve")
			if role == "decode" { // those that say nothing may stand anywhere
				pod.Annotations["phalanx.dev/required-topology"] = w.rackKey()
			}
			w.create(pod)
		}
	}
	w.waitRunning("serve", 5)
	require.Equal(t, map[string]int{"b": 3}, w.racks("serve-decode"))
	require.Equal(t, map[string]int{"a": 2}, w.racks("serve-prefill"))
}

// TestVolcanosSubGroupsStandInOneCliqueEach is about replicas of a model, each of which must be whole in one NVLink clique: the
// narrowest level that any node here carries, which is Volcano's tier 1.
func TestVolcanosSubGroupsStandInOneCliqueEach(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	clique := func(name string, nodes int) {
		w.addNodes(nodes, func(n *v1.Node) { n.Labels[w.rackKey()], n.Labels["nvidia.com/gpu.clique"] = name, w.ns+"."+name })
	}
	clique("a", 2)
	clique("b", 2)
	clique("c", 1)
	spec := volcano.minimum(4)
	spec["subGroupPolicy"] = []any{map[string]any{
		"name": "replica", "subGroupSize": int64(2), "minSubGroups": int64(2), "matchLabelKeys": []any{"replica"},
		"labelSelector":   map[string]any{"matchLabels": map[string]any{"job": "model"}},
		"networkTopology": map[string]any{"mode": "hard", "highestTierAllowed": int64(1)},
	}}
	w.podGroup(volcano.groups, "model", spec)
	for i := range 4 {
		pod := w.pod(podSpec{name: fmt.Sprint("model-", i), gpus: 8, labels: map[string]string{"job": "model", "replica": fmt.Sprint(i / 2)}})
		volcano.join(pod, "model")
		w.create(pod)
	}
	w.waitRunning("model", 4)
	require.Equal(t, map[string]int{"a": 2, "b": 2}, w.racks("model"))
	require.Equal(t, w.racks("model-0"), w.racks("model-1"))
}

// TestBothLevelsAreHonouredTogether is about a gang that must be in one zone and would like to be in one rack.
func TestBothLevelsAreHonouredTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	zoneKey := "zone.example.com/" + w.ns
	for rack, zone := range map[string]string{"a": "north", "b": "north", "c": "south"} {
		w.addNodes(2, func(n *v1.Node) { n.Labels[w.rackKey()], n.Labels[zoneKey] = rack, zone })
	}
	w.podGroup(volcano.groups, "both", volcano.minimum(3), wishing("phalanx.dev/required-topology", zoneKey, "phalanx.dev/preferred-topology", w.rackKey()))
	w.members(volcano, "both", 0, 3, 8)
	w.waitRunning("both", 3)
	require.NotContains(t, w.racks("both"), "c", "the zone in the south has two nodes")
	w.podGroup(volcano.groups, "narrow", volcano.minimum(2), wishing("phalanx.dev/required-topology", zoneKey, "phalanx.dev/preferred-topology", w.rackKey()))
	w.members(volcano, "narrow", 0, 2, 8)
	w.waitRunning("narrow", 2)
	require.Equal(t, map[string]int{"c": 2}, w.racks("narrow"))
}
