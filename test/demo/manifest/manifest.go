// Package manifest writes a gang down in each dialect, as its users do.
package manifest

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

// Dialect is how a gang may be written: the PodGroup API, and the scheduler name that operators of this dialect put into
// their pods.
type Dialect struct {
	Name          string
	Resource      schema.GroupVersionResource
	SchedulerName string
}

// The dialects.
var (
	Volcano = Dialect{oracle.Volcano,
		schema.GroupVersionResource{Group: "scheduling.volcano.sh", Version: "v1beta1", Resource: "podgroups"}, "volcano"}
	Coscheduling = Dialect{oracle.Coscheduling,
		schema.GroupVersionResource{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"}, "scheduler-plugins-scheduler"}
	Native = Dialect{oracle.Native,
		schema.GroupVersionResource{Group: "scheduling.k8s.io", Version: "v1beta1", Resource: "podgroups"}, "phalanx"}
)

// Dialects are all of them.
var Dialects = []Dialect{Volcano, Coscheduling, Native}

// Gang is a gang all of whose members are alike and must run together.
type Gang struct {
	Dialect         Dialect
	Namespace, Name string
	Members         int
	GPUsPerMember   int64
	// RunFor is how long each member runs.
	RunFor       time.Duration
	NodeSelector map[string]string
}

// Key names the gang to the oracle.
func (g Gang) Key() oracle.Gang {
	return oracle.Gang{Dialect: g.Dialect.Name, Namespace: g.Namespace, Name: g.Name}
}

// GPUs is what the whole gang asks for.
func (g Gang) GPUs() int64 { return int64(g.Members) * g.GPUsPerMember }

// PodGroup makes the gang's PodGroup.
func (g Gang) PodGroup() *unstructured.Unstructured {
	spec := map[string]any{"minMember": int64(g.Members)}
	if g.Dialect.Name == oracle.Native {
		spec = map[string]any{"schedulingPolicy": map[string]any{"gang": map[string]any{"minCount": int64(g.Members)}}}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": g.Dialect.Resource.GroupVersion().String(),
		"kind":       "PodGroup",
		"metadata":   map[string]any{"namespace": g.Namespace, "name": g.Name},
		"spec":       spec,
	}}
}

// MinMember reads from a PodGroup of any dialect how many members must run together.
func MinMember(podGroup *unstructured.Unstructured) int {
	for _, path := range [][]string{{"spec", "minMember"}, {"spec", "schedulingPolicy", "gang", "minCount"}} {
		if n, isSet, err := unstructured.NestedInt64(podGroup.Object, path...); err == nil && isSet {
			return int(n)
		}
	}
	return 0
}

// DialectOf returns the dialect that a PodGroup is written in.
func DialectOf(podGroup *unstructured.Unstructured) (Dialect, error) {
	for _, d := range Dialects {
		if podGroup.GetKind() == "PodGroup" && d.Resource.GroupVersion() == podGroup.GroupVersionKind().GroupVersion() {
			return d, nil
		}
	}
	return Dialect{}, fmt.Errorf("%s is the PodGroup of no dialect", podGroup.GroupVersionKind())
}

// Pod makes the gang's member of that index.
func (g Gang) Pod(index int) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   g.Namespace,
			Name:        fmt.Sprintf("%s-%d", g.Name, index),
			Annotations: map[string]string{controlplane.AnnotationRunFor: g.RunFor.String()},
		},
		Spec: corev1.PodSpec{
			SchedulerName: g.Dialect.SchedulerName,
			RestartPolicy: corev1.RestartPolicyNever,
			NodeSelector:  g.NodeSelector,
			Containers: []corev1.Container{{
				Name: "trainer", Image: "registry.k8s.io/pause:3.10",
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{
					controlplane.ResourceGPU: *resource.NewQuantity(g.GPUsPerMember, resource.DecimalSI),
				}},
			}},
		},
	}
	switch g.Dialect.Name {
	case oracle.Volcano:
		pod.Annotations[oracle.VolcanoAnnotation] = g.Name
	case oracle.Coscheduling:
		pod.Labels = map[string]string{oracle.CoschedulingLabel: g.Name}
	case oracle.Native:
		pod.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &g.Name}
	}
	return pod
}
