package object

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// Group is the part of a gang that every dialect reads alike: who the object is.
func Group(dialect string, object *unstructured.Unstructured) *gang.Group {
	return &gang.Group{
		Key:               gang.Key{Dialect: dialect, Namespace: object.GetNamespace(), Name: object.GetName()},
		UID:               object.GetUID(),
		Generation:        object.GetGeneration(),
		ResourceVersion:   object.GetResourceVersion(),
		CreationTimestamp: object.GetCreationTimestamp(),
		Annotations:       object.GetAnnotations(),
		Owners:            slices.Clone(object.GetOwnerReferences()),
	}
}
