// Package scribe writes down, where users look, what the ledger knows of each gang.
//
// Purpose: it is the only writer of three things: the PodScheduled condition of waiting members, which says what their gang
// waits for; one event per change of that reason, and of the repair of a gang that lost members; and the status of each PodGroup, in its dialect's own words.
// The scheduler's core wants to write the same condition for each member and each try; the client that it is given
// leaves those writes to the scribe (package pkg/scheduler).
//
// Invariants: nothing is written that says what is there already; a sentence that differs only in its numbers is written
// at most once per refreshInterval and gang; writes never hold up scheduling. Nothing is kept that a restart would miss:
// conditions and status follow from the ledger and from the objects themselves.
//
// Cost: per change of a gang one look at it after settleDelay; one write per member whose condition changes. Namespaces are
// served in turn, so that a crowd in one holds up nobody in another.
//
//	ledger changes ──► queue (one entry per gang, settleDelay) ──► condition of each pending member
//	                                                          ├──► event, if the reason is another one
//	                                                          └──► status of the PodGroup
package scribe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
)

const (
	// settleDelay is how long a gang is left alone after a change before it is described: most gangs are complete and placed
	// by then, and nobody needs to read that 5 of 8 members existed for some milliseconds.
	settleDelay = time.Second
	// refreshInterval bounds how often a sentence is rewritten of which only the numbers changed.
	refreshInterval = 30 * time.Second
	// workers write side by side; one gang is never with two of them.
	workers = 4
)

// Options is what a Scribe works with.
type Options struct {
	Ledger  *ledger.Ledger
	Queue   *Queue
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
	Events  events.EventRecorder
	Owners  OwnerLookup
	Clock   clock.WithTicker
}

// OwnerLookup finds the scheduler name that the owner of a PodGroup asks for; known is false where the owner says none.
type OwnerLookup func(ctx context.Context, namespace string, owner metav1.OwnerReference) (schedulerName string, known bool, err error)

// Scribe writes conditions, events and statuses. Build it with [New], then [Scribe.Run] it.
type Scribe struct {
	Options

	began   time.Time
	mu      sync.Mutex
	written map[gang.Key]note
}

// note is what was last written of a gang's wait.
type note struct {
	waiting gang.Waiting
	at      time.Time
	isTold  bool // the event about ambiguous members is out
	repair  gang.RepairPhase
}

// New returns a scribe that does nothing before [Scribe.Run].
func New(options Options) *Scribe {
	return &Scribe{Options: options, written: map[gang.Key]note{}}
}

// Queue is the list of gangs to describe. It exists before the ledger that fills it.
type Queue struct {
	queue workqueue.TypedRateLimitingInterface[gang.Key]
}

// NewQueue returns an empty queue.
func NewQueue(clk clock.WithTicker) *Queue {
	const name = "gang_scribe"
	inTurn := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[gang.Key]{Name: name, Clock: clk, Queue: newFair()})
	return &Queue{workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[gang.Key](settleDelay, time.Minute),
		workqueue.TypedRateLimitingQueueConfig[gang.Key]{DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(
			workqueue.TypedDelayingQueueConfig[gang.Key]{Name: name, Clock: clk, Queue: inTurn}),
		},
	)}
}

// Changed asks for a gang to be described once it has settled. It never blocks.
func (q *Queue) Changed(key gang.Key) { q.queue.AddAfter(key, settleDelay) }

// Run writes until the context is done.
func (s *Scribe) Run(ctx context.Context) {
	s.began = s.Clock.Now()
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for s.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	s.Queue.queue.ShutDown()
	group.Wait()
}

func (s *Scribe) next(ctx context.Context) bool {
	key, isDown := s.Queue.queue.Get()
	if isDown {
		return false
	}
	defer s.Queue.queue.Done(key)
	if err := s.describe(ctx, key); err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Could not write down a gang's state, trying again", "dialect", key.Dialect, "podGroup", klog.KRef(key.Namespace, key.Name))
		s.Queue.queue.AddRateLimited(key)
		return true
	}
	s.Queue.queue.Forget(key)
	return true
}

// describe brings all that is written about one gang up to date.
func (s *Scribe) describe(ctx context.Context, key gang.Key) error {
	state, ok := s.Ledger.State(key)
	if !ok {
		s.mu.Lock()
		delete(s.written, key)
		s.mu.Unlock()
		return nil
	}
	state.Progress.Waiting = s.steady(key, state)
	s.tellRepair(key, state)
	if err := s.writeConditions(ctx, state); err != nil {
		return err
	}
	return s.writeStatus(ctx, key, state)
}

// steady returns what to write of a gang's wait: the sentence of before, where only its numbers changed and too little time
// has passed. It emits the events, since here a change of reason is seen exactly once.
func (s *Scribe) steady(key gang.Key, state ledger.State) gang.Waiting {
	now, waiting := s.Clock.Now(), state.Progress.Waiting
	s.mu.Lock()
	defer s.mu.Unlock()
	last, isKnown := s.written[key]
	if !isKnown {
		last.waiting = readBack(state.Pending)
	}
	if waiting.Reason == last.waiting.Reason && waiting != last.waiting {
		if wait := refreshInterval - now.Sub(last.at); wait > 0 {
			s.Queue.queue.AddAfter(key, wait)
			waiting = last.waiting
		}
	}
	if waiting.Reason != last.waiting.Reason && waiting.Reason != "" {
		s.Events.Eventf(regarding(state), nil, v1.EventTypeWarning, string(waiting.Reason), "Scheduling", "%s", waiting.Sentence)
	}
	if !isKnown {
		last.isTold = s.wasTold(state)
	}
	if len(state.Ambiguous) > 0 && !last.isTold {
		s.Events.Eventf(firstByName(state.Ambiguous), nil, v1.EventTypeWarning, "AmbiguousGang", "Scheduling",
			"the pod carries the keys of more than one PodGroup dialect; it is a member of %s", key)
		last.isTold = true
	}
	// Members that wait for nothing have yet to be tried, after a restart for one: if it ends as before, that is no change.
	isOpen := waiting == (gang.Waiting{}) && len(state.Pending) > 0
	if waiting != last.waiting && !isOpen {
		last.waiting, last.at = waiting, now
	}
	s.written[key] = last
	return waiting
}

// tellRepair emits an event when the repair of a gang begins and when it ends, after steady has looked at the gang. Of a restart
// tells who carries it out.
func (s *Scribe) tellRepair(key gang.Key, state ledger.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, now := s.written[key], state.Progress.Repair
	if now.Phase == last.repair {
		return
	}
	was := last.repair
	last.repair = now.Phase
	s.written[key] = last
	if state.Object == nil {
		return
	}
	tell := func(kind, reason, sentence string) {
		s.Events.Eventf(state.Object, nil, kind, reason, "Repairing", "%s", sentence)
	}
	switch {
	case now.Phase == gang.Repairing:
		tell(v1.EventTypeWarning, "MembersLost", now.String())
	case now.Phase == gang.GivenUp:
		tell(v1.EventTypeWarning, "RepairTimeout", now.String())
	case was == gang.Repairing && state.Progress.Placed() >= state.Group.MinMember:
		tell(v1.EventTypeNormal, "GangRepaired", "all members that must run together hold nodes again")
	}
}

// readBack returns what an earlier process wrote on the members of a gang, so that a restart repeats no event.
func readBack(pods []*v1.Pod) gang.Waiting {
	for _, pod := range pods {
		for _, c := range pod.Status.Conditions {
			if c.Type == v1.PodScheduled && c.Reason == v1.PodReasonUnschedulable {
				if reason, sentence, ok := strings.Cut(c.Message, ": "); ok {
					return gang.Waiting{Reason: gang.Reason(reason), Sentence: sentence}
				}
			}
		}
	}
	return gang.Waiting{}
}

// wasTold is true if an earlier process has described this gang, and with it its ambiguous members: they show a reason, or
// have a node for longer than this process runs.
func (s *Scribe) wasTold(state ledger.State) bool {
	if readBack(state.Pending) != (gang.Waiting{}) {
		return true
	}
	for _, pod := range state.Ambiguous {
		for _, c := range pod.Status.Conditions {
			if c.Type == v1.PodScheduled && c.Status == v1.ConditionTrue && c.LastTransitionTime.Time.Before(s.began) {
				return true
			}
		}
	}
	return false
}

// regarding is the object that a gang's events are about: its PodGroup, else its first waiting member.
func regarding(state ledger.State) runtime.Object {
	if state.Object != nil {
		return state.Object
	}
	return firstByName(state.Pending)
}

func firstByName(pods []*v1.Pod) *v1.Pod {
	return slices.MinFunc(pods, func(a, b *v1.Pod) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
}

// writeConditions tells each pending member why its gang waits.
func (s *Scribe) writeConditions(ctx context.Context, state ledger.State) error {
	waiting := state.Progress.Waiting
	if waiting == (gang.Waiting{}) {
		return nil
	}
	want := v1.PodCondition{Type: v1.PodScheduled, Status: v1.ConditionFalse, Reason: v1.PodReasonUnschedulable, Message: waiting.String()}
	for _, pod := range state.Pending {
		if err := s.writeCondition(ctx, pod, want); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scribe) writeCondition(ctx context.Context, pod *v1.Pod, want v1.PodCondition) error {
	want.LastTransitionTime = metav1.NewTime(s.Clock.Now())
	for _, c := range pod.Status.Conditions {
		if c.Type != want.Type {
			continue
		}
		if c.Status == want.Status && c.Reason == want.Reason && c.Message == want.Message {
			return nil
		}
		if c.Status == want.Status {
			want.LastTransitionTime = c.LastTransitionTime
		}
	}
	patch, err := conditionPatch(pod, want)
	if err != nil {
		return fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	_, err = s.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, patchType, patch, metav1.PatchOptions{}, "status")
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it is gone, or it is not what it was: both come back as changes
	}
	return err
}
