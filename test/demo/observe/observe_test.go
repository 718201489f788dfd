package observe_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/phalanx-scheduler/phalanx/test/demo/fabric"
	"github.com/phalanx-scheduler/phalanx/test/demo/manifest"
	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }

// Two hosts below each of two leaves: p1-s1-h1, p1-s1-h2, p1-s2-h1, p1-s2-h2.
const hosts = "ip,DSW,PSW,ASW\na,G,P1,S1\nb,G,P1,S1\nc,G,P1,S2\nd,G,P1,S2\n"

// scene plays the events of gangs whose members take a whole host each.
type scene struct {
	t *testing.T
	*observe.Observer
}

func newScene(t *testing.T) scene {
	read, err := trace.ReadHosts(strings.NewReader(hosts))
	require.NoError(t, err)
	return scene{t, observe.New(fabric.New(read), read)}
}

func (s scene) gang(name string, members int) manifest.Gang {
	g := manifest.Gang{Dialect: manifest.Volcano, Namespace: "ns", Name: name, Members: members, GPUsPerMember: 8}
	s.Expect(g.Key(), g.Members, g.GPUs())
	return g
}

func (s scene) pod(g manifest.Gang, index int, node string, phase corev1.PodPhase) *corev1.Pod {
	pod := g.Pod(index)
	pod.UID, pod.Spec.NodeName, pod.Status.Phase = types.UID(pod.Name), node, phase
	return pod
}

func (s scene) create(seconds int, g manifest.Gang, index int) {
	s.Observe(at(seconds), watch.Added, s.pod(g, index, "", corev1.PodPending))
}

func (s scene) be(seconds int, g manifest.Gang, index int, node string, phase corev1.PodPhase) {
	s.Observe(at(seconds), watch.Modified, s.pod(g, index, node, phase))
}

func TestAGangGoesThroughItsStates(t *testing.T) {
	s := newScene(t)
	g := s.gang("a", 2)
	is := func(want observe.State) {
		t.Helper()
		require.Equal(t, want, s.Gang(g.Key()).State())
	}
	is(observe.Expected)
	s.create(1, g, 0)
	is(observe.Arriving)
	s.create(2, g, 1)
	is(observe.Waiting)
	require.Equal(t, 3*time.Second, s.Gang(g.Key()).Wait(at(5)))

	waiting := s.pod(g, 0, "", corev1.PodPending)
	waiting.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "InsufficientGPUs: none is free"}}
	s.Observe(at(3), watch.Modified, waiting)
	require.Equal(t, "InsufficientGPUs: none is free", s.Gang(g.Key()).Because)

	s.be(6, g, 0, "p1-s1-h1", corev1.PodPending)
	is(observe.Starting)
	s.be(7, g, 1, "p1-s2-h1", corev1.PodPending)
	is(observe.Running)
	s.be(8, g, 0, "p1-s1-h1", corev1.PodRunning)
	s.be(8, g, 1, "p1-s2-h1", corev1.PodRunning)
	require.Equal(t, 2, s.Gang(g.Key()).Running)
	s.be(9, g, 0, "p1-s1-h1", corev1.PodSucceeded)
	is(observe.Running)
	s.be(10, g, 1, "p1-s2-h1", corev1.PodSucceeded)
	is(observe.Done)

	view := s.View(at(20))
	want := observe.Gang{
		Key: g.Key(), Members: 2, GPUs: 16, Created: 2, Bound: 2, Succeeded: 2, HadRoom: true,
		FirstCreated: at(1), LastCreated: at(2), FirstBound: at(6), LastBound: at(7), Ended: at(10),
		Leaves: []string{"P1-S1", "P1-S2"}, Hosts: 2, Because: "InsufficientGPUs: none is free",
	}
	require.Equal(t, []observe.Gang{want}, view.Gangs)
	require.Equal(t, 5*time.Second, view.Gangs[0].Wait(at(20)))
	require.Equal(t, []time.Time{at(6), at(7)}, view.Binds)
	require.Equal(t, map[observe.State]int{observe.Done: 1}, view.Count())

	s.Observe(at(21), watch.Deleted, s.pod(g, 0, "p1-s1-h1", corev1.PodSucceeded))
	is(observe.Done)
}

func TestUsage(t *testing.T) {
	s := newScene(t)
	g := s.gang("a", 2)
	for i := range 2 {
		s.create(0, g, i)
	}
	require.Equal(t, observe.Usage{Total: 32, Wanted: 16, MostWanted: 16}, s.View(at(1)).Usage)
	s.be(10, g, 0, "p1-s1-h1", corev1.PodRunning)
	s.be(15, g, 1, "p1-s1-h2", corev1.PodRunning)
	require.Equal(t, observe.Usage{Total: 32, Used: 16, Wanted: 16, MostUsed: 16, MostWanted: 16, Average: 12}, s.View(at(20)).Usage)
	s.be(20, g, 0, "p1-s1-h1", corev1.PodSucceeded)
	s.Observe(at(20), watch.Deleted, s.pod(g, 1, "p1-s1-h2", corev1.PodRunning))
	require.Equal(t, observe.Usage{Total: 32, MostUsed: 16, MostWanted: 16, Average: 12}, s.View(at(100)).Usage)
}

func TestTheAverageBeginsWithTheFirstExpectedGang(t *testing.T) {
	s := newScene(t)
	stranger := manifest.Gang{Dialect: manifest.Volcano, Namespace: "ns", Name: "stranger", Members: 1, GPUsPerMember: 8}
	s.create(0, stranger, 0)
	s.be(0, stranger, 0, "p1-s1-h1", corev1.PodRunning)
	require.EqualValues(t, 8, s.View(at(50)).Usage.Used, "what others use is in use")
	g := s.gang("a", 1)
	s.create(100, g, 0)
	s.be(100, g, 0, "p1-s2-h1", corev1.PodRunning)
	s.be(105, stranger, 0, "p1-s1-h1", corev1.PodSucceeded)
	require.InDelta(t, 12, s.View(at(110)).Usage.Average, 1e-9)
}

func TestAGangHadRoomOnlyIfNobodyElseWaits(t *testing.T) {
	for name, test := range map[string]struct {
		before func(s scene)
		want   bool
	}{
		"in an empty cluster": {func(scene) {}, true},
		"beside a gang that runs and leaves enough": {func(s scene) {
			g := s.gang("other", 2)
			for i, node := range []string{"p1-s1-h1", "p1-s1-h2"} {
				s.create(0, g, i)
				s.be(0, g, i, node, corev1.PodRunning)
			}
		}, true},
		"beside a gang that runs and leaves too little": {func(s scene) {
			g := s.gang("other", 3)
			for i, node := range []string{"p1-s1-h1", "p1-s1-h2", "p1-s2-h1"} {
				s.create(0, g, i)
				s.be(0, g, i, node, corev1.PodRunning)
			}
		}, false},
		"behind a gang that waits": {func(s scene) { s.create(0, s.gang("other", 3), 0) }, false},
		"behind a gang that waits for more than is free": {func(s scene) {
			runs, waits := s.gang("runs", 2), s.gang("waits", 3)
			for i, node := range []string{"p1-s1-h1", "p1-s1-h2"} {
				s.create(0, runs, i)
				s.be(0, runs, i, node, corev1.PodRunning)
			}
			for i := range 3 {
				s.create(0, waits, i)
			}
		}, true},
		"behind a gang of which a member waits": {func(s scene) {
			g := s.gang("other", 3)
			for i := range 3 {
				s.create(0, g, i)
			}
			s.be(0, g, 0, "p1-s1-h1", corev1.PodRunning)
			s.be(0, g, 1, "p1-s1-h2", corev1.PodRunning)
		}, false},
		"beside a gang that is over": {func(s scene) {
			g := s.gang("other", 3)
			for i := range 3 {
				s.create(0, g, i)
				s.be(0, g, i, "p1-s1-h1", corev1.PodSucceeded)
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			test.before(s)
			g := s.gang("a", 2)
			s.create(1, g, 0)
			s.create(1, g, 1)
			require.Equal(t, test.want, s.Gang(g.Key()).HadRoom)
		})
	}
}

func TestAPodOfTheSameNameIsCountedAnew(t *testing.T) {
	s := newScene(t)
	g := s.gang("a", 1)
	s.create(0, g, 0)
	s.be(1, g, 0, "p1-s1-h1", corev1.PodRunning)
	again := s.pod(g, 0, "", corev1.PodPending)
	again.UID = "another"
	s.Observe(at(2), watch.Modified, again)
	got := s.Gang(g.Key())
	require.Equal(t, 1, got.Created)
	require.Equal(t, 0, got.Running)
	require.EqualValues(t, 0, s.View(at(3)).Usage.Used)
}

func TestWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		g := s.gang("a", 1)
		exists := func(g observe.Gang) bool { return g.Created == 1 }
		done := make(chan observe.Gang)
		go func() {
			got, err := s.WaitFor(t.Context(), g.Key(), exists)
			assert.NoError(t, err)
			done <- got
		}()
		synctest.Wait()
		s.create(1, g, 0)
		require.Equal(t, at(1), (<-done).LastCreated)

		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the scheduler died")
		cancel(why)
		_, err := s.WaitFor(ctx, g.Key(), func(observe.Gang) bool { return false })
		require.ErrorIs(t, err, why)
	})
}
