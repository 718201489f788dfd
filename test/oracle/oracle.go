// Package oracle judges a scheduler from outside: it watches pods, as the API server tells of them, and says where a gang
// was half started for too long and where a node held more than it has.
//
// Purpose: one judge for the integration tests and the demo. It shares no code with the scheduler, so that they cannot err
// together.
//
// The judgements:
//
//   - Half started. A gang is half started while some of its members are placed, but fewer than must run together, and it
//     has not been whole since none was placed. A member is placed from the moment it is bound; one that succeeded stays
//     placed; one that failed or is gone is not. So a gang that was whole and loses members is not half started: to place
//     it was right. Half starts up to a grace are what binding one pod after the other takes.
//   - Overfull. What the pods on a node ask for, those that are over left out, exceeds what the node can give, in any
//     resource or in the number of pods. There is no grace: one watch tells of all pods in the order in which they changed.
//   - Scattered. Members of a gang take room in more than one domain of the level that it requires.
//   - Misreported. A pod that is bound says in its condition PodScheduled that it is not. The API server sets the one
//     with the other, so somebody has denied it since.
//   - Usurped. A pod was bound by somebody other than the leader of that moment.
//
// Whether what waits has to wait the judge does not know: it lists who does ([Judge.Waiting]).
//
// Invariants: events come in the order of one watch, with the caller's times; what is not told is not judged, but said to be so
// ([Unjudged]). Cost: constant per event.
package oracle

import (
	"cmp"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// DefaultGrace is how long a gang may be half started: the bound that the project promises.
const DefaultGrace = 5 * time.Second

// Judge takes in what happens and passes judgement at any time. Its methods may be called from several goroutines.
type Judge struct {
	grace time.Duration

	mu     sync.Mutex
	pods   map[types.NamespacedName]pod
	gangs  map[Gang]*record
	nodes  map[string]*node
	leader string // "" if nobody is known to lead
	found  []Violation
}

// pod is what the judge keeps of a pod.
type pod struct {
	uid       types.UID
	gang      Gang
	isMember  bool
	isPlaced  bool
	isWaiting bool   // it has no node, and may get one
	isDenied  bool   // it is bound, but its condition says that it is not
	node      string // where it takes room, "" for nowhere
	domain    string // that its gang requires, when it came to the node
	request   amounts
}

// New returns a judge that lets a gang be half started for the grace.
func New(grace time.Duration) *Judge {
	return &Judge{grace: grace, pods: map[types.NamespacedName]pod{}, gangs: map[Gang]*record{}, nodes: map[string]*node{}}
}

// Observe tells that a pod was added, modified or deleted. The moment is when the caller learned of it; when a pod was bound
// the judge knows better, see [BoundAt], so that it judges the scheduler and not a slow watch.
func (j *Judge) Observe(at time.Time, kind watch.EventType, object *corev1.Pod) {
	j.mu.Lock()
	defer j.mu.Unlock()
	name := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	old, isKnown := j.pods[name]
	if isKnown && (kind == watch.Deleted || old.uid != object.UID) {
		j.change(at, old, pod{})
		delete(j.pods, name)
		old = pod{}
	}
	if kind != watch.Added && kind != watch.Modified {
		return
	}
	now := podOf(object)
	if now.isPlaced && !old.isPlaced {
		at = BoundAt(at, object)
	}
	if now.isDenied && !old.isDenied {
		j.found = append(j.found, Misreported{Pod: name, At: at, Message: scheduled(object).Message})
	}
	now.domain = old.domain
	if now.node != old.node {
		now.domain = j.domainOf(now)
	}
	j.pods[name] = now
	j.change(at, old, now)
}

func podOf(object *corev1.Pod) pod {
	p := pod{uid: object.UID}
	p.gang, p.isMember = GangOf(object)
	isBound := object.Spec.NodeName != ""
	p.isWaiting = !isBound && object.Status.Phase != corev1.PodSucceeded && object.Status.Phase != corev1.PodFailed
	p.isDenied = isBound && scheduled(object).Status == corev1.ConditionFalse
	switch object.Status.Phase {
	case corev1.PodSucceeded:
		p.isPlaced = isBound
	case corev1.PodFailed:
	default:
		if p.isPlaced = isBound; isBound {
			p.node, p.request = object.Spec.NodeName, requestOf(object)
		}
	}
	return p
}

// change books that a pod was as before and is as now.
func (j *Judge) change(at time.Time, before, now pod) {
	if before.node != now.node {
		j.leave(before)
		j.enter(at, now)
		j.gather(at, before, now)
	}
	if before.isMember && (!now.isMember || before.gang != now.gang) {
		if before.isPlaced {
			j.place(at, before.gang, -1)
		}
		before.isPlaced = false
	}
	if now.isMember && before.isPlaced != now.isPlaced {
		by := 1
		if before.isPlaced {
			by = -1
		}
		j.place(at, now.gang, by)
	}
}

// Handler hands what a pod informer sees to a function like [Judge.Observe], with the time of this clock.
func Handler(clock func() time.Time, observe func(at time.Time, kind watch.EventType, pod *corev1.Pod)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { observe(clock(), watch.Added, object.(*corev1.Pod)) },
		UpdateFunc: func(_, object any) { observe(clock(), watch.Modified, object.(*corev1.Pod)) },
		DeleteFunc: func(object any) {
			if missed, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = missed.Obj
			}
			if pod, ok := object.(*corev1.Pod); ok {
				observe(clock(), watch.Deleted, pod)
			}
		},
	}
}

// Waiting returns the pods that have no node, in order.
func (j *Judge) Waiting() []types.NamespacedName {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []types.NamespacedName
	for name, p := range j.pods {
		if p.isWaiting {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b types.NamespacedName) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// Violations returns all that was wrong until now, in the order in which it began.
func (j *Judge) Violations(now time.Time) []Violation {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := slices.Clone(j.found)
	for _, r := range j.gangs {
		if v, isWrong := r.open(now, j.grace); isWrong {
			out = append(out, v)
		}
	}
	for _, n := range j.nodes {
		for _, over := range n.open {
			out = append(out, over)
		}
	}
	slices.SortFunc(out, func(a, b Violation) int {
		return cmp.Or(a.Began().Compare(b.Began()), cmp.Compare(a.String(), b.String()))
	})
	return out
}
