package integration

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// volcanoJobCRD is as much of Volcano's Job as a scheduler looks at.
const volcanoJobCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: jobs.batch.volcano.sh}
spec:
  group: batch.volcano.sh
  scope: Namespaced
  names: {kind: Job, listKind: JobList, plural: jobs, singular: job, shortNames: [vcjob]}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

var volcanoJobs = schema.GroupVersionResource{Group: "batch.volcano.sh", Version: "v1alpha1", Resource: "jobs"}

var installVolcanoJobs = sync.OnceValue(func() error {
	// Applied with an example, which waits until the kind is served.
	return shared.Apply(context.Background(), []byte(volcanoJobCRD+`
---
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata: {name: example}
`))
})

// volcanoJob makes a Volcano Job and, as its controller does first of all, the PodGroup that it owns.
func (w *world) volcanoJob(name, scheduler string, spec map[string]any) {
	w.t.Helper()
	require.NoError(w.t, installVolcanoJobs())
	job := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job",
		"metadata": map[string]any{"name": name, "namespace": w.ns}, "spec": map[string]any{},
	}}
	if scheduler != "" {
		require.NoError(w.t, unstructured.SetNestedField(job.Object, scheduler, "spec", "schedulerName"))
	}
	job, err := w.Dynamic.Resource(volcanoJobs).Namespace(w.ns).Create(w.t.Context(), job, metav1.CreateOptions{})
	require.NoError(w.t, err)
	w.podGroup(volcanoGroups, name, spec, func(group *unstructured.Unstructured) {
		group.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(job, volcanoJobs.GroupVersion().WithKind("Job"))})
	})
}

func TestAVolcanoJobGetsItsPodsAfterItsPodGroupIsAdmitted(t *testing.T) {
	t.Parallel()
	for _, scheduler := range []string{"volcano", "phalanx", ""} {
		t.Run(fmt.Sprintf("schedulerName %q", scheduler), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, shared, 2)
			w.volcanoJob("vcjob", scheduler, map[string]any{
				"minMember": int64(2), "minTaskMember": map[string]any{"worker": int64(2)},
				"minResources": map[string]any{"nvidia.com/gpu": "16", "requests.nvidia.com/gpu": "16", "count/pods": "2"},
			})
			w.waitPhase(volcanoGroups, "vcjob", "Inqueue")
			if scheduler == "" {
				scheduler = "volcano"
			}
			w.members(volcano, "vcjob", 0, 2, 8, inRole("worker"), func(pod *v1.Pod) { pod.Spec.SchedulerName = scheduler })
			w.waitStatus(volcanoGroups, "vcjob", map[string]any{"phase": "Running", "running": 2})
			w.complete("vcjob")
			w.waitStatus(volcanoGroups, "vcjob", map[string]any{"phase": "Completed", "succeeded": 2})
		})
	}
}

func TestAVolcanoJobThatTheClusterCouldNeverHoldIsNotAdmitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 0)
	w.volcanoJob("giant", "volcano", map[string]any{"minMember": int64(1), "minResources": map[string]any{"nvidia.com/gpu": "1000000"}})
	w.waitPhase(volcanoGroups, "giant", "Pending")
	w.addNodes(1, func(node *v1.Node) {
		node.Status.Capacity[gpu], node.Status.Allocatable[gpu] = quantity("1000000"), quantity("1000000")
	})
	w.waitPhase(volcanoGroups, "giant", "Inqueue")
}

func TestPodGroupsOfOtherSchedulersAreNeverWrittenTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 2)
	ofOther := func(pod *v1.Pod) { pod.Spec.SchedulerName = "somebody-else" }
	w.volcanoJob("their-job", "somebody-else", minMember(2))
	for _, d := range []dialect{volcano, coscheduling} {
		w.members(d, "their-pods-"+d.name, 0, 2, 8, ofOther)
		w.podGroup(d.groups, "their-pods-"+d.name, minMember(2))
	}
	theirs := map[string]dialect{"their-job": volcano, "their-pods-volcano": volcano, "their-pods-coscheduling": coscheduling}
	before := map[string]string{}
	for name, d := range theirs {
		before[name] = w.group(d.groups, name).GetResourceVersion()
	}
	// Ours come later and are described later, each with four states to write.
	for _, name := range []string{"ours", "ours-too", "also-ours", "ours-at-last"} {
		w.volcanoJob(name, "volcano", minMember(1))
		w.waitPhase(volcanoGroups, name, "Inqueue")
	}
	w.members(volcano, "their-job", 0, 1, 8, ofOther)
	w.volcanoJob("fence", "volcano", minMember(1))
	w.waitPhase(volcanoGroups, "fence", "Inqueue")
	for name, d := range theirs {
		group := w.group(d.groups, name)
		require.Equal(t, before[name], group.GetResourceVersion(), "%s was changed: %v", name, group.Object["status"])
	}
	require.Zero(t, w.bound(t.Context(), "their"))
}
