package ledger_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// keeping is a book that keeps places for five minutes.
func keeping(clk clock.Clock, ended *[]repair.Result, restarts *[]gang.Key) *book {
	b := newBook()
	b.Repair(repair.Options{
		Clock: clk,
		Policies: map[string]repair.Policy{
			"phalanx": {Timeout: 5 * time.Minute},
			"volcano": {Timeout: 5 * time.Minute, Restart: true},
		},
		Ended:   func(r repair.Result) { *ended = append(*ended, r) },
		Restart: func(key gang.Key) { *restarts = append(*restarts, key) },
	})
	return b
}

// runs is a member that runs on the node of its own number.
func runs(number int, mutations ...func(*v1.Pod)) *v1.Pod {
	all := append([]func(*v1.Pod){on(fmt.Sprint("n", number)), phase(v1.PodRunning), asking(8)}, mutations...)
	return member(fmt.Sprint("train-", number), all...)
}

func asking(gpus int64) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Containers = []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
			"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)}}}}
	}
}

// ranAndFailed is a pod as its kubelet leaves it, on which a container ended at some time.
func ranAndFailed(at time.Time) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Status.Phase = v1.PodFailed
		p.Status.ContainerStatuses = []v1.ContainerStatus{{State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{FinishedAt: metav1.NewTime(at)}}}}
	}
}

func owned(p *v1.Pod) {
	isController := true
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "train", Controller: &isController}}
}

// kept is the nodes on which places are kept for the gang, the oldest first, and how its repair stands.
func (b *book) kept() string {
	var nodes []string
	for _, place := range b.Places().Of(train()) {
		nodes = append(nodes, place.Node)
	}
	state, _ := b.State(train())
	if state.Progress.Repair == (gang.Repair{}) {
		return strings.Join(nodes, " ")
	}
	return strings.Join(nodes, " ") + ": " + state.Progress.Repair.String()
}

const (
	one = "1 of 4 members is missing; its place is kept until 2026-11-26T12:05:00Z"
	two = "2 of 4 members are missing; their places are kept until 2026-11-26T12:05:00Z"
)

func TestWhosePlaceIsKept(t *testing.T) {
	fourRun := func(b *book) { b.group("train", minMember(4)); b.set(runs(0), runs(1), runs(2), runs(3)) }
	for name, c := range map[string]struct {
		happens func(b *book)
		want    string
	}{
		"that of a running member that is deleted":     {func(b *book) { fourRun(b); b.remove(runs(1)) }, "n1: " + one},
		"that of one that failed":                      {func(b *book) { fourRun(b); b.set(runs(1, phase(v1.PodFailed))) }, "n1: " + one},
		"of one that failed and is deleted, only once": {func(b *book) { fourRun(b); b.set(runs(1, phase(v1.PodFailed))); b.remove(runs(1)) }, "n1: " + one},
		"that of one that had not begun to run": {func(b *book) {
			fourRun(b)
			b.set(runs(1, phase(v1.PodPending)))
			b.remove(runs(1, phase(v1.PodPending)))
		}, "n1: " + one},
		"those of two": {func(b *book) { fourRun(b); b.remove(runs(1)); b.remove(runs(2)) }, "n1 n2: " + two},
		"nobody's while it terminates, for it is not free": {func(b *book) { fourRun(b); b.set(runs(1, terminating)) }, ""},
		"that of one that has terminated":                  {func(b *book) { fourRun(b); b.set(runs(1, terminating)); b.remove(runs(1)) }, "n1: " + one},
		"of one that failed while it terminated": {func(b *book) {
			fourRun(b)
			b.set(runs(1, terminating))
			b.set(runs(1, terminating, phase(v1.PodFailed)))
		}, "n1: " + one},
		"not of one that ended well while it terminated": {func(b *book) {
			fourRun(b)
			b.set(runs(1, terminating))
			b.set(runs(1, terminating, phase(v1.PodSucceeded)))
		}, ""},
		"not of one that succeeded":                          {func(b *book) { fourRun(b); b.set(runs(1, phase(v1.PodSucceeded))) }, ""},
		"not of one that succeeded and is deleted":           {func(b *book) { fourRun(b); b.set(runs(1, phase(v1.PodSucceeded))); b.remove(runs(1)) }, ""},
		"not of one that its kubelet refused":                {func(b *book) { fourRun(b); b.set(runs(1, phase(v1.PodPending))); b.set(runs(1, phase(v1.PodFailed))) }, ""},
		"not of one that ceases to be a member":              {func(b *book) { fourRun(b); b.set(runs(1, func(p *v1.Pod) { p.Annotations = nil })) }, ""},
		"not of one beyond the minimum":                      {func(b *book) { fourRun(b); b.set(runs(4)); b.remove(runs(1)) }, ""},
		"of two, one beyond the minimum, that of the second": {func(b *book) { fourRun(b); b.set(runs(4)); b.remove(runs(1)); b.remove(runs(2)) }, "n2: " + one},
		"nobody's of a gang that was never whole":            {func(b *book) { b.group("train", minMember(4)); b.set(runs(0), runs(1), runs(2)); b.remove(runs(1)) }, ""},
		"nobody's of a gang of which all are deleted": {func(b *book) {
			fourRun(b)
			for i := range 4 {
				b.remove(runs(i))
			}
		}, ""},
		"nobody's of a gang of which the last ones terminate": {func(b *book) {
			fourRun(b)
			b.remove(runs(0))
			b.set(runs(1, terminating), runs(2, terminating), runs(3, terminating))
		}, ""},
		"nobody's of a gang without a PodGroup":       {func(b *book) { fourRun(b); b.remove(runs(1)); b.dropGroups() }, ""},
		"nobody's of a gang whose minimum is lowered": {func(b *book) { fourRun(b); b.remove(runs(1)); b.group("train", minMember(3)) }, ""},
		"the later one's of a gang whose minimum is lowered": {func(b *book) {
			fourRun(b)
			b.remove(runs(1))
			b.remove(runs(2))
			b.group("train", minMember(3))
		}, "n2: 1 of 3 members is missing; its place is kept until 2026-11-26T12:05:00Z"},
		"nobody's where the minimum is 1": {func(b *book) { b.group("train", minMember(1)); b.set(runs(0), runs(1)); b.remove(runs(1)) }, ""},
		"nobody's where nobody wants it": {func(b *book) {
			b.Repair(repair.Options{Clock: testclock.NewFakeClock(noon)})
			fourRun(b)
			b.remove(runs(1))
		}, ""},
		"one of a role of which there are too few": {func(b *book) {
			b.group("train", map[string]any{"minMember": int64(2), "minTaskMember": map[string]any{"ps": int64(1), "worker": int64(1)}})
			b.set(runs(0, role("ps")), runs(1, role("worker")), runs(2, role("worker")))
			b.remove(runs(0, role("ps")))
		}, "n0: 1 of 2 members is missing; its place is kept until 2026-11-26T12:05:00Z"},
		"nobody's on a node that is gone": {func(b *book) {
			fourRun(b)
			b.remove(runs(1))
			b.SetNode("n1", nil)
		}, ": 1 of 4 members is missing; their nodes are gone"},
	} {
		t.Run(name, func(t *testing.T) {
			var ended []repair.Result
			b := keeping(testclock.NewFakeClock(noon), &ended, nil)
			c.happens(b)
			require.Equal(t, c.want, b.kept())
		})
	}
}

func TestAGangThatLosesWhatItCanSpareIsNotUnderRepair(t *testing.T) {
	var ended []repair.Result
	b := keeping(testclock.NewFakeClock(noon), &ended, nil)
	b.group("train", minMember(2))
	b.set(runs(0), runs(1), runs(2))
	b.remove(runs(2))
	require.Empty(t, ended, "not even for a moment")
}

func (b *book) dropGroups() {
	if err := b.GroupStore(volcano.New()).Replace(nil, ""); err != nil {
		panic(err)
	}
}

func TestAPlaceIsKeptBeforeTheCoreHearsOfTheRoom(t *testing.T) {
	var ended []repair.Result
	b := keeping(testclock.NewFakeClock(noon), &ended, nil)
	b.group("train", minMember(2))
	b.set(runs(0), runs(1))
	b.set(runs(1, phase(v1.PodFailed)))
	_, isShown := b.shown("train-1")
	require.False(t, isShown)
	place := b.Places().On("n1")[0]
	require.Equal(t, int64(8), place.Request.Name("nvidia.com/gpu", resource.DecimalSI).Value())
	require.Equal(t, int64(1), place.Request.Pods().Value())
}

func TestAReplacementEndsThePlaceOfWhomItReplaces(t *testing.T) {
	for name, c := range map[string]struct {
		comes *v1.Pod
		want  string // nodes on which places are kept still
	}{
		"one with the rank of a lost one, wherever it stands": {member("again-2", on("n9"), phase(v1.PodPending)), "n1"},
		"one without a rank that stands where a lost one did": {member("again-x", on("n2"), phase(v1.PodPending)), "n1"},
		"one that has nothing in common with any":             {member("again-7", on("n9"), phase(v1.PodPending)), "n2"},
		"one that waits still ends none":                      {member("again-2"), "n1 n2"},
	} {
		t.Run(name, func(t *testing.T) {
			var ended []repair.Result
			b := keeping(testclock.NewFakeClock(noon), &ended, nil)
			b.group("train", minMember(4))
			b.set(runs(0), runs(1), runs(2), runs(3))
			b.remove(runs(1))
			b.remove(runs(2))
			b.set(c.comes)
			nodes, _, _ := strings.Cut(b.kept(), ":")
			require.Equal(t, c.want, nodes)
			require.Empty(t, ended)
			b.set(member("last", on("n8")), member("more", on("n8")))
			require.Empty(t, b.kept())
			require.Equal(t, []repair.Result{repair.Whole}, ended)
			require.Zero(t, b.CountRepairs())
		})
	}
}

// inTime runs a test in a bubble of time, in which repairs end.
func inTime(t *testing.T, f func(t *testing.T, b *book, ended *[]repair.Result, restarts *[]gang.Key)) {
	synctest.Test(t, func(t *testing.T) {
		var ended []repair.Result
		var restarts []gang.Key
		b := keeping(clock.RealClock{}, &ended, &restarts)
		ctx, cancel := context.WithCancel(t.Context())
		go b.RunRepairs(ctx)
		f(t, b, &ended, &restarts)
		cancel()
		synctest.Wait()
	})
}

func TestPlacesAreKeptForAWhile(t *testing.T) {
	inTime(t, func(t *testing.T, b *book, ended *[]repair.Result, _ *[]gang.Key) {
		b.group("train", minMember(4))
		b.set(runs(0), runs(1), runs(2), runs(3))
		b.remove(runs(1))
		time.Sleep(3 * time.Minute)
		b.remove(runs(2))
		time.Sleep(2*time.Minute - time.Second)
		require.Len(t, b.Places().Of(train()), 2)
		require.Equal(t, 1, b.CountRepairs())

		time.Sleep(2 * time.Second)
		require.Equal(t, ": 2 of 4 members are missing; places are kept no longer", b.kept(), "the first one was kept in vain, so the second one is of no use")
		require.Equal(t, []repair.Result{repair.TimedOut}, *ended)
		select {
		case <-b.Places().Freed():
		default:
			t.Fatal("nobody is told that there is room")
		}

		b.remove(runs(3))
		require.Equal(t, ": 3 of 4 members are missing; places are kept no longer", b.kept(), "a gang that was given up keeps nothing")
		b.set(runs(1), runs(2), runs(3))
		require.Empty(t, b.kept())
		b.remove(runs(1))
		require.Len(t, b.Places().Of(train()), 1, "until it was whole again")
		require.Len(t, *ended, 1)
	})
}

func TestAMemberThatIsLostAfterOthersWereReplacedHasItsOwnTime(t *testing.T) {
	inTime(t, func(t *testing.T, b *book, ended *[]repair.Result, _ *[]gang.Key) {
		b.group("train", minMember(4))
		b.set(runs(0), runs(1), runs(2), runs(3))
		b.remove(runs(1))
		time.Sleep(3 * time.Minute)
		b.remove(runs(2))
		b.set(runs(1))
		time.Sleep(4 * time.Minute)
		require.Len(t, b.Places().Of(train()), 1)
		time.Sleep(time.Minute + time.Second)
		require.Empty(t, b.Places().Of(train()))
		require.Equal(t, []repair.Result{repair.TimedOut}, *ended)
	})
}

func TestAGangIsMadeAnewWhereTheAdministratorWantsIt(t *testing.T) {
	restarting := []func(*v1.Pod){scheduler("volcano"), owned}
	lose := func(b *book, mutations ...func(*v1.Pod)) {
		b.group("train", minMember(3))
		b.set(runs(0, mutations...), runs(1, mutations...), runs(2, mutations...))
		b.remove(runs(1))
		b.set(member("train-1", mutations...)) // which finds no room
		time.Sleep(5*time.Minute + time.Second)
	}
	names := func(b *book) (names []string) {
		pods, _ := b.ToRestart(train())
		for _, pod := range pods {
			names = append(names, pod.Name)
		}
		return names
	}
	t.Run("its members are deleted and nobody is placed before", func(t *testing.T) {
		inTime(t, func(t *testing.T, b *book, ended *[]repair.Result, restarts *[]gang.Key) {
			lose(b, restarting...)
			require.Equal(t, []gang.Key{train()}, *restarts)
			require.Equal(t, []repair.Result{repair.Restarted}, *ended)
			require.ElementsMatch(t, []string{"train-0", "train-2"}, names(b))
			waits(t, b, "GangIncomplete: what is left of the gang is deleted, so that its controller makes it anew")
			b.set(runs(0, append(restarting, terminating)...))
			require.ElementsMatch(t, []string{"train-2"}, names(b), "each is deleted once")
			b.remove(runs(2))
			b.set(member("again-0", restarting...), member("again-2", restarting...))
			free(t, b)
			_, ok := b.ToRestart(train())
			require.False(t, ok)
		})
	})
	t.Run("not if it became whole meanwhile", func(t *testing.T) {
		inTime(t, func(t *testing.T, b *book, _ *[]repair.Result, _ *[]gang.Key) {
			lose(b, restarting...)
			b.set(runs(1, restarting...)) // its bind was on its way
			_, ok := b.ToRestart(train())
			require.False(t, ok)
			free(t, b)
		})
	})
	t.Run("not if nobody would make a member anew", func(t *testing.T) {
		inTime(t, func(t *testing.T, b *book, ended *[]repair.Result, restarts *[]gang.Key) {
			lose(b, scheduler("volcano"))
			require.Empty(t, *restarts)
			require.Equal(t, []repair.Result{repair.TimedOut}, *ended)
			free(t, b)
		})
	})
	t.Run("if it cannot be deleted it stays as it is", func(t *testing.T) {
		inTime(t, func(t *testing.T, b *book, _ *[]repair.Result, _ *[]gang.Key) {
			lose(b, restarting...)
			b.AbandonRestart(train())
			free(t, b)
			require.Equal(t, ": 1 of 3 members is missing; places are kept no longer", b.kept())
		})
	})
}

func TestAProcessThatStartsKeepsThePlacesOfFailedMembersThatAreThere(t *testing.T) {
	failed := func(number int, before time.Duration) *v1.Pod { return runs(number, ranAndFailed(noon.Add(-before))) }
	for name, c := range map[string]struct {
		pods []*v1.Pod
		want string
	}{
		"one that failed a minute ago": {[]*v1.Pod{runs(0), failed(1, time.Minute), runs(2), runs(3)},
			"n1: 1 of 4 members is missing; its place is kept until 2026-11-26T12:04:00Z"},
		"one that failed too long ago":     {[]*v1.Pod{runs(0), failed(1, time.Hour), runs(2), runs(3)}, ""},
		"one that its kubelet refused":     {[]*v1.Pod{runs(0), runs(1, phase(v1.PodFailed)), runs(2), runs(3)}, ""},
		"one of a gang that is whole":      {[]*v1.Pod{runs(0), failed(1, time.Minute), runs(2), runs(3), runs(4)}, ""},
		"one whose rank runs already":      {[]*v1.Pod{runs(0), failed(1, time.Minute), runs(2), member("again-1", on("n7"))}, ""},
		"one of a gang of which none runs": {[]*v1.Pod{failed(1, time.Minute)}, ""},
		"of two, one of them replaced, the later one": {[]*v1.Pod{runs(0), failed(1, 2*time.Minute), failed(2, time.Minute), runs(3), runs(4)},
			"n2: 1 of 4 members is missing; its place is kept until 2026-11-26T12:04:00Z"},
		"two, the earlier one first": {[]*v1.Pod{runs(0), failed(1, time.Minute), failed(2, 2*time.Minute), runs(3)},
			"n2 n1: 2 of 4 members are missing; their places are kept until 2026-11-26T12:03:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			var ended []repair.Result
			b := keeping(testclock.NewFakeClock(noon), &ended, nil)
			b.set(c.pods...)
			b.group("train", minMember(4))
			b.Recall()
			require.Equal(t, c.want, b.kept())
			require.Empty(t, ended)
		})
	}
}

// TestKeptPlacesOverAnyLife lets members of a gang come, go and end at random, and its minimum change.
func TestKeptPlacesOverAnyLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ended []repair.Result
		b := keeping(testclock.NewFakeClock(noon), &ended, nil)
		pods := map[int]*v1.Pod{}
		minimum := 0
		number := rapid.IntRange(0, 5)
		set := func(i int, mutations ...func(*v1.Pod)) {
			pods[i] = runs(i, mutations...)
			b.set(pods[i])
		}
		t.Repeat(map[string]func(*rapid.T){
			"a minimum": func(t *rapid.T) {
				minimum = rapid.IntRange(0, 5).Draw(t, "minimum")
				b.group("train", minMember(int64(minimum)))
			},
			"runs": func(t *rapid.T) {
				if i := number.Draw(t, "who"); pods[i] == nil {
					set(i)
				}
			},
			"fails": func(t *rapid.T) {
				if i := number.Draw(t, "who"); pods[i] != nil && pods[i].Status.Phase == v1.PodRunning {
					set(i, phase(v1.PodFailed))
				}
			},
			"succeeds": func(t *rapid.T) {
				if i := number.Draw(t, "who"); pods[i] != nil && pods[i].Status.Phase == v1.PodRunning {
					set(i, phase(v1.PodSucceeded))
				}
			},
			"terminates": func(t *rapid.T) {
				if i := number.Draw(t, "who"); pods[i] != nil && pods[i].Status.Phase == v1.PodRunning {
					set(i, terminating)
				}
			},
			"goes": func(t *rapid.T) {
				if i := number.Draw(t, "who"); pods[i] != nil {
					b.remove(pods[i])
					delete(pods, i)
				}
			},
			"the node goes": func(t *rapid.T) { b.SetNode(fmt.Sprint("n", number.Draw(t, "where")), nil) },
			"the PodGroup goes": func(*rapid.T) {
				minimum = 0
				b.dropGroups()
			},
			"": func(t *rapid.T) {
				held, succeeded := 0, 0
				for _, p := range pods {
					switch {
					case p.DeletionTimestamp != nil:
					case p.Status.Phase == v1.PodRunning:
						held++
					case p.Status.Phase == v1.PodSucceeded:
						succeeded++
					}
				}
				kept := b.Places().Of(train())
				missing := max(0, minimum-held-succeeded)
				require.LessOrEqual(t, len(kept), missing, "no more places than members are missing")
				if held == 0 {
					require.Empty(t, kept, "nothing for a gang of which nobody runs")
				}
				state, _ := b.State(train())
				require.Len(t, kept, int(state.Progress.Repair.Kept))
				require.Equal(t, state.Progress.Repair.Phase == gang.Repairing, b.CountRepairs() == 1)
				var onNodes int
				for _, node := range b.Places().Nodes() {
					onNodes += len(b.Places().On(node))
				}
				require.Equal(t, len(kept), onNodes)
			},
		})
	})
}
