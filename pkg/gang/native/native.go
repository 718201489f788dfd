package native

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/object"
)

// Dialect is Kubernetes' own way to write a gang down.
type Dialect struct{}

var _ gang.Dialect = &Dialect{}

// New makes the dialect.
func New() *Dialect { return &Dialect{} }

// Name implements [gang.Dialect].
func (*Dialect) Name() string { return gang.NativeName }

// Resource implements [gang.Dialect].
func (*Dialect) Resource() schema.GroupVersionResource {
	return schedulingv1beta1.SchemeGroupVersion.WithResource("podgroups")
}

// HasStatusSubresource implements [gang.Dialect].
func (*Dialect) HasStatusSubresource() bool { return true }

// GroupName reads the field that the other dialects' keys are translated into. In this process it may therefore hold the
// in-memory name of another dialect's group, which is no claim of the pod in this one.
func (*Dialect) GroupName(pod *v1.Pod) string {
	group := pod.Spec.SchedulingGroup
	if group == nil || group.PodGroupName == nil {
		return ""
	}
	if key := gang.KeyOf(pod.Namespace, *group.PodGroupName); key.Dialect == gang.NativeName {
		return key.Name
	}
	return ""
}

// Role is always "": this dialect knows no roles.
func (*Dialect) Role(*v1.Pod) string { return "" }

// UnderRepair is the condition of a PodGroup that lost members while it ran.
const UnderRepair = gang.KeyPrefix + "UnderRepair"

// Status adds to what the scheduler's core writes itself what it knows nothing of: that members are lost, and that they are no more.
func (*Dialect) Status(podGroup *unstructured.Unstructured, progress gang.Progress, now metav1.Time) *unstructured.Unstructured {
	status := object.EditStatus(podGroup)
	conditions := slices.Clone(status.Conditions())
	at := slices.IndexFunc(conditions, func(element any) bool {
		fields, isObject := element.(map[string]any)
		return isObject && fields["type"] == UnderRepair
	})
	before := map[string]any{}
	if at >= 0 {
		before = conditions[at].(map[string]any)
	}
	after := map[string]any{"type": UnderRepair, "status": string(metav1.ConditionFalse), "reason": "Repaired", "message": ""}
	switch progress.Repair.Phase {
	case gang.Repairing:
		after["status"], after["reason"], after["message"] = string(metav1.ConditionTrue), "MembersLost", progress.Repair.String()
	case gang.GivenUp, gang.Restarting:
		after["reason"], after["message"] = "RepairTimeout", progress.Repair.String()
	}
	if at < 0 && progress.Repair.Phase != gang.Repairing {
		return nil // what was never lost need not be denied
	}
	after["lastTransitionTime"] = now.UTC().Format(time.RFC3339)
	if since, isText := before["lastTransitionTime"].(string); isText && before["status"] == after["status"] {
		after["lastTransitionTime"] = since
	}
	if reflect.DeepEqual(before, after) {
		return nil
	}
	if at >= 0 {
		conditions[at] = after
	} else {
		conditions = append(conditions, after)
	}
	status.Set("conditions", conditions)
	return status.Result()
}

// Translate implements [gang.Dialect].
func (*Dialect) Translate(podGroup *unstructured.Unstructured) *gang.Group {
	group := object.Group(gang.NativeName, podGroup)
	spec := object.Read(podGroup)
	group.MinMember = minimum(spec)
	group.PriorityClassName = spec.Text("spec", "priorityClassName")
	if priority, present := spec.Int32(lowestPriority, "spec", "priority"); present {
		group.Priority = &priority
	}
	group.Wish = spec.Wish(constraint(spec))
	group.Invalid = spec.Complaint()

	native, err := decode(podGroup)
	switch {
	case err == nil:
		group.Native = native
	case group.Invalid == "":
		group.Invalid = fmt.Sprintf("the object does not read as a %s PodGroup: %v", schedulingv1beta1.SchemeGroupVersion, err)
	}
	return group
}

// lowestPriority is no limit: a priority may be any whole number of its type.
const lowestPriority = -1 << 31

func minimum(spec *object.Reader) int32 {
	isGang, isBasic := spec.Has("spec", "schedulingPolicy", "gang"), spec.Has("spec", "schedulingPolicy", "basic")
	switch {
	case isGang && isBasic:
		spec.Complain("spec.schedulingPolicy has both basic and gang: it must have one of them")
	case isGang:
		minCount, present := spec.Int32(1, "spec", "schedulingPolicy", "gang", "minCount")
		if !present {
			spec.Complain("spec.schedulingPolicy.gang.minCount is missing: it must be at least 1")
		}
		return minCount
	case !isBasic:
		spec.Complain("spec.schedulingPolicy has neither basic nor gang: it must have one of them")
	}
	return 0
}

// constraint is the group's topology constraint. The API allows one; the core reads the first.
func constraint(spec *object.Reader) gang.Wish {
	constraints := spec.List("spec", "schedulingConstraints", "topology")
	if len(constraints) == 0 {
		return gang.Wish{}
	}
	if !constraints[0].Has("key") {
		spec.Complain(constraints[0].Place("key") + " is missing: it must be a node label key")
	}
	if len(constraints) > 1 {
		spec.Complain(constraints[1].Place() + " is one too many: there must be at most one constraint")
	}
	return gang.Wish{Required: constraints[0].Level("key")}
}

// decode goes through JSON, which costs more than converting field by field, but cannot panic and names the field that
// does not fit.
func decode(podGroup *unstructured.Unstructured) (*schedulingv1beta1.PodGroup, error) {
	encoded, err := json.Marshal(podGroup.Object)
	if err != nil {
		return nil, err
	}
	native := &schedulingv1beta1.PodGroup{}
	if err := json.Unmarshal(encoded, native); err != nil {
		return nil, err
	}
	return native, nil
}
