package ledger

import (
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// memberState is how far one pod of a gang has come.
type memberState int

const (
	pending memberState = iota
	gated               // without a node, and not to be placed before its scheduling gates are gone
	bound
	running
	succeeded
	failed
	terminating     // without a node
	terminatingHeld // on a node that the core still counts for it
	leaving         // over, or not begun for a scheduling gate, and being deleted
	memberStates
)

// isLive is true for pods that compete for resources or hold them.
func (s memberState) isLive() bool {
	return s == pending || s == gated || s == bound || s == running
}

// isOnNode is true for pods for which the core counts what they take from a node.
func (s memberState) isOnNode() bool { return s == bound || s == running || s == terminatingHeld }

// isOver is true for pods that run no more and will not again.
func (s memberState) isOver() bool { return s == succeeded || s == failed || s == leaving }

// isShown is true for pods that the core knows. One with a gate is kept from it: it would hold the whole gang for that pod,
// even one that runs.
func (s memberState) isShown() bool { return !s.isOver() && s != gated }

// counts is true for pods that stand for a member of their gang.
func (s memberState) counts() bool { return s.isLive() && s != gated || s == succeeded }

func stateOf(pod *v1.Pod) memberState {
	switch {
	case pod.Status.Phase == v1.PodSucceeded && pod.DeletionTimestamp == nil:
		return succeeded
	case pod.Status.Phase == v1.PodFailed && pod.DeletionTimestamp == nil:
		return failed
	case pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed:
		return leaving
	case pod.DeletionTimestamp != nil && pod.Spec.NodeName != "":
		return terminatingHeld
	case pod.DeletionTimestamp != nil && len(pod.Spec.SchedulingGates) > 0:
		return leaving
	case pod.DeletionTimestamp != nil:
		return terminating
	case pod.Spec.NodeName == "" && len(pod.Spec.SchedulingGates) > 0:
		return gated
	case pod.Spec.NodeName == "":
		return pending
	case pod.Status.Phase == v1.PodRunning:
		return running
	default:
		return bound
	}
}

// member is one pod of a gang.
type member struct {
	pod         *v1.Pod // as the API server has it
	key         gang.Key
	role        string
	state       memberState
	isAmbiguous bool
	wish        gang.Wish // what it states of the fabric while it is live
	complaint   string    // what is wrong with that
}

// entry is the account of one gang.
type entry struct {
	key     gang.Key
	group   *gang.Group
	object  *unstructured.Unstructured
	members map[types.NamespacedName]*member

	// Sums over members, kept up by add and remove.
	count      [memberStates]int
	perRole    map[string]int // members that count toward a role's minimum
	doneByRole map[string]int // of these, the succeeded ones
	heldByRole map[string]int // and those that hold a node
	priorities map[int32]int  // of live members
	schedulers map[string]int // names of live members
	neverCount int            // live members whose preemption policy is Never
	wishes     wishes         // of live members
	strangers  int            // pods that name the group and a scheduler that is not ours

	// Derived from the above by settle.
	priority   int32
	policy     v1.PreemptionPolicy
	minCount   int32
	blocked    gang.Waiting
	isGroupOut bool // the core is shown the PodGroup

	isAdmitted bool // the cluster could hold the gang
	refused    gang.Waiting
	repair     mending
}

func newEntry(key gang.Key) *entry {
	return &entry{
		key:        key,
		members:    map[types.NamespacedName]*member{},
		perRole:    map[string]int{},
		doneByRole: map[string]int{},
		heldByRole: map[string]int{},
		priorities: map[int32]int{},
		schedulers: map[string]int{},
		wishes:     newWishes(),
	}
}

// add and remove keep the sums.
func (e *entry) add(name types.NamespacedName, m *member) {
	e.members[name] = m
	e.sum(m, 1)
}

func (e *entry) remove(name types.NamespacedName, m *member) {
	delete(e.members, name)
	e.sum(m, -1)
}

func (e *entry) sum(m *member, by int) {
	e.count[m.state] += by
	if m.state.counts() {
		addTo(e.perRole, m.role, by)
	}
	switch m.state {
	case succeeded:
		addTo(e.doneByRole, m.role, by)
	case bound, running:
		addTo(e.heldByRole, m.role, by)
	}
	if !m.state.isLive() {
		return
	}
	addTo(e.priorities, priorityOf(m.pod), by)
	addTo(e.schedulers, m.pod.Spec.SchedulerName, by)
	e.wishes.add(m, by)
	if p := m.pod.Spec.PreemptionPolicy; p != nil && *p == v1.PreemptNever {
		e.neverCount += by
	}
}

func addTo[K comparable](counts map[K]int, key K, by int) {
	if counts[key] += by; counts[key] == 0 {
		delete(counts, key)
	}
}

func priorityOf(pod *v1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

// isEmpty is true when nothing is left to account for.
func (e *entry) isEmpty() bool { return e.group == nil && len(e.members) == 0 && e.strangers == 0 }

// shown counts the pods of the gang that the core knows.
func (e *entry) shown() int {
	return e.count[pending] + e.count[bound] + e.count[running] + e.count[terminating] + e.count[terminatingHeld]
}

// waiting is why pending members wait: what blocks the gang, else what the last try met.
func (e *entry) waiting() gang.Waiting {
	if e.blocked != (gang.Waiting{}) {
		return e.blocked
	}
	return e.refused
}

// settle derives what the core is shown from group and members. It reports whether the members must be shown anew.
func (e *entry) settle(classes map[string]int32) (membersChanged bool) {
	priority, policy := e.effectivePriority(classes), v1.PreemptLowerPriority
	if e.neverCount > 0 {
		policy = v1.PreemptNever
	}
	membersChanged = priority != e.priority || policy != e.policy
	e.priority, e.policy = priority, policy
	e.wishes.derive()
	e.minCount, e.blocked = 1, e.block(classes)
	if e.group != nil {
		e.minCount = max(1, e.group.MinMember-int32(e.count[succeeded])+int32(e.count[terminatingHeld]))
	}
	if e.count[pending] == 0 {
		e.refused = gang.Waiting{}
	}
	return membersChanged
}

func (e *entry) effectivePriority(classes map[string]int32) int32 {
	if e.group != nil {
		if e.group.Priority != nil {
			return *e.group.Priority
		}
		if value, ok := classes[e.group.PriorityClassName]; ok {
			return value
		}
	}
	if len(e.priorities) == 0 {
		return e.priority
	}
	return slices.Max(slices.Collect(maps.Keys(e.priorities)))
}

// block returns what keeps the whole gang from being tried, in the order in which a user can do something about it.
func (e *entry) block(classes map[string]int32) gang.Waiting {
	g := e.group
	if g == nil {
		return gang.Waiting{Reason: gang.GangNotFound, Sentence: fmt.Sprintf("no PodGroup %s/%s of dialect %s exists", e.key.Namespace, e.key.Name, e.key.Dialect)}
	}
	if g.Invalid != "" {
		return gang.Waiting{Reason: gang.GangInvalid, Sentence: fmt.Sprintf("PodGroup %s/%s: %s", g.Namespace, g.Name, g.Invalid)}
	}
	if _, ok := classes[g.PriorityClassName]; !ok && g.PriorityClassName != "" && g.Priority == nil {
		return gang.Waiting{Reason: gang.GangInvalid, Sentence: fmt.Sprintf("PodGroup %s/%s: no PriorityClass is named %q, its priorityClassName", g.Namespace, g.Name, g.PriorityClassName)}
	}
	if len(e.schedulers) > 1 {
		return gang.Waiting{Reason: gang.GangInvalid, Sentence: fmt.Sprintf("its members name different schedulers: %q", slices.Sorted(maps.Keys(e.schedulers)))}
	}
	if wrong := e.wrongWish(); wrong != "" {
		return gang.Waiting{Reason: gang.GangInvalid, Sentence: wrong}
	}
	if e.repair.phase == gang.Restarting {
		return gang.Waiting{Reason: gang.GangIncomplete, Sentence: "what is left of the gang is deleted, so that its controller makes it anew"}
	}
	exist := e.count[pending] + e.count[bound] + e.count[running] + e.count[succeeded]
	if exist < int(g.MinMember) {
		return gang.Waiting{Reason: gang.GangIncomplete, Sentence: fmt.Sprintf("%d of %d members exist%s", exist, g.MinMember, e.heldBack())}
	}
	for _, role := range slices.Sorted(maps.Keys(g.MinPerRole)) {
		if exist := e.perRole[role]; exist < int(g.MinPerRole[role]) {
			return gang.Waiting{Reason: gang.GangIncomplete, Sentence: fmt.Sprintf("%d of %d members of role %q exist%s", exist, g.MinPerRole[role], role, e.heldBack())}
		}
	}
	return gang.Waiting{}
}

// heldBack tells of members that exist and do not count yet.
func (e *entry) heldBack() string {
	switch count := e.count[gated]; count {
	case 0:
		return ""
	case 1:
		return ", 1 more has a scheduling gate"
	default:
		return fmt.Sprintf(", %d more have a scheduling gate", count)
	}
}
