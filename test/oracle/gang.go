package oracle

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// The dialects in which a pod names its gang, and the keys by which it does.
const (
	Native       = "native"
	Volcano      = "volcano"
	Coscheduling = "coscheduling"

	// VolcanoAnnotation and CoschedulingLabel hold the name of a PodGroup in the pod's namespace.
	VolcanoAnnotation = "scheduling.k8s.io/group-name"
	CoschedulingLabel = "scheduling.x-k8s.io/pod-group"
)

// Gang names a gang.
type Gang struct{ Dialect, Namespace, Name string }

// String is for people: "volcano default/train".
func (g Gang) String() string { return fmt.Sprintf("%s %s/%s", g.Dialect, g.Namespace, g.Name) }

// GangOf returns the gang that a pod is a member of. A pod with the keys of several dialects is a member of the first:
// native, Volcano, coscheduling.
func GangOf(pod *corev1.Pod) (g Gang, isMember bool) {
	if group := pod.Spec.SchedulingGroup; group != nil && group.PodGroupName != nil {
		return Gang{Native, pod.Namespace, *group.PodGroupName}, true
	}
	if name := pod.Annotations[VolcanoAnnotation]; name != "" {
		return Gang{Volcano, pod.Namespace, name}, true
	}
	if name := pod.Labels[CoschedulingLabel]; name != "" {
		return Gang{Coscheduling, pod.Namespace, name}, true
	}
	return Gang{}, false
}
