// Package ledger keeps the account of all gangs: which PodGroups exist, which pods are their members, how far each has come
// and why it waits.
//
// Purpose: it is the edge at which dialects become Kubernetes. Pods and PodGroups go in as the API server has them, one
// change at a time; out come two feeds that the scheduler's core reads through its informers: pods that carry
// spec.schedulingGroup, and scheduling.k8s.io PodGroups. Nothing of that is ever written to the API server.
//
// What the ledger settles, so that nobody after it has to:
//   - which gang a pod belongs to, by the order of the dialects given to [New] (a pod with keys of two dialects belongs to
//     the first; see [State.Ambiguous]); pods of schedulers that we do not serve belong to none;
//   - one priority for all members of a gang, since the core refuses a group whose pods differ: the group's own, else its
//     class's, else the highest of its live members; and one preemption policy, Never if any member says so;
//   - one wish of the fabric: the PodGroup's, else the one that all live members state, else one for each role whose members
//     state one; members of one role that contradict each other block the gang;
//   - what counts toward minMember: pending, bound, running and succeeded pods do; failed and terminating ones, and those
//     with a scheduling gate, do not.
//     The core cannot see succeeded pods and counts terminating ones until they are gone, so the minCount it is shown is
//     minMember - succeeded + terminating members that still hold a node;
//   - whose place is kept after a running gang has lost members: see repair.go, which draws it.
//
// Invariants: feeds never show a member before its ledger entry; an object that was handed out is never changed.
// Cost: constant per change of a pod, but for a change of a gang's priority, which shows all its members anew.
// All methods may be called from any goroutine.
package ledger

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/feed"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/parking"
)

// Ledger is the account of all gangs. Build it with [New].
type Ledger struct {
	// Pods and Groups are what the scheduler's core is shown.
	Pods   *feed.Feed[*v1.Pod]
	Groups *feed.Feed[*schedulingv1beta1.PodGroup]

	dialects []gang.Dialect
	serves   sets.Set[string]
	notify   func(gang.Key)
	lot      *parking.Lot

	mu       sync.Mutex
	members  map[types.NamespacedName]*member
	strange  map[types.NamespacedName]gang.Key // pods that name a group and a scheduler that is not ours
	gangs    map[gang.Key]*entry
	classes  map[string]int32
	capacity capacity
	repairs  repairs
}

// New returns an empty ledger for the dialects, in their order of precedence, and the scheduler names that we serve.
// notify is called, with the ledger locked, for each gang whose [State] may have changed; it must not call back.
func New(dialects []gang.Dialect, schedulerNames []string, notify func(gang.Key)) *Ledger {
	lot := parking.NewLot(clock.RealClock{})
	return &Ledger{
		Pods: feed.New(func(items []*v1.Pod, version string) runtime.Object {
			slices.SortFunc(items, firstShown)
			list := &v1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: version}, Items: make([]v1.Pod, len(items))}
			for i, item := range items {
				list.Items[i] = *item
			}
			return list
		}),
		Groups: feed.New(func(items []*schedulingv1beta1.PodGroup, version string) runtime.Object {
			list := &schedulingv1beta1.PodGroupList{ListMeta: metav1.ListMeta{ResourceVersion: version}, Items: make([]schedulingv1beta1.PodGroup, len(items))}
			for i, item := range items {
				list.Items[i] = *item
			}
			return list
		}),
		dialects: dialects,
		serves:   sets.New(schedulerNames...),
		notify: func(key gang.Key) {
			lot.Changed(key)
			notify(key)
		},
		lot:      lot,
		members:  map[types.NamespacedName]*member{},
		strange:  map[types.NamespacedName]gang.Key{},
		gangs:    map[gang.Key]*entry{},
		classes:  map[string]int32{},
		capacity: newCapacity(),
		repairs:  newRepairs(),
	}
}

// firstShown is the order in which the core gets to know of pods when it starts. Those with a node come first: for each of them the core goes
// through all that wait, of which there are none then. Of the others the oldest come first, as they did when they were created.
func firstShown(a, b *v1.Pod) int {
	if x, y := a.Spec.NodeName != "", b.Spec.NodeName != ""; x != y {
		if x {
			return -1
		}
		return 1
	}
	return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// Serves tells whether pods with this spec.schedulerName are ours.
func (l *Ledger) Serves(schedulerName string) bool { return l.serves.Has(schedulerName) }

// Dialect returns the dialect of that name, nil if there is none.
func (l *Ledger) Dialect(name string) gang.Dialect {
	for _, d := range l.dialects {
		if d.Name() == name {
			return d
		}
	}
	return nil
}

// State is what the ledger knows of one gang at one moment. Its objects are shared: do not change them.
type State struct {
	// Group is nil while the PodGroup does not exist; Object is the PodGroup as the API server has it.
	Group  *gang.Group
	Object *unstructured.Unstructured
	// Progress is what the gang's status is derived from; Progress.Waiting is zero unless a member is pending.
	Progress gang.Progress
	// Pending are the members without a node, as the API server has them.
	Pending []*v1.Pod
	// Ambiguous are live members that carry the keys of more than one dialect.
	Ambiguous []*v1.Pod
	// HasMembers is true if any pod of ours names the group, HasStrangers if a pod of a scheduler does that is not ours.
	HasMembers, HasStrangers bool
}

// State returns the state of a gang, false if nothing is known of it.
func (l *Ledger) State(key gang.Key) (State, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.gangs[key]
	if !ok {
		return State{}, false
	}
	s := State{Group: e.group, Object: e.object, HasMembers: len(e.members) > 0, HasStrangers: e.strangers > 0, Progress: gang.Progress{
		Pending:   int32(e.count[pending] + e.count[gated]),
		Bound:     int32(e.count[bound]),
		Running:   int32(e.count[running]),
		Succeeded: int32(e.count[succeeded]),
		Failed:    int32(e.count[failed]),
		Admitted:  e.isAdmitted,
		Repair:    e.repairing(),
	}}
	for _, m := range e.members {
		if m.state == pending {
			s.Pending = append(s.Pending, m.pod)
		}
		if m.isAmbiguous && m.state.isLive() {
			s.Ambiguous = append(s.Ambiguous, m.pod)
		}
	}
	if e.count[pending] > 0 {
		s.Progress.Waiting = e.waiting()
	}
	return s, true
}

// Blocked returns why no member of the gang may be tried now, the zero value if they may.
func (l *Ledger) Blocked(key gang.Key) gang.Waiting {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.gangs[key]; ok {
		return e.blocked
	}
	return gang.Waiting{}
}

// Demand is what a gang still needs at the moment at which it is tried. It shares its slices: do not change them.
type Demand struct {
	Group *gang.Group
	// HasSucceeded is true if members are over that count toward the minimum; SucceededPerRole counts them where roles have
	// minima of their own. The core does not see them.
	HasSucceeded     bool
	SucceededPerRole map[string]int
	// Wish is what the gang wishes of the fabric, and SubGroups what it wishes for parts of it: what its PodGroup says, else
	// what its live members say. [gang.SubGroupOf] finds a member's part.
	Wish      gang.Wish
	SubGroups []gang.SubGroup
}

// Demand returns what the solver has to know of a gang, false if its PodGroup does not exist.
func (l *Ledger) Demand(key gang.Key) (Demand, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.gangs[key]
	if !ok || e.group == nil {
		return Demand{}, false
	}
	d := Demand{Group: e.group, HasSucceeded: e.count[succeeded] > 0}
	d.Wish, d.SubGroups = e.wishOf()
	if len(e.group.MinPerRole) > 0 {
		d.SucceededPerRole = maps.Clone(e.doneByRole)
	}
	return d, true
}

// Refuse notes why the last try to place the gang failed. It holds until [Ledger.Accept], or until a member is bound.
func (l *Ledger) Refuse(key gang.Key, why gang.Waiting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.gangs[key]; ok && e.refused != why {
		e.refused = why
		l.notify(key)
	}
}

// Lot is where gangs that were refused for want of room are parked. Whatever changes of a gang ends that.
func (l *Ledger) Lot() *parking.Lot { return l.lot }

// Accept notes that the gang has been placed: what is still pending is on its way.
func (l *Ledger) Accept(key gang.Key) { l.Refuse(key, gang.Waiting{}) }

// Refused returns one pending member of each gang that was tried in vain, is not parked, and that nothing else keeps from being
// tried again, as the core is shown it, by namespace and name.
func (l *Ledger) Refused() map[string]*v1.Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	pods := map[string]*v1.Pod{}
	for _, e := range l.gangs {
		if e.refused == (gang.Waiting{}) || e.blocked != (gang.Waiting{}) || l.lot.Holds(e.key) {
			continue
		}
		for name, m := range e.members {
			if m.state == pending {
				pods[name.String()] = e.inMemory(m.pod)
				break // any member stands for its gang, which is queued as a whole
			}
		}
	}
	return pods
}

// MemberOf returns the gang that a pod belongs to.
func (l *Ledger) MemberOf(pod types.NamespacedName) (gang.Key, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.members[pod]
	if !ok {
		return gang.Key{}, false
	}
	return m.key, true
}

// IsHalfStarted is true while members of the gang hold nodes, but fewer than must run together.
func (l *Ledger) IsHalfStarted(key gang.Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.gangs[key]
	if !ok || e.group == nil {
		return false
	}
	return e.held() > 0 && e.missing() > 0
}

// Role returns a member's role inside its gang, "" if it has none.
func (l *Ledger) Role(key gang.Key, pod *v1.Pod) string {
	if d := l.Dialect(key.Dialect); d != nil {
		return d.Role(pod)
	}
	return ""
}
