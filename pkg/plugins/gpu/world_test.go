package gpu

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/offer"
)

// world is the plugin with a fleet of its own, and the PodGroups that there are.
type world struct {
	*GPU
	clock  *testingclock.FakeClock
	groups map[string]*schedulingv1beta1.PodGroup
}

func newWorld(t testing.TB, args *GPUArgs) *world {
	w := &world{clock: testingclock.NewFakeClock(time.Unix(1_700_000_000, 0)), groups: map[string]*schedulingv1beta1.PodGroup{}}
	w.GPU = w.build(t, NewFleet(w.clock), args)
	return w
}

func (w *world) build(t testing.TB, fleet *Fleet, args *GPUArgs) *GPU {
	var plugin fwk.Plugin
	var err error
	if args == nil {
		plugin, err = Factory(fleet)(t.Context(), nil, stage{world: w})
	} else {
		plugin, err = Factory(fleet)(t.Context(), args, stage{world: w})
	}
	require.NoError(t, err)
	return plugin.(*GPU)
}

// stage is the part of the framework that the plugin plays on. The interfaces are embedded unset: a call that the plugin has no
// business making panics.
type stage struct {
	fwk.Handle
	world *world
}

func (stage) ProfileName() string { return "phalanx" }

func (s stage) PodGroupManager() fwk.PodGroupManager { return managerOf{world: s.world} }

type managerOf struct {
	fwk.PodGroupManager
	world *world
}

func (m managerOf) PodGroups() fwk.PodGroupLister { return groupsOf{m.world} }

type groupsOf struct{ world *world }

func (g groupsOf) Get(_, name string) (*schedulingv1beta1.PodGroup, error) {
	if group, ok := g.world.groups[name]; ok {
		return group, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "podgroups"}, name)
}

func groupWith(name string, annotations ...string) *schedulingv1beta1.PodGroup {
	return &schedulingv1beta1.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: pairs(annotations)}}
}

func pairs(list []string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(list); i += 2 {
		out[list[i]] = list[i+1]
	}
	return out
}

func gpuList(count int) v1.ResourceList {
	return v1.ResourceList{offer.GPU: *resource.NewQuantity(int64(count), resource.DecimalSI)}
}

// podWith is a pod that asks for GPUs in one container, with annotations.
func podWith(name string, gpus int, annotations ...string) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Annotations: pairs(annotations)}}
	p.Spec.Containers = []v1.Container{{Name: "c"}}
	if gpus > 0 {
		p.Spec.Containers[0].Resources = v1.ResourceRequirements{Requests: gpuList(gpus), Limits: gpuList(gpus)}
	}
	return p
}

func inGroup(p *v1.Pod, group string) *v1.Pod {
	p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
	return p
}

// on puts a copy of a pod on a node, where it shows that it holds these GPUs.
func on(p *v1.Pod, node string, uuids ...string) *v1.Pod {
	p = p.DeepCopy()
	p.Spec.NodeName = node
	shown := v1.ResourceStatus{Name: offer.GPU}
	for _, uuid := range uuids {
		shown.Resources = append(shown.Resources, v1.ResourceHealth{ResourceID: v1.ResourceID(uuid), Health: v1.ResourceHealthStatusHealthy})
	}
	if len(uuids) > 0 {
		p.Status.Phase = v1.PodRunning
		p.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "c", AllocatedResourcesStatus: []v1.ResourceStatus{shown}}}
	}
	return p
}

// golden is a report of package gpu's: what the reporter says of that system while nobody uses it.
func golden(t testing.TB, system string) *gpu.Report {
	text, err := os.ReadFile("../../gpu/testdata/" + system + ".json")
	require.NoError(t, err)
	r, err := gpu.Parse([]byte(strings.TrimSpace(string(text))))
	require.NoError(t, err)
	return &r
}

// nodeWith is a node of a system, with what changes its report; "" is a node of 8 GPUs that tells of nothing.
func nodeWith(t testing.TB, name, system string, changes ...func(r *gpu.Report)) *v1.Node {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-of-" + name), Labels: map[string]string{}, Annotations: map[string]string{}}}
	n.Status.Capacity, n.Status.Allocatable = gpuList(8), gpuList(8)
	if system == "" {
		return n
	}
	r := golden(t, system)
	n.Status.Capacity, n.Status.Allocatable = gpuList(len(r.GPUs)), gpuList(len(r.GPUs))
	for _, change := range changes {
		change(r)
	}
	text, err := r.Encode()
	require.NoError(t, err)
	n.Annotations[gang.GPUReportKey] = string(text)
	return n
}

func drained(positions ...int) func(r *gpu.Report) { return inState(gpu.Drain, positions...) }

// leak takes all memory of GPUs.
func leak(positions ...int) func(r *gpu.Report) {
	return func(r *gpu.Report) {
		for _, at := range positions {
			r.GPUs[at].FreeMiB = 0
		}
	}
}

func inState(state gpu.State, positions ...int) func(r *gpu.Report) {
	return func(r *gpu.Report) {
		for _, at := range positions {
			r.GPUs[at].State = state
		}
	}
}

// driverOf has a DRA driver offer these GPUs of a node, named gpu-0 and so on.
func driverOf(node string, uuids ...string) *resourceapi.ResourceSlice {
	s := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node + "-gpus"}}
	s.Spec = resourceapi.ResourceSliceSpec{Driver: "gpu.nvidia.com", NodeName: &node, Pool: resourceapi.ResourcePool{Name: node}}
	kind := "gpu"
	for i := range uuids {
		s.Spec.Devices = append(s.Spec.Devices, resourceapi.Device{
			Name:       fmt.Sprint("gpu-", i),
			Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{"type": {StringValue: &kind}, "uuid": {StringValue: &uuids[i]}},
		})
	}
	return s
}

// claimOn is a claim that holds devices of a node.
func claimOn(node string, devices ...string) *resourceapi.ResourceClaim {
	c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c", UID: "c"}}
	c.Status.Allocation = &resourceapi.AllocationResult{}
	for _, device := range devices {
		c.Status.Allocation.Devices.Results = append(c.Status.Allocation.Devices.Results,
			resourceapi.DeviceRequestAllocationResult{Driver: "gpu.nvidia.com", Pool: node, Device: device})
	}
	return c
}

// infoOf is what the framework knows of a node.
func infoOf(n *v1.Node, pods ...*v1.Pod) *framework.NodeInfo {
	info := framework.NewNodeInfo(pods...)
	info.SetNode(n)
	return info
}

// filter tries a pod on a node, as the framework does. It returns "" if it may go there.
func (w *world) filter(t testing.TB, pod *v1.Pod, info fwk.NodeInfo) string {
	state := framework.NewCycleState()
	_, status := w.PreFilter(t.Context(), state, pod, nil)
	if status.IsSkip() {
		return ""
	}
	if !status.IsSuccess() {
		return status.Message()
	}
	return w.Filter(t.Context(), state, pod, info).Message()
}

// score is what a node gets for a pod.
func (w *world) score(t testing.TB, pod *v1.Pod, info fwk.NodeInfo) int64 {
	state := framework.NewCycleState()
	_, status := w.PreFilter(t.Context(), state, pod, nil)
	require.True(t, status.IsSuccess(), status.Message())
	require.True(t, w.PreScore(t.Context(), state, pod, nil).IsSuccess())
	score, status := w.Score(t.Context(), state, pod, info)
	require.True(t, status.IsSuccess(), status.Message())
	require.GreaterOrEqual(t, score, int64(0))
	require.LessOrEqual(t, score, fwk.MaxScore)
	return score
}

func uuids(t testing.TB, system string, positions ...int) (out []string) {
	r := golden(t, system)
	for _, at := range positions {
		out = append(out, r.GPUs[at].UUID)
	}
	return out
}

func nodeName(i int) string { return fmt.Sprintf("n%d", i) }
