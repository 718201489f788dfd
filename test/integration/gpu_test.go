package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	gpureport "github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

const unhealthyNode = "1 node(s) had an unhealthy GPU that a new pod could get"

// h100s is the report of a node with 8 GPUs.
func h100s(t *testing.T, changes ...func(r *gpureport.Report)) string {
	t.Helper()
	golden, err := os.ReadFile("../../pkg/gpu/testdata/h100.json")
	require.NoError(t, err)
	r, err := gpureport.Parse([]byte(strings.TrimSpace(string(golden))))
	require.NoError(t, err)
	for _, change := range changes {
		change(&r)
	}
	text, err := r.Encode()
	require.NoError(t, err)
	return string(text)
}

func lost(r *gpureport.Report) {
	r.GPUs[0].State, r.GPUs[0].Reasons = gpureport.Lost, []string{"XID 79"}
}

func reporting(report string) func(*v1.Node) {
	return func(n *v1.Node) { n.Annotations[gang.GPUReportKey] = report }
}

// report has all nodes of the world report this.
func (w *world) report(report string) {
	w.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{gang.GPUReportKey: report}}})
	require.NoError(w.t, err)
	for _, node := range w.nodes() {
		_, err := w.Client.CoreV1().Nodes().Patch(w.t.Context(), node.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		require.NoError(w.t, err)
	}
}

func (w *world) nodes() []v1.Node {
	w.t.Helper()
	nodes, err := w.Client.CoreV1().Nodes().List(w.t.Context(), metav1.ListOptions{LabelSelector: "world=" + w.ns})
	require.NoError(w.t, err)
	return nodes.Items
}

// waitSaying waits until a pod of this name, or whose name begins so, waits and says, among other things, this.
func (w *world) waitSaying(name, part string) {
	w.t.Helper()
	w.eventually(func(ctx context.Context) string {
		missing := "pod " + name
		for _, p := range w.pods(ctx, name) {
			c := condition(&p, v1.PodScheduled)
			if c != nil && c.Status == v1.ConditionFalse && strings.Contains(c.Message, part) {
				return ""
			}
			missing = fmt.Sprintf("%q on %s: it shows %v", part, p.Name, c)
		}
		return missing
	})
}

func TestWhoeverWaitsForAGPUToRecoverStartsWhenItDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	w.addNodes(1, reporting(h100s(t, lost)))
	w.create(w.pod(podSpec{name: "single", gpus: 1}))
	w.podGroup(volcano.groups, "gang", volcano.minimum(2))
	w.members(volcano, "gang", 0, 2, 2)
	w.waitSaying("single", unhealthyNode)
	w.waitSaying("gang-0", "unhealthy GPU that a new pod could get")
	w.report(h100s(t))
	w.waitRunning("single", 1)
	w.waitRunning("gang", 2)
}

func TestAGPUThatARunningPodHoldsClosesNoNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	w.addNodes(1, reporting(h100s(t)))
	w.create(w.pod(podSpec{name: "holder", gpus: 1}))
	w.waitRunning("holder", 1)
	w.report(h100s(t, lost))
	w.create(w.pod(podSpec{name: "waiter", gpus: 1}))
	w.waitSaying("waiter", unhealthyNode)
	w.podGroup(volcano.groups, "gang", volcano.minimum(2))
	w.members(volcano, "gang", 0, 2, 1)
	w.waitSaying("gang-0", "unhealthy GPU that a new pod could get")

	r, err := gpureport.Parse([]byte(h100s(t)))
	require.NoError(t, err)
	shown := fmt.Appendf(nil, `{"status":{"containerStatuses":[{"name":"main","allocatedResourcesStatus":[{"name":"nvidia.com/gpu","resources":[{"resourceID":%q,"health":"Healthy"}]}]}]}}`, r.GPUs[0].UUID)
	holder, err := w.Client.CoreV1().Pods(w.ns).Patch(t.Context(), "holder", types.StrategicMergePatchType, shown, metav1.PatchOptions{}, "status")
	require.NoError(t, err)
	if len(holder.Status.ContainerStatuses[0].AllocatedResourcesStatus) == 0 && os.Getenv(controlplane.MinorVariable) != "" {
		t.Skip("this API server drops allocatedResourcesStatus, so that nobody can know which GPU a pod holds")
	}
	w.waitRunning("waiter", 1)
	w.waitRunning("gang", 2)
}

func TestWishesAboutGPUs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	w.addNodes(1, reporting(h100s(t, func(r *gpureport.Report) { r.GPUs[0].FreeMiB = 0 })))
	w.addNodes(1, reporting(h100s(t)))
	clean := ""
	for _, node := range w.nodes() {
		if node.Annotations[gang.GPUReportKey] == h100s(t) {
			clean = node.Name
		}
	}
	wishing := func(name, key, value string) {
		w.create(w.pod(podSpec{name: name, gpus: 1, annotations: map[string]string{key: value}}))
	}
	wishing("memory", gang.GPUMemoryKey, "40Gi")
	w.waitRunning("memory", 1)
	require.Equal(t, clean, w.pods(t.Context(), "memory")[0].Spec.NodeName, "the other node has a leak")

	wishing("product", gang.GPUProductKey, "B200")
	w.waitSaying("product", "2 node(s) had a GPU of another product than wished")
	wishing("wrong", gang.GPULinkKey, "required")
	const sentence = `annotation phalanx.dev/gpu-link is "required": it must be "required:" or "preferred:" with "nvlink", "same-switch" or "same-numa" after it`
	w.waitSaying("wrong", sentence)
	w.annotate("wrong", gang.GPULinkKey, "required:nvlink")
	w.waitRunning("wrong", 1)

	w.podGroup(volcano.groups, "gang", volcano.minimum(2), func(g *unstructured.Unstructured) {
		g.SetAnnotations(map[string]string{gang.GPUMemoryKey: "lots"})
	})
	w.members(volcano, "gang", 0, 2, 1)
	w.waitSentence("gang-0", `GangInvalid: annotation phalanx.dev/gpu-memory of its PodGroup is "lots": it must be a quantity from 1Mi to 16Ti, as in "40Gi"`)
}

func TestABadReportIsToldOnItsNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	w.addNodes(1, reporting(`{"version":1}`))
	node := w.nodes()[0]
	w.eventually(func(ctx context.Context) string {
		events, err := w.Client.EventsV1().Events(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{FieldSelector: "regarding.name=" + node.Name})
		if err != nil {
			return err.Error()
		}
		for _, e := range events.Items {
			if e.Reason == "GPUReportInvalid" && strings.HasPrefix(e.Note, "annotation phalanx.dev/gpu-report: GPU report: it is not canonical") {
				return ""
			}
		}
		return "an event on the node"
	})
	w.create(w.pod(podSpec{name: "single", gpus: 8}))
	w.waitRunning("single", 1) // it counts as no report
}

// offer has a DRA driver offer all GPUs of a node's report.
func (w *world) offer(node *v1.Node, report string) {
	w.t.Helper()
	r, err := gpureport.Parse([]byte(report))
	require.NoError(w.t, err)
	slice := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node.Name + "-gpu.nvidia.com"}}
	slice.Spec = resourceapi.ResourceSliceSpec{
		Driver: "gpu.nvidia.com", NodeName: &node.Name, Pool: resourceapi.ResourcePool{Name: node.Name, ResourceSliceCount: 1},
	}
	kind := "gpu"
	for i := range r.GPUs {
		slice.Spec.Devices = append(slice.Spec.Devices, resourceapi.Device{
			Name:       fmt.Sprint("gpu-", i),
			Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{"type": {StringValue: &kind}, "uuid": {StringValue: &r.GPUs[i].UUID}},
		})
	}
	_, err = w.Client.ResourceV1().ResourceSlices().Create(w.t.Context(), slice, metav1.CreateOptions{})
	require.NoError(w.t, err)
	w.t.Cleanup(func() {
		_ = w.Client.ResourceV1().ResourceSlices().Delete(context.Background(), slice.Name, metav1.DeleteOptions{})
	})
}

func TestAGPUThatAClaimHoldsIsNotHandedOutAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	w.addNodes(1, reporting(h100s(t)))
	node := w.nodes()[0]
	w.offer(&node, h100s(t))

	claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: "held"}}
	request := resourceapi.ExactDeviceRequest{DeviceClassName: "gpu.nvidia.com", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1}
	claim.Spec.Devices.Requests = []resourceapi.DeviceRequest{{Name: "gpu", Exactly: &request}}
	claims := w.Client.ResourceV1().ResourceClaims(w.ns)
	claim, err := claims.Create(t.Context(), claim, metav1.CreateOptions{})
	require.NoError(t, err)
	claim.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{
		Results: []resourceapi.DeviceRequestAllocationResult{{Request: "gpu", Driver: "gpu.nvidia.com", Pool: node.Name, Device: "gpu-3"}},
	}}
	_, err = claims.UpdateStatus(t.Context(), claim, metav1.UpdateOptions{})
	require.NoError(t, err)
	w.create(w.pod(podSpec{name: "early", gpus: 1}))
	const sentence = "a GPU that a ResourceClaim holds and the device plugin could hand out again"
	w.waitSaying("early", "1 node(s) had "+sentence)
	w.podGroup(volcano.groups, "gang", volcano.minimum(2))
	w.members(volcano, "gang", 0, 2, 2)
	w.waitSaying("gang-0", "excluded: 1 "+sentence)

	require.NoError(t, claims.Delete(t.Context(), claim.Name, metav1.DeleteOptions{}))
	w.waitRunning("early", 1)
	w.waitRunning("gang", 2)
}

// Each of the four gets a pair with an NVLink of its own, on a node where most pairs have none.
func TestMembersThatMustBeLinkedShareANode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	golden, err := os.ReadFile("../../pkg/gpu/testdata/a100-pcie.json")
	require.NoError(t, err)
	w.addNodes(1, reporting(strings.TrimSpace(string(golden))))
	w.podGroup(volcano.groups, "gang", volcano.minimum(4), func(g *unstructured.Unstructured) {
		g.SetAnnotations(map[string]string{gang.GPULinkKey: "required:nvlink"})
	})
	w.members(volcano, "gang", 0, 4, 2)
	w.waitRunning("gang", 4)

	w.podGroup(volcano.groups, "wide", volcano.minimum(1), func(g *unstructured.Unstructured) {
		g.SetAnnotations(map[string]string{gang.GPULinkKey: "required:nvlink"})
	})
	w.members(volcano, "wide", 0, 1, 4)
	w.waitSaying("wide-0", "linked as required")
}
