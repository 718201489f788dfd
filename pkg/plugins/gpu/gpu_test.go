package gpu

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/offer"
)

const (
	unhealthyNode = "node(s) had an unhealthy GPU that a new pod could get"
	littleMemory  = "node(s) had a GPU with less free memory than wished"
	wrongMemory   = `annotation phalanx.dev/gpu-memory is "lots": it must be a quantity from 1Mi to 16Ti, as in "40Gi"`
)

func TestWhichPodsAreLookedAt(t *testing.T) {
	w := newWorld(t, nil)
	w.groups["g"] = groupWith("g", gang.GPUMemoryKey, "lots")
	with := func(name v1.ResourceName, amount string) *v1.Pod {
		p := podWith("p", 0, gang.GPUMemoryKey, "lots")
		p.Spec.Containers[0].Resources.Requests = v1.ResourceList{name: resource.MustParse(amount)}
		return p
	}
	for name, test := range map[string]struct {
		pod  *v1.Pod
		want *fwk.Status
	}{
		"one without GPUs":                        {podWith("p", 0), fwk.NewStatus(fwk.Skip)},
		"one without GPUs, whatever its wishes":   {podWith("p", 0, gang.GPUMemoryKey, "lots"), fwk.NewStatus(fwk.Skip)},
		"one without GPUs, whatever its group's":  {inGroup(podWith("p", 0), "g"), fwk.NewStatus(fwk.Skip)},
		"one with a MIG instance":                 {with("nvidia.com/mig-1g.10gb", "1"), fwk.NewStatus(fwk.Skip)},
		"one with a shared GPU":                   {with("nvidia.com/gpu.shared", "1"), fwk.NewStatus(fwk.Skip)},
		"one with no GPU, in numbers":             {with("nvidia.com/gpu", "0"), fwk.NewStatus(fwk.Skip)},
		"one that has its node":                   {on(podWith("p", 1, gang.GPUMemoryKey, "lots"), "n1"), fwk.NewStatus(fwk.Skip)},
		"one with a GPU":                          {podWith("p", 1), nil},
		"one with a wish":                         {podWith("p", 1, gang.GPUMemoryKey, "40Gi"), nil},
		"one with a wrong wish":                   {podWith("p", 1, gang.GPUMemoryKey, "lots"), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, wrongMemory)},
		"one whose group has a wrong wish":        {inGroup(podWith("p", 1), "g"), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, `annotation phalanx.dev/gpu-memory of its PodGroup is "lots": it must be a quantity from 1Mi to 16Ti, as in "40Gi"`)},
		"one whose group is gone":                 {inGroup(podWith("p", 1), "gone"), nil},
		"one with a PodGroup that has not a name": {func() *v1.Pod { p := podWith("p", 1); p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{}; return p }(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			state := framework.NewCycleState()
			_, got := w.PreFilter(t.Context(), state, test.pod, nil)
			assert.Equal(t, test.want, got)
			assert.Equal(t, !got.IsSuccess(), w.PreScore(t.Context(), state, test.pod, nil).IsSkip(), "who is not looked at is not scored")
		})
	}
}

func TestANeedIsCounted(t *testing.T) {
	always := v1.ContainerRestartPolicyAlways
	container := func(gpus int) v1.Container {
		return v1.Container{Resources: v1.ResourceRequirements{Requests: gpuList(gpus), Limits: gpuList(gpus)}}
	}
	sidecar := container(1)
	sidecar.RestartPolicy = &always
	limits := v1.Container{Resources: v1.ResourceRequirements{Limits: gpuList(2)}}
	for name, test := range map[string]struct {
		containers, inits []v1.Container
		want              Need
	}{
		"one container":                    {[]v1.Container{container(4)}, nil, Need{Count: 4, Largest: 4, Sets: 1}},
		"two, of which one has GPUs":       {[]v1.Container{{}, container(4)}, nil, Need{Count: 4, Largest: 4, Sets: 1}},
		"two with GPUs":                    {[]v1.Container{container(4), container(2)}, nil, Need{Count: 6, Largest: 4, Sets: 2}},
		"a sidecar with GPUs":              {[]v1.Container{container(4)}, []v1.Container{sidecar}, Need{Count: 5, Largest: 4, Sets: 2}},
		"an init container with as many":   {[]v1.Container{container(4)}, []v1.Container{container(4)}, Need{Count: 4, Largest: 4, Sets: 1}},
		"an init container with more":      {[]v1.Container{container(2)}, []v1.Container{container(4)}, Need{Count: 4, Largest: 4, Sets: 2}},
		"an init container with fewer":     {[]v1.Container{container(2)}, []v1.Container{container(1)}, Need{Count: 2, Largest: 2, Sets: 2}},
		"an init container alone":          {[]v1.Container{{}}, []v1.Container{container(2)}, Need{Count: 2, Largest: 2, Sets: 1}},
		"limits that nobody made requests": {[]v1.Container{limits}, nil, Need{}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &v1.Pod{Spec: v1.PodSpec{Containers: test.containers, InitContainers: test.inits}}
			assert.Equal(t, test.want, offer.CountOf(pod))
		})
	}
}

func TestFilter(t *testing.T) {
	for name, test := range map[string]struct {
		pod  *v1.Pod
		info *framework.NodeInfo
		want *fwk.Status
	}{
		"a node without a report": {podWith("p", 8), infoOf(nodeWith(t, "n1", "")), nil},
		"a healthy node":          {podWith("p", 8), infoOf(nodeWith(t, "n1", "h100")), nil},
		"a node with a bad GPU, which no preemption can help": {
			podWith("p", 1), infoOf(nodeWith(t, "n1", "h100", drained(0))), fwk.NewStatus(fwk.UnschedulableAndUnresolvable, unhealthyNode),
		},
		"a node where a pod holds the bad GPU": {
			podWith("p", 1), infoOf(nodeWith(t, "n1", "h100", drained(0)), on(podWith("a", 1), "n1", uuids(t, "h100", 0)...)), nil,
		},
		"a node whose pairs others hold, which preemption can help": {
			podWith("p", 2, gang.GPULinkKey, "required:nvlink"),
			infoOf(nodeWith(t, "n1", "a100-pcie"), on(podWith("a", 4), "n1", uuids(t, "a100-pcie", 0, 2, 4, 6)...)),
			fwk.NewStatus(fwk.Unschedulable, "node(s) had no GPUs left that are linked as required"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			state := framework.NewCycleState()
			_, status := w.PreFilter(t.Context(), state, test.pod, nil)
			require.True(t, status.IsSuccess())
			assert.Equal(t, test.want, w.Filter(t.Context(), state, test.pod, test.info))
		})
	}
	t.Run("without a PreFilter, which is a mistake of the framework", func(t *testing.T) {
		w := newWorld(t, nil)
		assert.Equal(t, fwk.Error, w.Filter(t.Context(), framework.NewCycleState(), podWith("p", 1), infoOf(nodeWith(t, "n1", ""))).Code())
		_, status := w.Score(t.Context(), framework.NewCycleState(), podWith("p", 1), infoOf(nodeWith(t, "n1", "")))
		assert.Equal(t, fwk.Error, status.Code())
	})
}

// A GPU goes bad on a node while a pod is placed there, starts, ends: from the decision on the framework's own account is all
// that there is, and a scheduler that starts in the middle knows the same.
func TestPromisedGPUs(t *testing.T) {
	w := newWorld(t, nil)
	ask, wish := podWith("p", 1), podWith("q", 1, gang.GPUMemoryKey, "40Gi")
	good, dirty := nodeWith(t, "n1", "h100", drained(0)), nodeWith(t, "n1", "h100", leak(0))
	placed, running := on(podWith("a", 1), "n1"), on(podWith("a", 1), "n1", uuids(t, "h100", 0)...)
	check := func(info *framework.NodeInfo, pod *v1.Pod, want, why string) {
		t.Helper()
		assert.Equal(t, want, w.filter(t, pod, info), why)
		restarted := &world{clock: w.clock, groups: w.groups}
		restarted.GPU = restarted.build(t, NewFleet(w.clock), nil)
		assert.Equal(t, want, restarted.filter(t, pod, info), "%s, after a restart", why)
	}

	info := infoOf(good)
	check(info, ask, unhealthyNode, "the bad GPU is free")
	info.AddPod(placed)
	check(info, ask, unhealthyNode, "a pod was placed, and nobody knows whether it will get the bad one")
	require.NoError(t, info.RemovePod(klog.Background(), placed))
	info.AddPod(running)
	check(info, ask, "", "it shows that it got the bad one")
	require.NoError(t, info.RemovePod(klog.Background(), running))
	check(info, ask, unhealthyNode, "it has left")

	info.SetNode(dirty)
	check(info, wish, littleMemory, "a leak")
	info.AddPod(placed)
	check(info, wish, littleMemory, "a pod was placed that uses no memory yet")
	require.NoError(t, info.RemovePod(klog.Background(), placed))
	info.AddPod(running)
	check(info, wish, "", "it was no leak, but what the pod uses")

	copied := info.Snapshot()
	require.NoError(t, copied.RemovePod(klog.Background(), running))
	check(info, wish, "", "the node is as it was")
	assert.Equal(t, littleMemory, w.filter(t, wish, copied), "a simulation of the pod's end is another node")
}

func TestPodsAreSigned(t *testing.T) {
	w := newWorld(t, nil)
	w.groups["g"] = groupWith("g", gang.GPUMemoryKey, "40Gi")
	sign := func(pod *v1.Pod) []fwk.SignFragment {
		fragments, status := w.SignPod(t.Context(), pod)
		require.True(t, status.IsSuccess())
		return fragments
	}
	assert.Empty(t, sign(podWith("p", 0)))
	assert.Equal(t, sign(podWith("p", 1)), sign(podWith("q", 1)))
	assert.NotEqual(t, sign(podWith("p", 1)), sign(podWith("p", 2)))
	assert.NotEqual(t, sign(podWith("p", 1)), sign(inGroup(podWith("p", 1), "g")))
	assert.Equal(t, sign(podWith("p", 1, gang.GPUMemoryKey, "40960Mi")), sign(inGroup(podWith("p", 1), "g")))
	_, status := w.SignPod(t.Context(), podWith("p", 1, gang.GPUMemoryKey, "lots"))
	assert.Equal(t, fwk.NewStatus(fwk.Unschedulable, wrongMemory), status)
}

func TestWishesCompare(t *testing.T) {
	a, complaint := WishOf(podWith("p", 1, gang.GPUMemoryKey, "40Gi"), nil)
	require.Empty(t, complaint)
	b, complaint := WishOf(podWith("q", 1), groupWith("g", gang.GPUMemoryKey, "40960Mi"))
	require.Empty(t, complaint)
	assert.True(t, a == b, "what they say differs, what they ask for does not")
	assert.Equal(t, "GPU", newWorld(t, nil).Name())
	assert.Nil(t, newWorld(t, nil).PreFilterExtensions())
	assert.Nil(t, newWorld(t, nil).ScoreExtensions())
}
