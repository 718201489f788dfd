package volcano

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"volcano.sh/apis/pkg/apis/scheduling/v1beta1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/object"
)

// Name is the dialect's name.
const Name = "volcano"

// TaskSpecKey is the annotation, or else the label, that names a pod's role: a key of minTaskMember.
const TaskSpecKey = "volcano.sh/task-spec"

// Dialect is Volcano's way to write a gang down.
type Dialect struct{}

var _ gang.Dialect = &Dialect{}

// New makes the dialect.
func New() *Dialect { return &Dialect{} }

// Name implements [gang.Dialect].
func (*Dialect) Name() string { return Name }

// Resource implements [gang.Dialect].
func (*Dialect) Resource() schema.GroupVersionResource {
	return v1beta1.SchemeGroupVersion.WithResource("podgroups")
}

// HasStatusSubresource is false: in Volcano's CRD the status is a field like any other, and /status answers 404.
func (*Dialect) HasStatusSubresource() bool { return false }

// GroupName reads the one key that Volcano's scheduler reads. scheduling.volcano.sh/group-name is a key for controllers.
func (*Dialect) GroupName(pod *v1.Pod) string {
	return pod.Annotations[v1beta1.KubeGroupNameAnnotationKey]
}

// Role implements [gang.Dialect].
func (*Dialect) Role(pod *v1.Pod) string {
	if role := pod.Annotations[TaskSpecKey]; role != "" {
		return role
	}
	return pod.Labels[TaskSpecKey]
}

// Translate implements [gang.Dialect].
func (*Dialect) Translate(podGroup *unstructured.Unstructured) *gang.Group {
	group := object.Group(Name, podGroup)
	spec := object.Read(podGroup)
	group.MinMember, _ = spec.Int32(0, "spec", "minMember")
	group.MinPerRole = binding(spec.Counts("spec", "minTaskMember"), group.MinMember)
	group.MinResources = spec.NodeResources("spec", "minResources")
	group.PriorityClassName = spec.Text("spec", "priorityClassName")
	group.Wish = spec.Wish(networkTopology(spec, "spec", "networkTopology"))
	group.SubGroups = subGroups(spec)
	group.Invalid = spec.Complaint()
	return group
}

// binding are the minima per role that bind: none at all where they ask for more members than minMember does.
func binding(roles map[string]int32, minMember int32) map[string]int32 {
	sum := int64(0)
	for role, minimum := range roles {
		if sum += int64(minimum); minimum == 0 {
			delete(roles, role)
		}
	}
	if len(roles) == 0 || sum > int64(minMember) {
		return nil
	}
	return roles
}
