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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

var (
	volcanoGroups      = schema.GroupVersionResource{Group: "scheduling.volcano.sh", Version: "v1beta1", Resource: "podgroups"}
	coschedulingGroups = schema.GroupVersionResource{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"}
	nativeGroups       = schema.GroupVersionResource{Group: "scheduling.k8s.io", Version: "v1beta1", Resource: "podgroups"}
)

// dialect is how gangs are written in one of the dialects, for tests that hold for all of them.
type dialect struct {
	name   string
	groups schema.GroupVersionResource
	// minimum is the spec of a PodGroup that asks for so many members to run together.
	minimum func(members int64) map[string]any
	// join makes a pod a member of a group.
	join func(pod *v1.Pod, group string)
}

func minMember(members int64) map[string]any { return map[string]any{"minMember": members} }

var (
	volcano = dialect{"volcano", volcanoGroups, minMember, func(pod *v1.Pod, group string) {
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, "scheduling.k8s.io/group-name", group)
	}}
	coscheduling = dialect{"coscheduling", coschedulingGroups, minMember, func(pod *v1.Pod, group string) {
		metav1.SetMetaDataLabel(&pod.ObjectMeta, "scheduling.x-k8s.io/pod-group", group)
	}}
	native = dialect{"native", nativeGroups, func(members int64) map[string]any {
		return map[string]any{"schedulingPolicy": map[string]any{"gang": map[string]any{"minCount": members}}}
	}, func(pod *v1.Pod, group string) {
		pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
	}}
)

// isServed says whether the shared API server has the dialect.
func isServed(t *testing.T, d dialect) bool {
	t.Helper()
	served, err := shared.Serves(d.groups)
	require.NoError(t, err)
	// On the release that the scheduler is built from nothing may be missing.
	require.True(t, served || os.Getenv(controlplane.MinorVariable) != "", "%s are not served", d.groups)
	return served
}

// needs skips a test of dialects that an older API server does not have.
func needs(t *testing.T, dialects ...dialect) {
	t.Helper()
	for _, d := range dialects {
		if !isServed(t, d) {
			t.Skipf("this API server does not serve %s", d.groups)
		}
	}
}

// inEveryDialect runs a test once per dialect, side by side, each in a world of its own with so many nodes.
func inEveryDialect(t *testing.T, nodes int, test func(w *world, d dialect)) {
	for _, d := range []dialect{volcano, coscheduling, native} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			needs(t, d)
			test(newWorld(t, shared, nodes), d)
		})
	}
}

// member is the i-th pod of a gang, with the gang's name and its number.
func (w *world) member(d dialect, group string, i int, gpus int64, mutate ...func(*v1.Pod)) *v1.Pod {
	pod := w.pod(podSpec{name: fmt.Sprintf("%s-%d", group, i), gpus: gpus})
	d.join(pod, group)
	for _, f := range mutate {
		f(pod)
	}
	return pod
}

// members creates the pods number from to number to-1 of a gang.
func (w *world) members(d dialect, group string, from, to int, gpus int64, mutate ...func(*v1.Pod)) {
	w.t.Helper()
	for i := from; i < to; i++ {
		w.create(w.member(d, group, i, gpus, mutate...))
	}
}

// podGroup creates a PodGroup with this spec.
func (w *world) podGroup(resource schema.GroupVersionResource, name string, spec map[string]any, mutate ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
	w.t.Helper()
	group := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": resource.GroupVersion().String(), "kind": "PodGroup",
		"metadata": map[string]any{"name": name, "namespace": w.ns}, "spec": spec,
	}}
	for _, f := range mutate {
		f(group)
	}
	created, err := w.Dynamic.Resource(resource).Namespace(w.ns).Create(w.t.Context(), group, metav1.CreateOptions{})
	require.NoError(w.t, err)
	return created
}

// changeGroup changes the spec of a PodGroup.
func (w *world) changeGroup(resource schema.GroupVersionResource, name string, spec map[string]any) {
	w.t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": spec})
	require.NoError(w.t, err)
	_, err = w.Dynamic.Resource(resource).Namespace(w.ns).Patch(w.t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(w.t, err)
}

func (w *world) deleteGroup(resource schema.GroupVersionResource, name string) {
	w.t.Helper()
	require.NoError(w.t, w.Dynamic.Resource(resource).Namespace(w.ns).Delete(w.t.Context(), name, metav1.DeleteOptions{}))
}

func (w *world) group(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	w.t.Helper()
	group, err := w.Dynamic.Resource(resource).Namespace(w.ns).Get(w.t.Context(), name, metav1.GetOptions{})
	require.NoError(w.t, err)
	return group
}

// waitStatus waits until the status of a PodGroup has all these fields: strings, counts, and under the type of a condition
// its "status/reason". A count that is 0 may be absent.
func (w *world) waitStatus(resource schema.GroupVersionResource, name string, want map[string]any) {
	w.t.Helper()
	w.eventually(func(ctx context.Context) string {
		group, err := w.Dynamic.Resource(resource).Namespace(w.ns).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		status, _, _ := unstructured.NestedMap(group.Object, "status")
		conditions, _, _ := unstructured.NestedSlice(group.Object, "status", "conditions")
		for _, element := range conditions {
			c, _ := element.(map[string]any)
			status[fmt.Sprint(c["type"])] = fmt.Sprintf("%v/%v", c["status"], c["reason"])
		}
		for field, value := range want {
			if got := status[field]; fmt.Sprint(got) != fmt.Sprint(value) && !(got == nil && value == 0) {
				return fmt.Sprintf("%s %v of PodGroup %s: it is %v (status %v)", field, value, name, got, status)
			}
		}
		return ""
	})
}

// waitPhase waits until a PodGroup's status shows the phase.
func (w *world) waitPhase(resource schema.GroupVersionResource, name, phase string) {
	w.t.Helper()
	w.waitStatus(resource, name, map[string]any{"phase": phase})
}

// groupCondition returns a field of a condition of a PodGroup.
func (w *world) groupCondition(resource schema.GroupVersionResource, name, kind, field string) string {
	w.t.Helper()
	conditions, _, _ := unstructured.NestedSlice(w.group(resource, name).Object, "status", "conditions")
	for _, element := range conditions {
		if c, _ := element.(map[string]any); c["type"] == kind {
			return strings.TrimSpace(fmt.Sprint(c[field]))
		}
	}
	return ""
}
