package history

import (
	"fmt"
	"io"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

// Tell tells a judge what happened, at the times of a clock that may leave some out. The dialects of the groups are by their
// resource.
func Tell(judge *oracle.Judge, events []Event, dialects map[schema.GroupVersionResource]string, clock func(time.Time) time.Time) error {
	for _, e := range events {
		at := clock(e.At)
		switch e.Resource {
		case Pods:
			pod, err := typed[v1.Pod](e.Object)
			if err != nil {
				return err
			}
			judge.Observe(at, e.Kind, pod)
		case Nodes:
			node, err := typed[v1.Node](e.Object)
			if err != nil {
				return err
			}
			if e.Kind == watch.Deleted {
				judge.RemoveNode(node.Name)
			} else {
				judge.SetNode(at, node)
			}
		default:
			judge.ObserveGroup(at, e.Kind, dialects[e.Resource], e.Object)
		}
	}
	return nil
}

func typed[T any](object *unstructured.Unstructured) (*T, error) {
	out := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, out); err != nil {
		return nil, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return out, nil
}

// Write writes events down for people, a line for each.
func Write(w io.Writer, events []Event) error {
	for _, e := range events {
		if _, err := fmt.Fprintln(w, e); err != nil {
			return err
		}
	}
	return nil
}
