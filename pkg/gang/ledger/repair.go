package ledger

import (
	"context"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
)

// A gang that ran and lost members, so that fewer are left than must run together, is under repair: the places of the lost ones are
// kept for their replacements.
//
//	         minimum holds nodes           a member is lost,              a place was kept for the
//	                                       fewer are left than the        whole timeout in vain
//	┌─────────┐            ┌─────────────┐ minimum          ┌───────────┐                 ┌──────────┐
//	│ unbegun ├───────────▶│ NoRepair,   ├─────────────────▶│ Repairing ├────────────────▶│ GivenUp  │
//	└─────────┘            │ has started │                  └─┬─────────┘                 └─┬────────┘
//	     ▲                 └─────────────┘◀───────────────────┴─────────────────────────────┘
//	     │                                    minimum holds nodes again
//	     └── from everywhere: nobody holds a node any more, or the PodGroup is gone
//
// Where the administrator wants gangs restarted, Restarting takes the place of GivenUp: nobody is placed until the last member that
// holds a node is deleted, and with it the gang is unbegun.
//
// What deserves a reason:
//
//   - A member is lost when it leaves its node: its pod is gone, or failed. Before, while it terminates, its place is not free.
//     A member that succeeded is not lost. One that failed and never ran was refused by its kubelet: it had no place.
//   - At most as many places are kept as members are missing, those of the last lost ones. A gang with members beyond its
//     minimum loses some of them without a repair.
//   - A gang that ends loses its members one by one. It keeps places only while somebody of it holds a node still.
//   - The first place that was kept in vain ends the repair with all its places: without that member the others are of no use. Members
//     that are lost later get the timeout anew only if those before them are replaced, so that a gang with a member that nobody
//     replaces holds on to nothing for longer, however often others crash.
//
// The scheduler crashes: a standby has seen the same and keeps the same. A process that starts knows nothing of pods that are gone;
// places of failed pods that still exist are kept for what is left of their time: see [Ledger.Recall].

// mending is the repair of one gang.
type mending struct {
	phase      gang.RepairPhase
	hasStarted bool // its minimum held nodes, and some members have done so ever since
	lost       []loss
}

// loss is a member that is lost, the oldest first.
type loss struct {
	place  *repair.Place
	isKept bool // its node is there still
}

// repairs are all of them.
type repairs struct {
	repair.Options
	places *repair.Places
	open   map[gang.Key]*entry // those with phase Repairing
	begun  chan struct{}       // holds at most one
	fallen []*v1.Pod           // failed members that were there at the start; nil after Recall
}

func newRepairs() repairs {
	return repairs{
		Options: repair.Options{Clock: clock.RealClock{}},
		places:  repair.NewPlaces(), open: map[gang.Key]*entry{}, begun: make(chan struct{}, 1),
	}
}

// Repair has places kept from now on. It is called before the first pod comes.
func (l *Ledger) Repair(options repair.Options) {
	l.repairs.Options, l.repairs.fallen = options, []*v1.Pod{}
}

// Places are those that are kept.
func (l *Ledger) Places() *repair.Places { return l.repairs.places }

// held counts the members that hold a node and are not on their way out.
func (e *entry) held() int { return e.count[bound] + e.count[running] }

// missing counts the members that must run together with others and hold no node, nor did until they succeeded.
func (e *entry) missing() int {
	byRole := 0
	for role, minimum := range e.group.MinPerRole {
		byRole += max(0, int(minimum)-e.heldByRole[role]-e.doneByRole[role])
	}
	return max(0, byRole, int(e.group.MinMember)-e.held()-e.count[succeeded])
}

// mend looks at what a member's change means for the repair of its gang; before is nil for one that is new. The lock is held.
func (l *Ledger) mend(e *entry, before, m *member, pod *v1.Pod) {
	wasOnNode := before != nil && before.state.isOnNode()
	switch {
	case (m.state == bound || m.state == running) && !wasOnNode:
		e.fill(l, m)
	case pod.Status.Phase != v1.PodFailed:
	case wasOnNode && (before.pod.Status.Phase == v1.PodRunning || !fellAt(pod).IsZero()):
		l.lose(e, before)
	case before == nil && m.state == failed && l.repairs.fallen != nil && !fellAt(pod).IsZero():
		l.repairs.fallen = append(l.repairs.fallen, pod)
	}
}

// lose keeps the place of a member that left its node, if its gang runs on without its minimum. The lock is held.
func (l *Ledger) lose(e *entry, m *member) {
	l.keep(e, m.pod, m.role, l.repairs.Clock.Now())
}

func (l *Ledger) keep(e *entry, pod *v1.Pod, role string, since time.Time) {
	r := &e.repair
	policy := l.repairs.Policies[pod.Spec.SchedulerName]
	isOpen := r.phase == gang.NoRepair || r.phase == gang.Repairing
	if policy.Timeout == 0 || !isOpen || !r.hasStarted || !e.isSound() || e.held() == 0 || len(r.lost) >= e.missing() {
		return
	}
	place := repair.NewPlace(e.key, pod, role, e.priority, since.Add(policy.Timeout))
	r.lost = append(r.lost, loss{place, l.repairs.places.Add(place)})
	r.phase, l.repairs.open[e.key] = gang.Repairing, e
	select {
	case l.repairs.begun <- struct{}{}:
	default: // told already
	}
}

func (e *entry) isSound() bool { return e.group != nil && e.group.Invalid == "" }

// fill gives up the place of whom a member replaces that got a node: who had its rank, or else stood where it stands, or had its
// role, or else the first that was lost. The lock is held.
func (e *entry) fill(l *Ledger, m *member) {
	if len(e.repair.lost) == 0 {
		return
	}
	rank, hasRank := gang.Rank(m.pod)
	for _, isReplaced := range []func(*repair.Place) bool{
		func(p *repair.Place) bool {
			other, ok := gang.Rank(p.Pod)
			return ok && hasRank && other == rank && p.Role == m.role
		},
		func(p *repair.Place) bool { return p.Node == m.pod.Spec.NodeName },
		func(p *repair.Place) bool { return p.Role == m.role },
		func(*repair.Place) bool { return true },
	} {
		if i := slices.IndexFunc(e.repair.lost, func(lost loss) bool { return isReplaced(lost.place) }); i >= 0 {
			l.release(e, i)
			return
		}
	}
}

// release gives up one place. The lock is held.
func (l *Ledger) release(e *entry, i int) {
	l.repairs.places.Remove(e.repair.lost[i].place)
	e.repair.lost = slices.Delete(e.repair.lost, i, i+1)
}

// tend brings the repair of a gang up to date with its sums. The lock is held.
func (l *Ledger) tend(e *entry) {
	switch {
	case e.group == nil || e.held() == 0:
		l.end(e, gang.NoRepair, repair.Over)
		e.repair.hasStarted = false
	case !e.isSound():
	case e.missing() == 0:
		l.end(e, gang.NoRepair, repair.Whole)
		e.repair.hasStarted = true
	default:
		for len(e.repair.lost) > e.missing() { // the minimum was lowered
			l.release(e, 0)
		}
	}
}

// end ends a repair, if there is one, and gives up its places. The lock is held.
func (l *Ledger) end(e *entry, next gang.RepairPhase, result repair.Result) {
	was := e.repair.phase
	e.repair.phase = next
	if was != gang.Repairing {
		return
	}
	for len(e.repair.lost) > 0 {
		l.release(e, 0)
	}
	delete(l.repairs.open, e.key)
	if l.repairs.Ended != nil {
		l.repairs.Ended(result)
	}
}

// vacate gives up the places on a node that is gone. The lock is held.
func (l *Ledger) vacate(node string) {
	for _, place := range l.repairs.places.On(node) {
		e := l.gangs[place.Gang]
		for i := range e.repair.lost {
			if e.repair.lost[i].place == place {
				e.repair.lost[i].isKept = false
			}
		}
		l.repairs.places.Remove(place)
		l.notify(place.Gang)
	}
}

// repairing is the repair of a gang as people are told of it.
func (e *entry) repairing() gang.Repair {
	if e.repair.phase == gang.NoRepair || !e.isSound() {
		return gang.Repair{}
	}
	missing := int32(e.missing())
	r := gang.Repair{Phase: e.repair.phase, Missing: missing, Minimum: max(missing, e.group.MinMember)}
	for i, lost := range e.repair.lost {
		if i == 0 {
			r.Until = lost.place.Until
		}
		if lost.isKept {
			r.Kept++
		}
	}
	return r
}

// RunRepairs ends repairs whose time is over, until the context is done.
func (l *Ledger) RunRepairs(ctx context.Context) {
	for ctx.Err() == nil {
		var timer clock.Timer
		var alarm <-chan time.Time
		if next, ok := l.expire(); ok {
			timer = l.repairs.Clock.NewTimer(next)
			alarm = timer.C()
		}
		select {
		case <-alarm:
		case <-l.repairs.begun:
		case <-ctx.Done():
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// expire ends the repairs whose time is over, and returns how long the next one has. It costs one look at each that is open.
func (l *Ledger) expire() (next time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.repairs.Clock.Now()
	for _, e := range l.repairs.open {
		if len(e.repair.lost) == 0 {
			continue // its members were replaced, and its minimum raised
		}
		first := e.repair.lost[0].place
		if left := first.Until.Sub(now); left > 0 {
			if !ok || left < next {
				next, ok = left, true
			}
			continue
		}
		if l.repairs.Policies[first.Pod.Spec.SchedulerName].Restart && e.canRestart() {
			l.end(e, gang.Restarting, repair.Restarted)
			l.repairs.Restart(e.key)
		} else {
			l.end(e, gang.GivenUp, repair.TimedOut)
		}
		l.refresh(e, false)
	}
	return next, ok
}

// canRestart is true if somebody makes each member anew that holds a node.
func (e *entry) canRestart() bool {
	for _, m := range e.members {
		if (m.state == bound || m.state == running) && metav1.GetControllerOf(m.pod) == nil {
			return false
		}
	}
	return true
}

// ToRestart returns the members that are to be deleted of a gang that is to be made anew, by name; false if it is not, or no more.
func (l *Ledger) ToRestart(key gang.Key) (pods []*v1.Pod, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, isKnown := l.gangs[key]
	if !isKnown || e.repair.phase != gang.Restarting {
		return nil, false
	}
	for _, m := range e.members {
		if m.state == bound || m.state == running {
			pods = append(pods, m.pod)
		}
	}
	return pods, true
}

// AbandonRestart leaves a gang as it is that could not be deleted.
func (l *Ledger) AbandonRestart(key gang.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.gangs[key]; ok && e.repair.phase == gang.Restarting {
		e.repair.phase = gang.GivenUp
		l.refresh(e, false)
	}
}

// CountRepairs counts the gangs that are under repair.
func (l *Ledger) CountRepairs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.repairs.open)
}

// Recall keeps the places of failed members that were there when this process started, as far as their time is not over. It is called
// once, when all pods and PodGroups are known and before the core sees them.
func (l *Ledger) Recall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	fallen := l.repairs.fallen
	l.repairs.fallen = nil
	now := l.repairs.Clock.Now()
	slices.SortFunc(fallen, func(a, b *v1.Pod) int { return fellAt(a).Compare(fellAt(b)) })
	var gangs []*entry // as their first members failed
	ofGang := map[*entry][]*v1.Pod{}
	for _, pod := range fallen {
		m, ok := l.members[nameOf(pod)]
		if !ok || m.state != failed {
			continue
		}
		e := l.gangs[m.key]
		if timeout := l.repairs.Policies[pod.Spec.SchedulerName].Timeout; fellAt(pod).Add(timeout).After(now) && !e.isReplaced(m, pod) {
			if ofGang[e] == nil {
				gangs = append(gangs, e)
			}
			ofGang[e] = append(ofGang[e], pod)
		}
	}
	for _, e := range gangs {
		pods := ofGang[e]
		if e.isSound() && len(pods) > e.missing() {
			pods = pods[len(pods)-e.missing():] // others came in the place of those that failed before
		}
		e.repair.hasStarted = true // else none of it had run
		for _, pod := range pods {
			l.keep(e, pod, l.members[nameOf(pod)].role, fellAt(pod))
		}
		l.refresh(e, false)
	}
}

// isReplaced is true if another member has the rank of one that failed.
func (e *entry) isReplaced(m *member, pod *v1.Pod) bool {
	rank, ok := gang.Rank(pod)
	if !ok {
		return false
	}
	for _, other := range e.members {
		if other.role == m.role && (other.state == bound || other.state == running) {
			if r, ok := gang.Rank(other.pod); ok && r == rank {
				return true
			}
		}
	}
	return false
}

// fellAt is when the last container of a failed pod ended, zero if none ever ran: its kubelet refused it.
func fellAt(pod *v1.Pod) time.Time {
	last := time.Time{}
	for _, statuses := range [][]v1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range statuses {
			if ended := statuses[i].State.Terminated; ended != nil && ended.FinishedAt.After(last) {
				last = ended.FinishedAt.Time
			}
		}
	}
	return last
}
