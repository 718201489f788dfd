package gang

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

func queued(t *testing.T, pod *v1.Pod) *framework.QueuedPodInfo {
	t.Helper()
	info, err := framework.NewPodInfo(pod)
	require.NoError(t, err)
	return &framework.QueuedPodInfo{PodInfo: info}
}

func TestWhatMembersRequestIsCalculatedOncePerClass(t *testing.T) {
	judged, pods := &recorder{}, podsWith(3, list("cpu", "2", "nvidia.com/gpu", "8"), func(p *v1.Pod) {
		p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{{TopologyKey: "zone"}}}}
	})
	first, second, resized := queued(t, pods[0]), queued(t, pods[1]), queued(t, pods[2])
	terms := second.RequiredAntiAffinityTerms
	judged.weigh(first)
	judged.weigh(second)
	require.Same(t, first.CalculateResource().Resource, second.CalculateResource().Resource)
	require.Equal(t, int64(2000), second.CalculateResource().Resource.GetMilliCPU())
	require.Same(t, pods[1], second.Pod)
	require.Equal(t, terms, second.RequiredAntiAffinityTerms)

	resized.Pod.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "c", Resources: &v1.ResourceRequirements{Requests: list("cpu", "4")}}}
	judged.weigh(resized)
	require.NotSame(t, first.CalculateResource().Resource, resized.CalculateResource().Resource, "a status may say something of its own")

	// What is not in this list a member would have from another one: it must be the same for all of a class.
	require.Equal(t, 6, reflect.TypeFor[framework.PodInfo]().NumField(), "Pod, four lists of terms, and what was calculated")
}
