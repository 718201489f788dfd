package volcano

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"volcano.sh/apis/pkg/apis/scheduling/v1beta1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/object"
)

// Status implements [gang.Dialect].
func (d *Dialect) Status(podGroup *unstructured.Unstructured, progress gang.Progress, now metav1.Time) *unstructured.Unstructured {
	group := d.Translate(podGroup)
	status := object.EditStatus(podGroup)
	before := v1beta1.PodGroupPhase(status.Text("phase"))
	phase := nextPhase(before, group, progress)

	status.Set("phase", string(phase))
	status.SetCount("running", progress.Running)
	status.SetCount("succeeded", progress.Succeeded)
	status.SetCount("failed", progress.Failed)
	for _, wish := range []condition{unschedulable(phase, group, progress), scheduled(phase, group, progress)} {
		wish.apply(status, group, now)
	}
	return status.Result()
}

// nextPhase is the machine that doc.go draws. It is idempotent: a phase that it returns, it returns again for the same
// group and progress.
func nextPhase(before v1beta1.PodGroupPhase, group *gang.Group, progress gang.Progress) v1beta1.PodGroupPhase {
	if !isPhase(before) {
		before = v1beta1.PodGroupPending
	}
	if group.Invalid != "" {
		return before
	}
	isOver := progress.Pending+progress.Bound+progress.Running == 0
	hasRun := before == v1beta1.PodGroupRunning || before == v1beta1.PodGroupUnknown
	switch {
	case isOver && progress.Succeeded+progress.Failed >= need(group):
		return v1beta1.PodGroupCompleted
	case isOver && before == v1beta1.PodGroupCompleted:
		return v1beta1.PodGroupCompleted
	case isOver && hasRun && group.MinMember == 0:
		return v1beta1.PodGroupCompleted
	case progress.Placed() >= need(group):
		return v1beta1.PodGroupRunning
	case hasRun:
		return v1beta1.PodGroupUnknown
	case before == v1beta1.PodGroupInqueue, before == v1beta1.PodGroupCompleted:
		return v1beta1.PodGroupInqueue
	case progress.Admitted, progress.Members() >= need(group):
		return v1beta1.PodGroupInqueue
	}
	return v1beta1.PodGroupPending
}

// need is how many members must be placed for the gang to run: even a group that asks for none does not run without any.
func need(group *gang.Group) int32 { return max(1, group.MinMember) }

func isPhase(phase v1beta1.PodGroupPhase) bool {
	switch phase {
	case v1beta1.PodGroupPending, v1beta1.PodGroupInqueue, v1beta1.PodGroupRunning, v1beta1.PodGroupUnknown, v1beta1.PodGroupCompleted:
		return true
	}
	return false
}

// condition is what a condition should say. A zero status leaves it as it is; False is said only where it was True: a
// condition that never held needs no denial.
type condition struct {
	kind            v1beta1.PodGroupConditionType
	status          v1.ConditionStatus
	reason, message string
}

// unschedulable says why the gang waits. Members above the minimum that wait while it runs say so on their own pods.
func unschedulable(phase v1beta1.PodGroupPhase, group *gang.Group, progress gang.Progress) condition {
	runs := phase == v1beta1.PodGroupRunning || phase == v1beta1.PodGroupCompleted
	if runs || progress.Waiting == (gang.Waiting{}) {
		return condition{kind: v1beta1.PodGroupUnschedulableType, status: v1.ConditionFalse}
	}
	return condition{
		kind:    v1beta1.PodGroupUnschedulableType,
		status:  v1.ConditionTrue,
		reason:  reasonFor(progress.Waiting.Reason, group, progress),
		message: progress.Waiting.String(),
	}
}

// reasonFor finds the reason of Volcano's closed list: NotEnoughTasks and NotEnoughPodsOfTask for a gang that is not yet
// worth a try, NotEnoughResources for one that was tried in vain, whatever stood in its way. The message tells the rest.
func reasonFor(reason gang.Reason, group *gang.Group, progress gang.Progress) string {
	switch reason {
	case gang.GangIncomplete:
		if len(group.MinPerRole) > 0 && progress.Members() >= need(group) {
			return v1beta1.NotEnoughPodsOfTaskReason
		}
		return v1beta1.NotEnoughPodsReason
	case gang.GangNotFound, gang.GangInvalid:
		return v1beta1.NotEnoughPodsReason
	}
	return v1beta1.NotEnoughResourcesReason
}

// readyReason is the wording that Volcano's scheduler uses where the API promises one word.
const readyReason = "tasks in gang are ready to be scheduled"

// scheduled says whether the minimum is placed. What it said when the gang was over stays when the pods are deleted.
func scheduled(phase v1beta1.PodGroupPhase, group *gang.Group, progress gang.Progress) condition {
	isPlaced := progress.Placed() >= need(group)
	switch {
	case phase == v1beta1.PodGroupRunning, phase == v1beta1.PodGroupCompleted && isPlaced:
		return condition{kind: v1beta1.PodGroupScheduled, status: v1.ConditionTrue, reason: readyReason}
	case phase == v1beta1.PodGroupCompleted || group.Invalid != "":
		return condition{kind: v1beta1.PodGroupScheduled}
	}
	message := fmt.Sprintf("%d of %d members that must run together have a node", progress.Placed(), need(group))
	if progress.Repair.Phase == gang.Repairing {
		message = progress.Repair.String()
	}
	reason := v1beta1.NotEnoughResourcesReason
	switch {
	case progress.Failed > 0:
		reason = v1beta1.PodFailedReason
	case progress.Members() < need(group):
		// Deleted pods and a raised minimum look alike from here.
		reason = v1beta1.NotEnoughPodsReason
	}
	return condition{
		kind:    v1beta1.PodGroupScheduled,
		status:  v1.ConditionFalse,
		reason:  reason,
		message: message,
	}
}

// apply writes the condition into its first element of that kind, or a new one behind all others, which it does not touch.
func (c condition) apply(status *object.Status, group *gang.Group, now metav1.Time) {
	conditions := slices.Clone(status.Conditions())
	at := slices.IndexFunc(conditions, func(element any) bool {
		fields, isObject := element.(map[string]any)
		return isObject && fields["type"] == string(c.kind)
	})
	if c.status == "" || c.status == v1.ConditionFalse && at < 0 {
		return
	}
	before := map[string]any{}
	if at >= 0 {
		before = conditions[at].(map[string]any)
	}
	after := maps.Clone(before)
	after["type"], after["status"] = string(c.kind), string(c.status)
	setText(after, "reason", c.reason)
	setText(after, "message", c.message)
	if before["status"] != after["status"] {
		moment := now.UTC().Format(time.RFC3339)
		after["lastTransitionTime"] = moment
		after["transitionID"] = transitionID(group, c, moment)
	}
	if reflect.DeepEqual(before, after) {
		return
	}
	if at >= 0 {
		conditions[at] = after
	} else {
		conditions = append(conditions, after)
	}
	status.Set("conditions", conditions)
}

// setText leaves an empty text out, as the API's own Go types do.
func setText(fields map[string]any, key, text string) {
	if text == "" {
		delete(fields, key)
		return
	}
	fields[key] = text
}

// transitions is the namespace of our transition identities.
var transitions = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://"+gang.KeyPrefix+"volcano/transition"))

// transitionID derives the identity of a transition from what it is, so that nothing has to be random or remembered.
func transitionID(group *gang.Group, c condition, moment string) string {
	return uuid.NewSHA1(transitions, []byte(string(group.UID)+"/"+string(c.kind)+"/"+string(c.status)+"/"+moment)).String()
}
