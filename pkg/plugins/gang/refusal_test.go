package gang

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// list writes resources as manifests do: "cpu=4 nvidia.com/gpu=8".
func list(pairs ...string) v1.ResourceList {
	out := v1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[v1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func nodeWith(name string, allocatable v1.ResourceList, used []v1.ResourceList, mutations ...func(*v1.Node)) fwk.NodeInfo {
	allocatable[v1.ResourcePods] = resource.MustParse("110")
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1.NodeStatus{Allocatable: allocatable}}
	for _, mutate := range mutations {
		mutate(node)
	}
	pods := make([]*v1.Pod, 0, len(used))
	for i, request := range used {
		pods = append(pods, podWith(fmt.Sprintf("%s-%d", name, i), request))
	}
	info := framework.NewNodeInfo(pods...)
	info.SetNode(node)
	return info
}

// gpuNodes are nodes with 8 GPUs each, of which so many are free.
func gpuNodes(free ...int) []fwk.NodeInfo {
	var nodes []fwk.NodeInfo
	for i, f := range free {
		var used []v1.ResourceList
		if f < 8 {
			used = append(used, list("nvidia.com/gpu", fmt.Sprint(8-f)))
		}
		nodes = append(nodes, nodeWith(fmt.Sprintf("n%d", i), list("cpu", "64", "memory", "512Gi", "nvidia.com/gpu", "8"), used))
	}
	return nodes
}

func podWith(name string, requests v1.ResourceList, mutations ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Requests: requests}}}},
	}
	for _, mutate := range mutations {
		mutate(p)
	}
	return p
}

func podsWith(count int, requests v1.ResourceList, mutations ...func(*v1.Pod)) []*v1.Pod {
	var pods []*v1.Pod
	for i := range count {
		pods = append(pods, podWith(fmt.Sprint("p", i), requests, mutations...))
	}
	return pods
}

func noRole(*v1.Pod) string { return "" }

func gpus(n string) v1.ResourceList { return list("nvidia.com/gpu", n) }

func selecting(key, value string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{key: value} }
}

func taintedNode(name string) fwk.NodeInfo {
	return nodeWith(name, list("nvidia.com/gpu", "8"), nil, func(n *v1.Node) {
		n.Spec.Taints = []v1.Taint{{Key: "maintenance", Effect: v1.TaintEffectNoSchedule}}
	})
}

func cordonedNode(name string) fwk.NodeInfo {
	return nodeWith(name, list("nvidia.com/gpu", "8"), nil, func(n *v1.Node) { n.Spec.Unschedulable = true })
}

func TestWhatSumsSayOfAGang(t *testing.T) {
	for name, c := range map[string]struct {
		pods  []*v1.Pod
		need  int
		nodes []fwk.NodeInfo
		want  string // "" if nothing speaks against the gang
	}{
		"a gang that fits": {podsWith(4, gpus("8")), 4, gpuNodes(8, 8, 8, 8), ""},
		"too few GPUs in sum": {podsWith(8, gpus("8")), 8, gpuNodes(8, 8, 8, 8, 4, 4, 0),
			"InsufficientGPUs: 8 members need 64 nvidia.com/gpu, 40 are free on 6 nodes"},
		"enough in sum, in pieces too small for a member": {podsWith(2, gpus("8")), 2, gpuNodes(8, 4, 4),
			"Fragmented: 2 members need 8 nvidia.com/gpu each on one node, for which 1 slot is free, though 16 nvidia.com/gpu are free on 3 nodes"},
		"far more than enough in sum, in pieces too small": {podsWith(2, gpus("8")), 2, gpuNodes(7, 7, 7, 7, 7, 7, 7),
			"Fragmented: 2 members need 8 nvidia.com/gpu each on one node, for which 0 slots are free, though 49 nvidia.com/gpu are free on 7 nodes"},
		"the minimum fits though all members do not": {podsWith(8, gpus("8")), 2, gpuNodes(8, 8, 0), ""},
		"not even the minimum fits": {podsWith(8, gpus("8")), 3, gpuNodes(8, 8, 0),
			"InsufficientGPUs: 3 members need 24 nvidia.com/gpu, 16 are free on 2 nodes"},
		"memory is what lacks": {podsWith(2, list("memory", "400Gi", "nvidia.com/gpu", "1")), 2, gpuNodes(8),
			"InsufficientResources: 2 members need 800Gi memory, 512Gi are free on 1 node"},
		"half a core is written as such": {podsWith(1, list("cpu", "65500m")), 1, gpuNodes(8),
			"InsufficientResources: 1 member needs 65500m cpu, 64 are free on 1 node"},
		"a resource that no node has": {podsWith(1, list("example.com/fpga", "1")), 1, gpuNodes(8),
			"InsufficientResources: 1 member needs 1 example.com/fpga, 0 are free on 0 nodes"},
		"nodes that turn members away are counted by reason": {podsWith(2, gpus("8")), 2,
			append(gpuNodes(8), taintedNode("t"), cordonedNode("c")),
			"InsufficientGPUs: 2 members need 16 nvidia.com/gpu, 8 are free on 1 node; 2 nodes excluded: 1 tainted, 1 unschedulable"},
		"no node admits the members": {podsWith(2, gpus("8"), selecting("pool", "h100")), 2, gpuNodes(8, 8),
			"NodesRejected: no node admits 2 members; 2 nodes excluded: 2 not selected"},
		"of two classes the one that lacks is named": {append(podsWith(1, list("cpu", "1")), podsWith(3, gpus("8"))...), 4, gpuNodes(8, 8),
			"InsufficientGPUs: 3 members need 24 nvidia.com/gpu, 16 are free on 2 nodes"},
		"no nodes at all": {podsWith(1, gpus("1")), 1, nil, "NodesRejected: no node admits 1 member"},
	} {
		t.Run(name, func(t *testing.T) {
			clu := cluster.New(nil)
			clu.Update(c.nodes)
			g := &Gang{}
			_, why := g.solve(t.Context(), newProblem(klog.Background(), clu, classesOf(c.pods, noRole), c.need, nil))
			if c.want == "" {
				require.Zero(t, why)
				return
			}
			require.Equal(t, c.want, why.String())
		})
	}
}

func TestMembersOfOneTemplateAreOneClass(t *testing.T) {
	pods := append(podsWith(5, gpus("8")), podsWith(3, gpus("4"))...)
	pods = append(pods, podsWith(2, gpus("8"), selecting("pool", "a"))...)
	classes := classesOf(append(pods, podsWith(1, gpus("8"))...), noRole)
	require.Len(t, classes, 3)
	require.Equal(t, []int{6, 3, 2}, []int{len(classes[0].members), len(classes[1].members), len(classes[2].members)})
}

func TestMinResourcesAreCheckedAgainstTheCluster(t *testing.T) {
	for name, c := range map[string]struct {
		want v1.ResourceList
		says string
	}{
		"nothing is asked for": {nil, ""},
		"enough is free":       {gpus("12"), ""},
		"too little is free":   {gpus("13"), "InsufficientGPUs: minResources asks for 13 nvidia.com/gpu, 12 are free"},
		"more than there is":   {list("cpu", "129"), "InsufficientResources: minResources asks for 129 cpu, all nodes together have 128"},
	} {
		t.Run(name, func(t *testing.T) {
			nodes, clu := gpuNodes(8, 4), cluster.New(nil)
			clu.Update(nodes)
			why := shortOfMinResources(c.want, clu, nodes)
			if c.says == "" {
				require.Zero(t, why)
				return
			}
			require.Equal(t, c.says, why.String())
		})
	}
}

func TestGPUsAreKnownByTheirNames(t *testing.T) {
	for name, want := range map[v1.ResourceName]bool{
		"nvidia.com/gpu": true, "amd.com/gpu": true, "nvidia.com/gpu.shared": true, "nvidia.com/mig-1g.10gb": true,
		"cpu": false, "memory": false, "example.com/fpga": false, "gpu": false,
	} {
		require.Equal(t, want, cluster.IsGPU(name), name)
	}
}
