package oracle

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
)

// RequiredAnnotation of a PodGroup of any dialect holds the node label whose domains are those that the gang requires one of.
const RequiredAnnotation = "phalanx.dev/required-topology"

// ObserveGroup tells that a PodGroup of the dialect was added, modified or deleted: what a gang needs is what its PodGroup says.
// What cannot be read counts as 1.
func (j *Judge) ObserveGroup(at time.Time, kind watch.EventType, dialect string, group *unstructured.Unstructured) {
	gang := Gang{Dialect: dialect, Namespace: group.GetNamespace(), Name: group.GetName()}
	if kind == watch.Deleted {
		j.RemoveMinimum(at, gang)
		return
	}
	path := []string{"spec", "minMember"}
	if dialect == Native {
		path = []string{"spec", "schedulingPolicy", "gang", "minCount"}
	}
	minimum, _, _ := unstructured.NestedInt64(group.Object, path...)
	j.SetRequired(gang, group.GetAnnotations()[RequiredAnnotation])
	j.SetMinimum(at, gang, int(max(1, minimum)))
}
