package scribe

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	testclock "k8s.io/utils/clock/testing"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
)

var train = gang.Key{Dialect: "volcano", Namespace: "ns", Name: "train"}

// reporter is an event recorder that keeps what it was told.
type reporter struct{ told []string }

func (r *reporter) Eventf(regarding, _ runtime.Object, kind, reason, _, note string, args ...any) {
	name := regarding.(metav1.Object).GetName()
	r.told = append(r.told, fmt.Sprintf("%s %s %s: %s", kind, name, reason, fmt.Sprintf(note, args...)))
}

func newScribe(t *testing.T) (*Scribe, *reporter, *testclock.FakeClock) {
	clock := testclock.NewFakeClock(time.Unix(1000, 0))
	r := &reporter{}
	queue := NewQueue(clock)
	t.Cleanup(queue.queue.ShutDown)
	return New(Options{Queue: queue, Events: r, Clock: clock}), r, clock
}

func waitingFor(reason gang.Reason, sentence string, pods ...*v1.Pod) ledger.State {
	return ledger.State{
		Object:   &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "train"}}},
		Progress: gang.Progress{Waiting: gang.Waiting{Reason: reason, Sentence: sentence}},
		Pending:  pods,
	}
}

func TestOneEventIsWrittenPerChangeOfReason(t *testing.T) {
	s, r, clock := newScribe(t)
	for range 5 {
		s.steady(train, waitingFor(gang.GangIncomplete, "1 of 2 members exist"))
		clock.Step(time.Hour)
	}
	s.steady(train, waitingFor(gang.InsufficientGPUs, "9 are free"))
	s.steady(train, waitingFor(gang.InsufficientGPUs, "8 are free"))
	s.steady(train, ledger.State{})
	s.steady(train, waitingFor(gang.InsufficientGPUs, "8 are free"))
	require.Equal(t, []string{
		"Warning train GangIncomplete: 1 of 2 members exist",
		"Warning train InsufficientGPUs: 9 are free",
		"Warning train InsufficientGPUs: 8 are free",
	}, r.told, "the last one because the gang ran in between")
}

func TestASentenceThatDiffersInItsNumbersIsRewrittenRarely(t *testing.T) {
	s, _, clock := newScribe(t)
	first := waitingFor(gang.InsufficientGPUs, "9 are free")
	second := waitingFor(gang.InsufficientGPUs, "8 are free")
	require.Equal(t, first.Progress.Waiting, s.steady(train, first))
	clock.Step(refreshInterval - time.Second)
	require.Equal(t, first.Progress.Waiting, s.steady(train, second))
	clock.Step(time.Second)
	require.Equal(t, second.Progress.Waiting, s.steady(train, second))
	other := waitingFor(gang.Fragmented, "in pieces")
	require.Equal(t, other.Progress.Waiting, s.steady(train, other), "another reason is written at once")
}

func TestARestartRepeatsNoEvent(t *testing.T) {
	s, r, _ := newScribe(t)
	pod := &v1.Pod{Status: v1.PodStatus{Conditions: []v1.PodCondition{{
		Type: v1.PodScheduled, Reason: v1.PodReasonUnschedulable, Message: "GangIncomplete: 1 of 2 members exist",
	}}}}
	s.steady(train, ledger.State{Pending: []*v1.Pod{pod}}) // before the first try of the new process
	s.steady(train, waitingFor(gang.GangIncomplete, "1 of 2 members exist", pod))
	require.Empty(t, r.told)

	s.began = time.Unix(500, 0)
	s.steady(gang.Key{Name: "runs"}, ledger.State{Ambiguous: []*v1.Pod{{Status: v1.PodStatus{Conditions: []v1.PodCondition{{
		Type: v1.PodScheduled, Status: v1.ConditionTrue, LastTransitionTime: metav1.Unix(400, 0),
	}}}}}})
	require.Empty(t, r.told, "an ambiguous member that the process before has placed")
}

func TestAnAmbiguousMemberIsToldOnce(t *testing.T) {
	s, r, _ := newScribe(t)
	state := ledger.State{Ambiguous: []*v1.Pod{
		{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, {ObjectMeta: metav1.ObjectMeta{Name: "a"}},
	}}
	s.steady(train, state)
	s.steady(train, state)
	require.Equal(t, []string{"Warning a AmbiguousGang: the pod carries the keys of more than one PodGroup dialect; it is a member of volcano ns/train"}, r.told)
}

func TestWhereNoPodGroupExistsTheEventIsAboutAMember(t *testing.T) {
	s, r, _ := newScribe(t)
	state := waitingFor(gang.GangNotFound, "none", &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
	state.Object = nil
	s.steady(train, state)
	require.Equal(t, []string{"Warning a GangNotFound: none"}, r.told)
}

func TestARepairIsToldWhenItBeginsAndWhenItEnds(t *testing.T) {
	s, r, _ := newScribe(t)
	at := func(phase gang.RepairPhase, missing int32) {
		state := ledger.State{
			Object: &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "train"}}},
			Group:  &gang.Group{MinMember: 4},
			Progress: gang.Progress{Running: 4 - missing, Repair: gang.Repair{
				Phase: phase, Missing: missing, Minimum: 4, Kept: missing, Until: time.Unix(300, 0)}},
		}
		s.steady(train, state)
		s.tellRepair(train, state)
	}
	at(gang.NoRepair, 0)
	at(gang.Repairing, 1)
	at(gang.Repairing, 2)
	at(gang.NoRepair, 0)
	at(gang.Repairing, 1)
	at(gang.GivenUp, 1)
	at(gang.NoRepair, 0)
	at(gang.Repairing, 1)
	at(gang.NoRepair, 4) // it is over
	require.Equal(t, []string{
		"Warning train MembersLost: 1 of 4 members is missing; its place is kept until 1970-01-01T00:05:00Z",
		"Normal train GangRepaired: all members that must run together hold nodes again",
		"Warning train MembersLost: 1 of 4 members is missing; its place is kept until 1970-01-01T00:05:00Z",
		"Warning train RepairTimeout: 1 of 4 members is missing; places are kept no longer",
		"Warning train MembersLost: 1 of 4 members is missing; its place is kept until 1970-01-01T00:05:00Z",
	}, r.told)
}
