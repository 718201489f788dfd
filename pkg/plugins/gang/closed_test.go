package gang

import (
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

// wards closes a node to all pods with GPUs and another to those that wish for memory, and doubts a third.
type wards struct{ sick, leaky, degraded string }

func (*wards) Epoch() uint64 { return 0 }

func (w *wards) IsDoubtful(info fwk.NodeInfo) bool { return info.Node().Name == w.degraded }

func (w *wards) Refusal(info fwk.NodeInfo, need gpu.Need) (string, bool) {
	switch name := info.Node().Name; {
	case name == w.sick:
		return "node(s) had an unhealthy GPU", false
	case name == w.leaky && need.MemoryMiB > 0:
		return "node(s) had a GPU with less free memory than wished", false
	}
	return "", false
}

// profileOf is a profile with these filters; nothing else of it is asked for.
type profileOf struct {
	fwk.Handle
	filters []string
}

func (p profileOf) ListPlugins() *config.Plugins {
	out := &config.Plugins{}
	for _, name := range p.filters {
		out.Filter.Enabled = append(out.Filter.Enabled, config.Plugin{Name: name})
	}
	return out
}

func TestTheSolverKnowsWhichNodesReportsClose(t *testing.T) {
	wishing := &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{gang.GPUMemoryKey: "40Gi"}}}
	for name, c := range map[string]struct {
		pods    []*v1.Pod
		group   *schedulingv1beta1.PodGroup
		filters []string
		want    string // "" if it fits
		nodes   []int  // then
	}{
		"members with GPUs": {podsWith(4, gpus("8")), nil, []string{gpu.Name},
			"InsufficientGPUs: 4 members need 32 nvidia.com/gpu, 24 are free on 3 nodes; 1 node excluded: 1 an unhealthy GPU", nil},
		"members that wish for memory": {podsWith(3, gpus("8")), wishing, []string{gpu.Name},
			"InsufficientGPUs: 3 members need 24 nvidia.com/gpu, 16 are free on 2 nodes; 2 nodes excluded: 1 a GPU with less free memory than wished, 1 an unhealthy GPU", nil},
		"fewer members, which do without the nodes":       {podsWith(3, gpus("8")), nil, []string{gpu.Name}, "", []int{1, 2, 3}},
		"members without GPUs":                            {podsWith(4, list("cpu", "64")), nil, []string{gpu.Name}, "", []int{0, 1, 2, 3}},
		"a profile without the filter closes no node":     {podsWith(4, gpus("8")), nil, []string{"NodeResourcesFit"}, "", []int{0, 1, 2, 3}},
		"resources of other names are none of its matter": {podsWith(4, list("nvidia.com/mig-1g.10gb", "7")), nil, []string{gpu.Name}, "", []int{0, 1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			nodes, clu := gpuNodes(8, 8, 8, 8), cluster.New(nil)
			for _, node := range nodes {
				node.Node().Status.Allocatable["nvidia.com/mig-1g.10gb"] = gpus("7")["nvidia.com/gpu"]
				node.SetNode(node.Node())
			}
			clu.Update(nodes)
			g := &Gang{handle: profileOf{filters: c.filters}, gpus: &wards{sick: nodes[0].Node().Name, leaky: nodes[1].Node().Name}}
			p := newProblem(klog.Background(), clu, classesOf(c.pods, noRole), len(c.pods), nil)
			g.closeNodes(&try{group: c.group}, p)
			solution, refusal := g.solveOnce(p)
			if c.want == "" {
				require.Nil(t, refusal)
				require.Equal(t, c.nodes, solution.Nodes())
				return
			}
			require.NotNil(t, refusal)
			require.Equal(t, c.want, p.waiting(refusal).String())
			require.Contains(t, p.fingerprint(), "Count:8", "what is wished is part of the problem")
		})
	}
}

func TestDoubtfulNodesAreLeftAloneWhereThatCostsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		racks   map[string]int // nodes of 8 GPUs each: the first one of r1 is doubtful
		members int
		want    []string
	}{
		"another node of the rack will do":                {map[string]int{"b1/r1": 3}, 2, []string{"b1-r1-n1", "b1-r1-n2"}},
		"another rack will do":                            {map[string]int{"b1/r1": 2, "b1/r2": 2}, 2, []string{"b1-r2-n0", "b1-r2-n1"}},
		"all nodes are needed":                            {map[string]int{"b1/r1": 2}, 2, []string{"b1-r1-n0", "b1-r1-n1"}},
		"elsewhere the gang would stand in several racks": {map[string]int{"b1/r1": 3, "b1/r2": 2, "b1/r3": 2}, 3, []string{"b1-r1-n0", "b1-r1-n1", "b1-r1-n2"}},
		"the gang can grow there alone":                   {map[string]int{"b1/r1": 1, "b1/r2": 1}, 2, []string{"b1-r1-n0", "b1-r2-n0"}},
	} {
		t.Run(name, func(t *testing.T) {
			nodes, clu := racksOf(c.racks), cluster.New(blocksAndRacks)
			clu.Update(nodes)
			g := &Gang{handle: profileOf{filters: []string{gpu.Name}}, gpus: &wards{degraded: "b1-r1-n0"}}
			p := newProblem(klog.Background(), clu, classesOf(podsWith(c.members, gpus("8")), noRole), 1, nil)
			solution, why := g.solve(t.Context(), p)
			require.Zero(t, why)
			var names []string
			for _, node := range solution.Nodes() {
				names = append(names, clu.Fabric().Tree().Node(node))
			}
			require.Equal(t, c.want, names)
		})
	}
}

func TestWhoAsksForMIGInstancesHasNoDoubts(t *testing.T) {
	const instances = "nvidia.com/mig-1g.10gb"
	nodes, clu := gpuNodes(8, 8), cluster.New(nil)
	for _, node := range nodes {
		node.Node().Status.Allocatable[instances] = gpus("7")["nvidia.com/gpu"]
		node.SetNode(node.Node())
	}
	clu.Update(nodes)
	g := &Gang{handle: profileOf{filters: []string{gpu.Name}}, gpus: &wards{degraded: "n0"}}
	solution, why := g.solve(t.Context(), newProblem(klog.Background(), clu, classesOf(podsWith(2, list(instances, "3")), noRole), 2, nil))
	require.Zero(t, why)
	require.Equal(t, []int{0}, solution.Nodes(), "the GPUs' state is no matter of theirs")
}

// A problem that is posed again in the same try, as those of a gang's parts are, costs no look at the nodes.
func TestWhatIsClosedIsFoundOutOncePerTry(t *testing.T) {
	nodes, clu := gpuNodes(8, 8), cluster.New(nil)
	clu.Update(nodes)
	g, attempt := &Gang{handle: profileOf{filters: []string{gpu.Name}}, gpus: &wards{sick: "n0"}}, &try{}
	pose := func() *placement.Exclusions {
		p := newProblem(klog.Background(), clu, classesOf(podsWith(2, gpus("1")), noRole), 2, nil)
		g.closeNodes(attempt, p)
		return p.Classes[0].Excluded
	}
	require.Same(t, pose(), pose())
	p := newProblem(klog.Background(), clu, classesOf(podsWith(2, gpus("1")), noRole), 2, nil)
	g.closeNodes(attempt, p)
	p.exclude(0, 1, "full")
	require.Zero(t, pose().By[1], "what one problem excludes besides is its own")
}
