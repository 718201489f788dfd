package ledger_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/coscheduling"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/native"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano"
)

const ns = "ns"

// book is a ledger with the hands to write into it.
type book struct {
	*ledger.Ledger
	changed map[gang.Key]int
}

func newBook() *book {
	b := &book{changed: map[gang.Key]int{}}
	b.Ledger = ledger.New([]gang.Dialect{native.New(), volcano.New(), coscheduling.New()}, []string{"phalanx", "volcano"},
		func(key gang.Key) { b.changed[key]++ })
	return b
}

func (b *book) set(pods ...*v1.Pod) {
	for _, p := range pods {
		if err := b.PodStore().Update(p); err != nil {
			panic(err)
		}
	}
}

func (b *book) remove(p *v1.Pod) {
	if err := b.PodStore().Delete(p); err != nil {
		panic(err)
	}
}

func (b *book) group(name string, spec map[string]any) {
	err := b.GroupStore(volcano.New()).Update(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "PodGroup",
		"metadata": map[string]any{"name": name, "namespace": ns}, "spec": spec,
	}})
	if err != nil {
		panic(err)
	}
}

func (b *book) shown(name string) (*v1.Pod, bool) {
	return b.Pods.Get(types.NamespacedName{Namespace: ns, Name: name})
}

func (b *book) shownGroup(name string) (*schedulingv1beta1.PodGroup, bool) {
	return b.Groups.Get(types.NamespacedName{Namespace: ns, Name: name})
}

func train() gang.Key { return gang.Key{Dialect: "volcano", Namespace: ns, Name: "train"} }

// member is a pod of the Volcano group "train", changed by the mutations.
func member(name string, mutations ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID(name), Annotations: map[string]string{"scheduling.k8s.io/group-name": "train"}},
		Spec:       v1.PodSpec{SchedulerName: "phalanx"},
		Status:     v1.PodStatus{Phase: v1.PodPending},
	}
	for _, mutate := range mutations {
		mutate(p)
	}
	return p
}

func on(node string) func(*v1.Pod)          { return func(p *v1.Pod) { p.Spec.NodeName = node } }
func phase(phase v1.PodPhase) func(*v1.Pod) { return func(p *v1.Pod) { p.Status.Phase = phase } }
func priority(value int32) func(*v1.Pod)    { return func(p *v1.Pod) { p.Spec.Priority = &value } }
func scheduler(name string) func(*v1.Pod)   { return func(p *v1.Pod) { p.Spec.SchedulerName = name } }
func role(name string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Annotations["volcano.sh/task-spec"] = name }
}
func label(key, value string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Labels = map[string]string{key: value} }
}
func terminating(p *v1.Pod)                    { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
func withGate(p *v1.Pod)                       { p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "g"}} }
func never(p *v1.Pod)                          { n := v1.PreemptNever; p.Spec.PreemptionPolicy = &n }
func blocked(t *testing.T, b *book) string     { t.Helper(); return b.Blocked(train()).String() }
func minMember(n int64) map[string]any         { return map[string]any{"minMember": n} }
func free(t *testing.T, b *book)               { t.Helper(); require.Equal(t, gang.Waiting{}, b.Blocked(train())) }
func waits(t *testing.T, b *book, want string) { t.Helper(); require.Equal(t, want, blocked(t, b)) }

func TestAGangIsHeldUntilItCanBeComplete(t *testing.T) {
	b := newBook()
	b.set(member("a"), member("b"))
	waits(t, b, "GangNotFound: no PodGroup ns/train of dialect volcano exists")
	b.group("train", minMember(3))
	waits(t, b, "GangIncomplete: 2 of 3 members exist")
	b.set(member("c"))
	free(t, b)
	b.remove(member("a"))
	waits(t, b, "GangIncomplete: 2 of 3 members exist")
	b.group("train", minMember(2))
	free(t, b)
}

func TestRolesHaveMinimaOfTheirOwn(t *testing.T) {
	b := newBook()
	b.group("train", map[string]any{"minMember": int64(3), "minTaskMember": map[string]any{"ps": int64(1), "worker": int64(2)}})
	b.set(member("w1", role("worker")), member("w2", role("worker")), member("w3", role("worker")))
	waits(t, b, `GangIncomplete: 0 of 1 members of role "ps" exist`)
	b.set(member("p", role("ps")))
	free(t, b)
}

func TestWhatCountsTowardMinMember(t *testing.T) {
	for name, c := range map[string]struct {
		third    *v1.Pod
		blocked  string
		minCount int32
	}{
		"a pending member counts":                        {member("c"), "", 3},
		"a running member counts":                        {member("c", on("n"), phase(v1.PodRunning)), "", 3},
		"a succeeded member counts, out of core's sight": {member("c", on("n"), phase(v1.PodSucceeded)), "", 2},
		"a failed member does not count":                 {member("c", on("n"), phase(v1.PodFailed)), "GangIncomplete: 2 of 3 members exist", 3},
		"a terminating one on a node does not count, though the core counts it": {
			member("c", on("n"), phase(v1.PodRunning), terminating), "GangIncomplete: 2 of 3 members exist", 4},
		"one with a scheduling gate does not count":       {member("c", withGate), "GangIncomplete: 2 of 3 members exist, 1 more has a scheduling gate", 3},
		"nor does it while it is deleted":                 {member("c", withGate, terminating), "GangIncomplete: 2 of 3 members exist", 3},
		"a terminating one without a node does not count": {member("c", terminating), "GangIncomplete: 2 of 3 members exist", 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.group("train", minMember(3))
			b.set(member("a"), member("b"), c.third)
			if c.blocked == "" {
				free(t, b)
			} else {
				waits(t, b, c.blocked)
			}
			group, ok := b.shownGroup("volcano:train")
			require.True(t, ok)
			require.Equal(t, c.minCount, group.Spec.SchedulingPolicy.Gang.MinCount)
		})
	}
}

func TestAMemberWithASchedulingGateHoldsUpNobodyWhoCanDoWithoutIt(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	b.set(member("a"), member("b"), member("c", withGate))
	free(t, b)
	_, isShown := b.shown("c")
	require.False(t, isShown, "the core would hold the gang for it")
	state, _ := b.State(train())
	require.Equal(t, int32(3), state.Progress.Pending)
	require.Len(t, state.Pending, 2, "the API server describes the one with the gate")
	b.set(member("c"))
	_, isShown = b.shown("c")
	require.True(t, isShown)
}

func TestAPodOfAnotherSchedulerIsAStrangerAndNoMember(t *testing.T) {
	b := newBook()
	stranger := member("a", scheduler("other"))
	b.set(stranger)
	state, ok := b.State(train())
	require.True(t, ok)
	require.True(t, state.HasStrangers)
	require.False(t, state.HasMembers)
	shown, _ := b.shown("a")
	require.Nil(t, shown.Spec.SchedulingGroup)
	b.remove(stranger)
	_, ok = b.State(train())
	require.False(t, ok, "nothing is left to account for")
	require.NotZero(t, b.changed[train()])
}

func TestAllMembersShowTheSamePriorityAndPolicy(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	b.set(member("worker", priority(5)), member("launcher", priority(9), never))
	check := func(want int32) {
		t.Helper()
		group, _ := b.shownGroup("volcano:train")
		require.Equal(t, want, *group.Spec.Priority)
		for _, name := range []string{"worker", "launcher"} {
			p, ok := b.shown(name)
			require.True(t, ok)
			require.Equal(t, want, *p.Spec.Priority, name)
			require.Equal(t, v1.PreemptNever, *p.Spec.PreemptionPolicy, name)
			require.Equal(t, "volcano:train", *p.Spec.SchedulingGroup.PodGroupName)
		}
	}
	check(9)
	b.group("train", map[string]any{"minMember": int64(2), "priorityClassName": "gold"})
	waits(t, b, `GangInvalid: PodGroup ns/train: no PriorityClass is named "gold", its priorityClassName`)
	b.SetPriorityClass("gold", 1000, false)
	free(t, b)
	check(1000)
	b.SetPriorityClass("gold", 0, true)
	require.Contains(t, blocked(t, b), "GangInvalid")
}

func TestMembersOfDifferentSchedulersMakeNoGang(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	b.set(member("a"), member("b", scheduler("volcano")))
	waits(t, b, `GangInvalid: its members name different schedulers: ["phalanx" "volcano"]`)
	b.set(member("c", scheduler("somebody-elses")))
	p, _ := b.shown("c")
	require.Nil(t, p.Spec.SchedulingGroup, "a pod of a scheduler that we do not serve is shown as it is")
}

func TestAPodWithKeysOfTwoDialectsBelongsToTheFirst(t *testing.T) {
	b := newBook()
	b.set(member("a", label("scheduling.x-k8s.io/pod-group", "other")))
	key, ok := b.MemberOf(types.NamespacedName{Namespace: ns, Name: "a"})
	require.True(t, ok)
	require.Equal(t, train(), key)
	state, _ := b.State(train())
	require.Len(t, state.Ambiguous, 1)
}

func TestAPodThatEntersAGangLateIsShownAnew(t *testing.T) {
	b := newBook()
	b.group("train", minMember(1))
	plain := member("a")
	plain.Annotations = nil
	b.set(plain)
	p, _ := b.shown("a")
	require.Nil(t, p.Spec.SchedulingGroup)
	b.set(member("a"))
	p, _ = b.shown("a")
	require.Equal(t, "volcano:train", *p.Spec.SchedulingGroup.PodGroupName)
	b.set(plain)
	p, _ = b.shown("a")
	require.Nil(t, p.Spec.SchedulingGroup)
	_, ok := b.shownGroup("volcano:train")
	require.False(t, ok, "a group without members is no burden to the core")
}

func TestAHalfStartedGangIsKnown(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	b.set(member("a"), member("b"))
	require.False(t, b.IsHalfStarted(train()))
	b.set(member("a", on("n")))
	require.True(t, b.IsHalfStarted(train()))
	b.set(member("b", on("n"), phase(v1.PodRunning)))
	require.False(t, b.IsHalfStarted(train()))
	b.set(member("a", on("n"), phase(v1.PodSucceeded)))
	require.False(t, b.IsHalfStarted(train()), "a member that succeeded is no half")
}

func TestARefusalHoldsWhileAMemberWaits(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	b.set(member("a"), member("b"))
	why := gang.Waiting{Reason: gang.InsufficientGPUs, Sentence: "none"}
	b.Refuse(train(), why)
	before := b.changed[train()]
	b.Refuse(train(), why)
	require.Equal(t, before, b.changed[train()], "the same refusal is no news")
	state, _ := b.State(train())
	require.Equal(t, why, state.Progress.Waiting)
	b.set(member("a", on("n")), member("b", on("n")))
	state, _ = b.State(train())
	require.Equal(t, gang.Waiting{}, state.Progress.Waiting)
	b.set(member("c"))
	state, _ = b.State(train())
	require.Equal(t, gang.Waiting{}, state.Progress.Waiting, "an old refusal says nothing about a new member")
}

func TestRefusedGangsShowOneMemberEach(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	b.set(member("a"), member("b"))
	require.Empty(t, b.Refused(), "nobody has tried it")
	b.Refuse(train(), gang.Waiting{Reason: gang.InsufficientGPUs, Sentence: "none"})
	refused := b.Refused()
	require.Len(t, refused, 1)
	for name, pod := range refused {
		require.Equal(t, ns+"/"+pod.Name, name)
		require.Equal(t, "volcano:train", *pod.Spec.SchedulingGroup.PodGroupName, "as the core knows it")
	}
	b.group("train", minMember(3))
	require.Empty(t, b.Refused(), "a third member is missing first")
	b.group("train", minMember(2))
	require.Len(t, b.Refused(), 1)
	b.Accept(train())
	require.Empty(t, b.Refused())
}

func TestAGroupWithoutPodsIsAdmittedIfTheClusterCouldHoldIt(t *testing.T) {
	b := newBook()
	b.group("train", map[string]any{"minMember": int64(2), "minResources": map[string]any{"nvidia.com/gpu": "16"}})
	admitted := func() bool { s, _ := b.State(train()); return s.Progress.Admitted }
	require.False(t, admitted())
	eight := v1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}
	b.SetNode("n1", eight)
	require.False(t, admitted())
	news := b.changed[train()]
	b.SetNode("n2", eight)
	require.True(t, admitted())
	require.Greater(t, b.changed[train()], news)
	b.SetNode("n2", nil)
	require.False(t, admitted())
}

func TestAListReplacesAllThatWasKnown(t *testing.T) {
	b := newBook()
	b.group("train", minMember(1))
	plain := member("plain")
	plain.Annotations = nil
	b.set(member("a"), member("b"), plain)
	require.NoError(t, b.PodStore().Replace([]any{member("b")}, ""))
	require.Equal(t, []types.NamespacedName{{Namespace: ns, Name: "b"}}, b.Pods.Keys())
	require.NoError(t, b.GroupStore(volcano.New()).Replace(nil, ""))
	require.Contains(t, blocked(t, b), "GangNotFound")
	require.Empty(t, b.Groups.Keys())
	b.remove(member("b"))
	_, ok := b.State(train())
	require.False(t, ok, "nothing is kept of a gang that is gone")
}

func TestAPodOfTheSameNameIsAnotherPod(t *testing.T) {
	b := newBook()
	b.group("train", minMember(1))
	b.set(member("a", on("n"), phase(v1.PodRunning)))
	b.set(member("a", func(p *v1.Pod) { p.UID = "second" }))
	state, _ := b.State(train())
	require.Equal(t, int32(1), state.Progress.Pending)
	require.Equal(t, int32(0), state.Progress.Running)
}

// TestTheLedgerAgreesWithCountingAnew compares the ledger, which only adds and subtracts, with a count over all pods, after
// random histories.
func TestTheLedgerAgreesWithCountingAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBook()
		pods := map[string]*v1.Pod{}
		hasGroup, minimum := false, int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			switch rapid.IntRange(0, 6).Draw(t, "change") {
			case 0:
				hasGroup, minimum = true, rapid.Int64Range(0, 4).Draw(t, "minMember")
				b.group("train", minMember(minimum))
			case 1:
				hasGroup = false
				_ = b.GroupStore(volcano.New()).Replace(nil, "")
			case 2:
				name := fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "pod"))
				b.remove(member(name))
				delete(pods, name)
			default:
				p := randomMember(t)
				b.set(p.DeepCopy())
				pods[p.Name] = p
			}
		}
		compare(t, b, pods, hasGroup, int32(minimum))
	})
}

func randomMember(t *rapid.T) *v1.Pod {
	p := member(fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "pod")), priority(rapid.Int32Range(0, 3).Draw(t, "priority")))
	if rapid.IntRange(0, 4).Draw(t, "plain") == 0 {
		p.Annotations = nil
	}
	if rapid.Bool().Draw(t, "bound") {
		p.Spec.NodeName = "n"
		p.Status.Phase = rapid.SampledFrom([]v1.PodPhase{v1.PodPending, v1.PodRunning, v1.PodSucceeded, v1.PodFailed}).Draw(t, "phase")
	}
	if rapid.IntRange(0, 4).Draw(t, "terminating") == 0 {
		terminating(p)
	}
	return p
}

func compare(t *rapid.T, b *book, pods map[string]*v1.Pod, hasGroup bool, minimum int32) {
	var want gang.Progress
	var top, held int32
	for _, name := range slices.Sorted(maps.Keys(pods)) {
		p := pods[name]
		isOver := p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
		shown, isShown := b.shown(name)
		require.Equal(t, !isOver, isShown, "pod %s", name)
		if p.Annotations == nil {
			continue
		}
		if isShown {
			require.NotNil(t, shown.Spec.SchedulingGroup)
		}
		switch {
		case p.DeletionTimestamp != nil:
			if p.Spec.NodeName != "" && !isOver {
				held++
			}
			continue
		case p.Status.Phase == v1.PodSucceeded:
			want.Succeeded++
			continue
		case p.Status.Phase == v1.PodFailed:
			want.Failed++
			continue
		case p.Spec.NodeName == "":
			want.Pending++
		case p.Status.Phase == v1.PodRunning:
			want.Running++
		default:
			want.Bound++
		}
		top = max(top, *p.Spec.Priority)
	}
	state, ok := b.State(train())
	if !ok {
		require.Zero(t, want.Members()+want.Failed)
		return
	}
	got := state.Progress
	got.Waiting, got.Admitted = want.Waiting, want.Admitted
	require.Equal(t, want, got)
	if why := b.Blocked(train()); !hasGroup {
		require.Equal(t, gang.GangNotFound, why.Reason)
	} else if want.Members() < minimum {
		require.Equal(t, gang.GangIncomplete, why.Reason)
		require.True(t, strings.HasPrefix(why.Sentence, fmt.Sprintf("%d of %d ", want.Members(), minimum)))
	} else {
		require.Equal(t, gang.Waiting{}, why)
	}
	if group, ok := b.shownGroup("volcano:train"); ok {
		require.Equal(t, max(1, minimum-want.Succeeded+held), group.Spec.SchedulingPolicy.Gang.MinCount)
		if want.Pending+want.Bound+want.Running > 0 {
			require.Equal(t, top, *group.Spec.Priority)
		}
	}
}

// In that order the core's queue has them after a restart, too.
func TestTheCoreGetsToKnowPodsWithANodeFirstAndThenTheOldest(t *testing.T) {
	b := newBook()
	b.Pods.Ready()
	for i, name := range []string{"young", "old", "running", "of-an-age-b", "of-an-age-a"} {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}, Spec: v1.PodSpec{SchedulerName: "phalanx"}}
		p.CreationTimestamp = metav1.Unix([]int64{40, 10, 50, 20, 20}[i], 0)
		if name == "running" {
			p.Spec.NodeName = "n1"
		}
		b.set(p)
	}
	list, err := b.Pods.ListerWatcher().(cache.ListerWatcherWithContext).ListWithContext(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var names []string
	for _, p := range list.(*v1.PodList).Items {
		names = append(names, p.Name)
	}
	require.Equal(t, []string{"running", "old", "of-an-age-a", "of-an-age-b", "young"}, names)
}
