package survive

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// small cuts a world down to so few nodes and members that all placements can be looked at.
func small(w *World) []*Gang {
	w.Nodes = w.Nodes[:4]
	w.Residents = slices.DeleteFunc(w.Residents, func(pod *v1.Pod) bool {
		return !slices.ContainsFunc(w.Nodes, func(n *v1.Node) bool { return n.Name == pod.Spec.NodeName })
	})
	for _, g := range w.Gangs {
		g.Pods = g.Pods[max(0, len(g.Pods)-3):] // the last ones, who are tied to each other
		g.Minimum = min(g.Minimum, len(g.Pods))
		g.MinPerRole = map[string]int{roleOf(g.Pods[0]): 1}
	}
	return w.Gangs
}

func factsOf(w *World, g *Gang) *Facts {
	f := &Facts{Nodes: w.Nodes, Pods: w.Residents, Volumes: map[string]*v1.PersistentVolume{}}
	for _, volume := range g.Volumes {
		claim := volume.Spec.ClaimRef
		f.Volumes[claim.Namespace+"/"+claim.Name] = volume
	}
	return f
}

// fits looks at all placements, one after the other: each is a gang that runs already, to be judged.
func fits(f *Facts, g *Gang, members int) bool {
	if members == len(g.Pods) {
		bound := Facts{Nodes: f.Nodes, Pods: slices.Clone(f.Pods), Volumes: f.Volumes}
		for _, pod := range g.Pods {
			if pod.Spec.NodeName != "" {
				bound.Pods = append(bound.Pods, pod)
			}
		}
		return len(bound.Pods) > len(f.Pods) && len(bound.Violations([]*Gang{g})) == 0
	}
	defer func() { g.Pods[members].Spec.NodeName = "" }()
	for _, node := range f.Nodes {
		g.Pods[members].Spec.NodeName = node.Name
		if fits(f, g, members+1) {
			return true
		}
	}
	g.Pods[members].Spec.NodeName = ""
	return fits(f, g, members+1)
}

// TestSearchAndJudgeAgree holds one against the other: a gang fits if and only if there is a placement that nothing can be
// said against.
func TestSearchAndJudgeAgree(t *testing.T) {
	outcomes := map[bool]int{}
	for seed := range uint64(60) {
		world := Draw(seed, "ns", 10)
		for _, g := range small(world) {
			f := factsOf(world, g)
			want := fits(f, g, 0)
			require.Equal(t, want, f.Fits(g), "seed %d, %s", seed, g)
			outcomes[want]++
		}
	}
	require.Greater(t, outcomes[true], 100, "gangs that fit")
	require.Greater(t, outcomes[false], 100, "gangs that do not")
}

func TestTheSameSeedDrawsTheSame(t *testing.T) {
	require.Equal(t, fmt.Sprint(Draw(7, "ns", 10).Gangs), fmt.Sprint(Draw(7, "ns", 10).Gangs))
	require.NotEqual(t, fmt.Sprint(Draw(7, "ns", 10).Gangs), fmt.Sprint(Draw(8, "ns", 10).Gangs))
}

// TestTheJudgeSeesWhatIsWrong breaks each rule once.
func TestTheJudgeSeesWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		wrong func(f *Facts, g *Gang, a, b *v1.Pod)
		want  string
	}{
		"nothing":       {func(*Facts, *Gang, *v1.Pod, *v1.Pod) {}, ""},
		"too many GPUs": {func(_ *Facts, _ *Gang, _, b *v1.Pod) { b.Spec.NodeName = "n0" }, "node n0 has too little nvidia.com/gpu for its pods"},
		"no such node":  {func(_ *Facts, _ *Gang, _, b *v1.Pod) { b.Spec.NodeName = "n9" }, "pod b is on node n9, which does not exist"},
		"a taint": {func(f *Facts, _ *Gang, _, _ *v1.Pod) {
			f.Nodes[1].Spec.Taints = []v1.Taint{{Key: "k", Effect: v1.TaintEffectNoExecute}}
		}, "pod b on node n1: the node has the taint k:NoExecute"},
		"a cordon":         {func(f *Facts, _ *Gang, _, _ *v1.Pod) { f.Nodes[1].Spec.Unschedulable = true }, "pod b on node n1: the node is unschedulable"},
		"a selector":       {func(_ *Facts, _ *Gang, a, _ *v1.Pod) { a.Spec.NodeSelector = map[string]string{"k": "v"} }, "pod a on node n0: the pod does not select the node"},
		"somebody repels":  {func(_ *Facts, _ *Gang, a, _ *v1.Pod) { repel(a, ZoneKey, map[string]string{roleLabel: "b"}) }, "pod a on node n0: b is where it must not be"},
		"somebody is away": {func(_ *Facts, _ *Gang, a, _ *v1.Pod) { attract(a, RackKey, map[string]string{roleLabel: "b"}) }, "pod a on node n0: nobody is beside it in its " + RackKey},
		"no quorum":        {func(_ *Facts, g *Gang, _, _ *v1.Pod) { g.Minimum = 3 }, "2 members of gang g are bound, it needs 3"},
		"a role is short":  {func(_ *Facts, g *Gang, _, _ *v1.Pod) { g.MinPerRole = map[string]int{"a": 2} }, "1 members of role a of gang g are bound, it needs 2"},
		"two racks":        {func(_ *Facts, g *Gang, _, _ *v1.Pod) { g.Required = RackKey }, "a and b of gang g are not in one " + RackKey},
		"a volume out of reach": {func(f *Facts, g *Gang, a, _ *v1.Pod) {
			g.mount("ns", "data", reachOf(f.Nodes[1], RackKey), a)
			f.Volumes = factsOf(&World{}, g).Volumes
		}, "pod a on node n0: volume ns-data is not reached from the node"},
	} {
		t.Run(name, func(t *testing.T) {
			f, g := &Facts{}, &Gang{Name: "g", Minimum: 2}
			for i, name := range []string{"a", "b"} {
				f.Nodes = append(f.Nodes, controlplane.NewNode(controlplane.FakeNode{Name: fmt.Sprint("n", i), GPUs: 8,
					Labels: map[string]string{ZoneKey: "z", RackKey: fmt.Sprint("r", i)}}))
				f.Pods = append(f.Pods, NewPod("ns", name, GPUs(8), map[string]string{gangLabel: "g", roleLabel: name}))
				f.Pods[i].Spec.NodeName = fmt.Sprint("n", i)
			}
			c.wrong(f, g, f.Pods[0], f.Pods[1])
			if c.want == "" {
				require.Empty(t, f.Violations([]*Gang{g}))
				return
			}
			require.Contains(t, f.Violations([]*Gang{g}), c.want)
		})
	}
}
