package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

var twoLevels = []Level{{"block", "example.com/block"}, {"rack", "example.com/rack"}}

func gpuNode(name string, gpus int, labels map[string]string) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Status: v1.NodeStatus{Allocatable: v1.ResourceList{
			"nvidia.com/gpu": *resource.NewQuantity(int64(gpus), resource.DecimalSI), v1.ResourcePods: resource.MustParse("110"),
		}},
	}
}

func gpuPod(name string, gpus int) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)},
		Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{
			Requests: v1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(int64(gpus), resource.DecimalSI)}}}}},
	}
}

func infoOf(node *v1.Node, pods ...*v1.Pod) *framework.NodeInfo {
	info := framework.NewNodeInfo(pods...)
	info.SetNode(node)
	return info
}

// says is all that a cluster tells about its nodes, for comparison.
func says(c *Cluster) []string {
	f, tree := c.Fabric(), c.Fabric().Tree()
	slots := f.Slots(c.Request(v1.ResourceList{"nvidia.com/gpu": resource.MustParse("2")}))
	picky, _ := c.Excluded(klog.Background(), &v1.Pod{Spec: v1.PodSpec{NodeSelector: map[string]string{"pool": "a"}}})
	plain, _ := c.Excluded(klog.Background(), &v1.Pod{})
	out := []string{fmt.Sprint(c.Levels())}
	for i := range tree.Len() {
		out = append(out, fmt.Sprintf("%s in %v: %d slots, whole %t, excluded %d %d, known as %s", tree.Node(i),
			tree.Path(tree.Depth(), tree.Of(tree.Depth(), i)), slots[i], f.Wholes()[i], picky.By[i], plain.By[i], c.Info(i).Node().Name))
	}
	return out
}

func TestAnUpdateIsAsGoodAsAFreshLook(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.Custom(func(t *rapid.T) map[string]string {
			out := map[string]string{}
			for _, key := range []string{"example.com/block", "example.com/rack", "pool"} {
				if value := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, key); value != "" {
					out[key] = value
				}
			}
			return out
		})
		kept := New(twoLevels)
		var infos []fwk.NodeInfo
		count := 0
		t.Repeat(map[string]func(*rapid.T){
			"a node comes": func(t *rapid.T) {
				count++
				node := gpuNode(fmt.Sprint("n", count), rapid.IntRange(0, 8).Draw(t, "gpus"), labels.Draw(t, "labels"))
				infos = slices.Insert(infos, rapid.IntRange(0, len(infos)).Draw(t, "where"), fwk.NodeInfo(infoOf(node)))
			},
			"a node goes": func(t *rapid.T) {
				if len(infos) > 0 {
					at := rapid.IntRange(0, len(infos)-1).Draw(t, "which")
					infos = slices.Delete(slices.Clone(infos), at, at+1)
				}
			},
			"a node changes": func(t *rapid.T) {
				if len(infos) > 0 {
					info := rapid.SampledFrom(infos).Draw(t, "which")
					node := info.Node().DeepCopy()
					node.Labels = labels.Draw(t, "labels")
					node.Spec.Unschedulable = rapid.Bool().Draw(t, "unschedulable")
					info.SetNode(node)
				}
			},
			"a pod comes": func(t *rapid.T) {
				if len(infos) > 0 {
					count++
					pod, err := framework.NewPodInfo(gpuPod(fmt.Sprint("p", count), rapid.IntRange(0, 3).Draw(t, "gpus")))
					require.NoError(t, err)
					rapid.SampledFrom(infos).Draw(t, "which").AddPodInfo(pod)
				}
			},
			"a pod goes": func(t *rapid.T) {
				if len(infos) > 0 {
					if info := rapid.SampledFrom(infos).Draw(t, "which"); len(info.GetPods()) > 0 {
						require.NoError(t, info.RemovePod(klog.Background(), info.GetPods()[0].GetPod()))
					}
				}
			},
			"": func(t *rapid.T) {
				kept.Update(infos)
				fresh := New(twoLevels)
				fresh.Update(infos)
				require.Equal(t, says(fresh), says(kept))
			},
		})
	})
}

func TestWhatHelps(t *testing.T) {
	node := gpuNode("n1", 8, nil)
	info := infoOf(node)
	c := New(nil)
	infos := []fwk.NodeInfo{info}
	step := func() bool {
		before := c.Helped()
		c.Update(infos)
		return c.Helped() != before
	}
	require.True(t, step(), "a node comes")
	require.False(t, step(), "nothing happens")
	pod, err := framework.NewPodInfo(gpuPod("p", 2))
	require.NoError(t, err)
	info.AddPodInfo(pod)
	require.False(t, step(), "a pod takes GPUs")
	require.NoError(t, info.RemovePod(klog.Background(), pod.Pod))
	require.True(t, step(), "a pod gives GPUs back")
	info.SetNode(node.DeepCopy())
	require.True(t, step(), "the node's object changes")
	infos = nil
	require.False(t, step(), "a node goes")
}

func TestALevelThatNoNodeCarriesDoesNotExist(t *testing.T) {
	c := New(twoLevels)
	bare, labelled := infoOf(gpuNode("n1", 8, nil)), infoOf(gpuNode("n2", 8, map[string]string{"example.com/rack": "r1"}))
	c.Update([]fwk.NodeInfo{bare})
	require.Empty(t, c.Levels())
	c.Update([]fwk.NodeInfo{bare, labelled})
	require.Equal(t, twoLevels[1:], c.Levels())
	require.Equal(t, 2, c.Fabric().Tree().Domains(1), "a node without the label is a domain of its own")
	c.Update([]fwk.NodeInfo{bare})
	require.Empty(t, c.Levels())
}

func TestOnlyGPUsAndStrangersMakeANodeLessThanWhole(t *testing.T) {
	gpu, plain := gpuNode("gpu", 8, nil), gpuNode("plain", 0, nil)
	for name, c := range map[string]struct {
		info fwk.NodeInfo
		want bool
	}{
		"an empty GPU node":                  {infoOf(gpu), true},
		"a GPU node with a pod without GPUs": {infoOf(gpu, gpuPod("agent", 0)), true},
		"a GPU node with a pod with a GPU":   {infoOf(gpu, gpuPod("job", 1)), false},
		"an empty node without GPUs":         {infoOf(plain), true},
		"a node without GPUs with a pod":     {infoOf(plain, gpuPod("agent", 0)), false},
	} {
		require.Equal(t, c.want, isWhole(c.info), name)
	}
}

func TestMoreReasonsThanCanBeToldApartShareTheLast(t *testing.T) {
	e := &placement.Exclusions{Reasons: reasons, By: make([]uint8, 300)}
	isOwn := false
	for i := range 300 {
		e = Exclude(e, isOwn, i, fmt.Sprint("reason ", i))
		isOwn = true
	}
	require.Len(t, e.Reasons, maxReasons)
	require.Equal(t, uint8(4), e.By[0])
	require.Equal(t, uint8(maxReasons), e.By[299])
	require.Equal(t, []string{"not selected", "unschedulable", "tainted"}, reasons, "the shared reasons are untouched")
}
