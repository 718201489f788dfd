package coscheduling

import (
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/object"
)

// Name is the dialect's name.
const Name = "coscheduling"

// Dialect is the scheduler-plugins project's way to write a gang down.
type Dialect struct{}

var _ gang.Dialect = &Dialect{}

// New makes the dialect.
func New() *Dialect { return &Dialect{} }

// Name implements [gang.Dialect].
func (*Dialect) Name() string { return Name }

// Resource implements [gang.Dialect].
func (*Dialect) Resource() schema.GroupVersionResource {
	return v1alpha1.SchemeGroupVersion.WithResource("podgroups")
}

// HasStatusSubresource is true: a plain update would drop the status.
func (*Dialect) HasStatusSubresource() bool { return true }

// GroupName implements [gang.Dialect].
func (*Dialect) GroupName(pod *v1.Pod) string { return pod.Labels[v1alpha1.PodGroupLabel] }

// Role is always "": this dialect knows no roles.
func (*Dialect) Role(*v1.Pod) string { return "" }

// Translate implements [gang.Dialect].
func (*Dialect) Translate(podGroup *unstructured.Unstructured) *gang.Group {
	group := object.Group(Name, podGroup)
	spec := object.Read(podGroup)
	minMember, _ := spec.Int32(0, "spec", "minMember")
	group.MinMember = max(1, minMember)
	group.MinResources = spec.NodeResources("spec", "minResources")
	seconds, _ := spec.Int32(0, "spec", "scheduleTimeoutSeconds")
	group.ScheduleTimeout = time.Duration(seconds) * time.Second
	group.Wish = spec.Wish(gang.Wish{})
	group.Invalid = spec.Complaint()
	return group
}
