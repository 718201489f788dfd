package gang

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/parking"
)

// stage is the part of the framework that Permit plays on: one gang, whose reserved members are counted by the test.
type stage struct {
	fwk.Handle
	group    *schedulingv1beta1.PodGroup
	reserved int
	waiting  map[types.UID]*waitingPod
}

func (s *stage) PodGroupManager() fwk.PodGroupManager { return managerOf{stage: s} }

func (s *stage) GetWaitingPod(uid types.UID) fwk.WaitingPod {
	if p, ok := s.waiting[uid]; ok {
		return p
	}
	return nil
}

// The framework's interfaces are embedded unset: a call that the plugin has no business making panics.
type managerOf struct {
	fwk.PodGroupManager
	stage *stage
}

func (m managerOf) PodGroups() fwk.PodGroupLister           { return groupsOf{m.stage} }
func (m managerOf) PodGroupStates() fwk.PodGroupStateLister { return statesOf{m.stage} }

type groupsOf struct{ stage *stage }

func (g groupsOf) Get(_, name string) (*schedulingv1beta1.PodGroup, error) {
	if g.stage.group == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "podgroups"}, name)
	}
	return g.stage.group, nil
}

type statesOf struct{ stage *stage }

func (s statesOf) Get(string, string) (fwk.PodGroupState, error) {
	return countOf{count: s.stage.reserved}, nil
}

type countOf struct {
	fwk.PodGroupState
	count int
}

func (c countOf) ScheduledPodsCount() int { return c.count }
func (c countOf) AllPodsCount() int       { return c.count }

// waitingPod records what is decided over it.
type waitingPod struct {
	fwk.WaitingPod
	verdict string
}

func (w *waitingPod) Allow(string)              { w.verdict = "allowed" }
func (w *waitingPod) Reject(_, why string) bool { w.verdict = why; return true }

// diary is an account that writes down what it is told.
type diary struct {
	Account
	timeout time.Duration
	refused gang.Waiting
	isDone  bool
}

func (d *diary) Demand(key gang.Key) (ledger.Demand, bool) {
	return ledger.Demand{Group: &gang.Group{Key: key, ScheduleTimeout: d.timeout}}, true
}
func (d *diary) Refuse(_ gang.Key, why gang.Waiting) { d.refused = why }
func (d *diary) Accept(gang.Key)                     { d.isDone = true }
func (d *diary) Blocked(gang.Key) gang.Waiting       { return gang.Waiting{} }
func (d *diary) Role(gang.Key, *v1.Pod) string       { return "" }

func newPlay(min int32) (*Gang, *stage, *diary) {
	s := &stage{
		group: &schedulingv1beta1.PodGroup{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "volcano:train"},
			Spec:       schedulingv1beta1.PodGroupSpec{SchedulingPolicy: schedulingv1beta1.PodGroupSchedulingPolicy{Gang: &schedulingv1beta1.GangSchedulingPolicy{MinCount: min}}},
		},
		waiting: map[types.UID]*waitingPod{},
	}
	d := &diary{}
	return &Gang{handle: s, account: d, lot: parking.NewLot(clock.RealClock{}), permitTimeout: time.Minute}, s, d
}

func TestAGangThatIsParkedIsNotTried(t *testing.T) {
	g, _, _ := newPlay(0)
	g.lot.News()
	g.lot.Park(gang.KeyOf("ns", "volcano:train"), g.lot.Now())
	require.Equal(t, "it was refused, and nothing has happened since that could help it", g.PreEnqueue(t.Context(), gangMember(0)).Message())

	trial := framework.NewCycleState()
	trial.SetPodGroupSchedulingCycle(framework.NewCycleState())
	g.Unreserve(t.Context(), trial, gangMember(1), "node")
	require.False(t, g.PreEnqueue(t.Context(), gangMember(0)).IsSuccess(), "what is reserved on trial makes no room when it goes back")
	g.Unreserve(t.Context(), framework.NewCycleState(), podWith("single", nil), "node")
	require.True(t, g.PreEnqueue(t.Context(), gangMember(0)).IsSuccess(), "a pod that is not bound after all leaves its node to others")
}

func gangMember(i int) *v1.Pod {
	name := "volcano:train"
	return podWith(fmt.Sprint("m", i), nil, func(p *v1.Pod) { p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &name} })
}

// reserve sends one member through Permit as the framework does: it is reserved, asked for, and put aside if it must wait.
func (s *stage) reserve(t *testing.T, g *Gang, i int) (*fwk.Status, time.Duration) {
	t.Helper()
	s.reserved++
	pod := gangMember(i)
	status, timeout := g.Permit(context.Background(), framework.NewCycleState(), pod, "node")
	if status.IsWait() {
		s.waiting[pod.UID] = &waitingPod{}
	}
	return status, timeout
}

func TestMembersWaitInPermitUntilTheQuorumIsReserved(t *testing.T) {
	g, s, d := newPlay(3)
	for i := range 2 {
		status, timeout := s.reserve(t, g, i)
		require.True(t, status.IsWait())
		require.Equal(t, time.Minute, timeout)
	}
	status, _ := s.reserve(t, g, 2)
	require.True(t, status.IsSuccess())
	require.True(t, d.isDone)
	for uid, p := range s.waiting {
		require.Equal(t, "allowed", p.verdict, uid)
	}
	status, _ = s.reserve(t, g, 3)
	require.True(t, status.IsSuccess(), "members beyond the quorum go at once")
}

func TestADialectsOwnTimeoutBoundsTheWait(t *testing.T) {
	g, s, d := newPlay(3)
	d.timeout = 7 * time.Second
	_, timeout := s.reserve(t, g, 0)
	require.Equal(t, 7*time.Second, timeout)
}

func TestWhenOneWaitingMemberGoesAllGoTogether(t *testing.T) {
	g, s, d := newPlay(3)
	s.reserve(t, g, 0)
	s.reserve(t, g, 1)
	g.Unreserve(context.Background(), framework.NewCycleState(), gangMember(0), "node")
	const why = "PermitTimeout: 2 members were reserved, but not enough others to start within 1m0s"
	require.Equal(t, why, d.refused.String())
	for uid, p := range s.waiting {
		require.Equal(t, why, p.verdict, uid)
	}
	g.Unreserve(context.Background(), framework.NewCycleState(), gangMember(1), "node")
	require.Empty(t, g.waiting.take(gang.KeyOf("ns", "volcano:train")), "the end of the second member finds nobody left")
}

func TestAMemberThatDidNotWaitTakesNobodyAlong(t *testing.T) {
	g, s, d := newPlay(3)
	s.reserve(t, g, 0)
	g.Unreserve(context.Background(), framework.NewCycleState(), gangMember(9), "node")
	require.Zero(t, d.refused)
	require.Empty(t, s.waiting["m0"].verdict)
}

func TestPermitLetsPodsOfNoGangPass(t *testing.T) {
	g, _, _ := newPlay(3)
	status, _ := g.Permit(context.Background(), framework.NewCycleState(), podWith("single", nil), "node")
	require.True(t, status.IsSuccess())
}

func TestAGroupDeletedBehindItsMembersLetsNoneThrough(t *testing.T) {
	g, s, _ := newPlay(3)
	s.group = nil
	status, _ := s.reserve(t, g, 0)
	require.Equal(t, fwk.Unschedulable, status.Code())
}
