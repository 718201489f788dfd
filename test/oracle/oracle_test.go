package oracle_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

const gpu corev1.ResourceName = "nvidia.com/gpu"

var (
	begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	train = oracle.Gang{Dialect: oracle.Volcano, Namespace: "default", Name: "train"}
)

// history tells a judge what happens, at seconds after begin.
type history struct{ *oracle.Judge }

func newHistory(minimum int) history {
	h := history{oracle.New(oracle.DefaultGrace)}
	h.SetMinimum(begin, train, minimum)
	return h
}

func at(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }

// member makes a member of train in the phase, on the node, "" for none.
func member(i int, node string, phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("train-%d", i), Namespace: "default", UID: types.UID(fmt.Sprintf("uid-%d", i)),
			Annotations: map[string]string{oracle.VolcanoAnnotation: "train"},
		},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{gpu: resource.MustParse("4")}},
		}}},
		Status: corev1.PodStatus{Phase: phase},
	}
}

func (h history) add(seconds float64, pod *corev1.Pod) { h.Observe(at(seconds), watch.Added, pod) }
func (h history) change(seconds float64, pod *corev1.Pod) {
	h.Observe(at(seconds), watch.Modified, pod)
}
func (h history) remove(seconds float64, pod *corev1.Pod) { h.Observe(at(seconds), watch.Deleted, pod) }

func (h history) bind(seconds float64, members ...int) {
	for _, i := range members {
		h.change(seconds, member(i, fmt.Sprintf("node-%d", i), corev1.PodPending))
	}
}

func (h history) says(seconds float64) []string {
	out := []string{}
	for _, v := range h.Violations(at(seconds)) {
		out = append(out, v.String())
	}
	return out
}

func TestHalfStarts(t *testing.T) {
	for name, test := range map[string]struct {
		play func(h history)
		want []string
	}{
		"a gang that is bound within the grace is fine": {
			play: func(h history) { h.bind(1, 0, 1); h.bind(5.9, 2, 3) },
		},
		"a gang that is never bound is fine": {
			play: func(h history) { h.add(0, member(0, "", corev1.PodPending)) },
		},
		"a gang that is bound too slowly is caught, though whole at last": {
			play: func(h history) { h.bind(1, 0, 1, 2); h.bind(6.5, 3) },
			want: []string{"volcano default/train was half started for 5.5s: at most 3 of 4 members were placed"},
		},
		"a gang that stays half started is caught while it lasts": {
			play: func(h history) { h.bind(1, 0) },
			want: []string{"volcano default/train was half started for 1m39s: at most 1 of 4 members were placed"},
		},
		"a half start that was given up after too long is caught": {
			play: func(h history) {
				h.bind(1, 0, 1)
				h.remove(11, member(0, "node-0", corev1.PodPending))
				h.remove(12, member(1, "node-1", corev1.PodPending))
			},
			want: []string{"volcano default/train was half started for 11s: at most 2 of 4 members were placed"},
		},
		"a half start that was given up at once is fine, and the next one counts anew": {
			play: func(h history) {
				h.bind(1, 0)
				h.remove(5, member(0, "node-0", corev1.PodPending))
				h.bind(6, 1)
				h.bind(10, 0, 2, 3)
			},
		},
		"a member that succeeded counts as placed": {
			play: func(h history) {
				h.bind(1, 0, 1)
				h.change(2, member(0, "node-0", corev1.PodSucceeded))
				h.bind(3, 2, 3)
			},
		},
		"a member that failed before the gang was whole counts no longer": {
			play: func(h history) {
				h.bind(1, 0, 1)
				h.change(2, member(0, "node-0", corev1.PodFailed))
				h.bind(3, 2, 3)
			},
			want: []string{"volcano default/train was half started for 1m39s: at most 3 of 4 members were placed"},
		},
		"a gang that was whole and loses members is fine": {
			play: func(h history) { h.bind(1, 0, 1, 2, 3); h.change(2, member(0, "node-0", corev1.PodFailed)) },
		},
		"a gang that ran, went away and came back half is caught": {
			play: func(h history) {
				h.bind(1, 0, 1, 2, 3)
				for i := range 4 {
					h.remove(2, member(i, fmt.Sprintf("node-%d", i), corev1.PodRunning))
				}
				h.bind(10, 0)
			},
			want: []string{"volcano default/train was half started for 1m30s: at most 1 of 4 members were placed"},
		},
		"a pod of the same name is another member": {
			play: func(h history) {
				h.bind(1, 0, 1, 2)
				again := member(0, "", corev1.PodPending)
				again.UID = "another"
				h.change(2, again)
				h.bind(3, 3)
			},
			want: []string{"volcano default/train was half started for 1m39s: at most 3 of 4 members were placed"},
		},
		"a minimum that was lowered in time makes a gang whole": {
			play: func(h history) { h.bind(1, 0, 1); h.SetMinimum(at(3), train, 2) },
		},
		"a minimum that was raised does not unmake a gang": {
			play: func(h history) { h.bind(1, 0, 1, 2, 3); h.SetMinimum(at(3), train, 8) },
		},
		"a gang of which nobody told the minimum is named": {
			play: func(h history) {
				pod := member(0, "node-0", corev1.PodRunning)
				pod.Annotations = map[string]string{oracle.VolcanoAnnotation: "other"}
				h.add(1, pod)
			},
			want: []string{"volcano default/other cannot be judged: 1 of its members were placed, but nobody told its minimum"},
		},
		"a gang of which somebody told the minimum late is judged from then on": {
			play: func(h history) {
				other := oracle.Gang{Dialect: oracle.Volcano, Namespace: "default", Name: "other"}
				pod := member(0, "node-0", corev1.PodRunning)
				pod.Annotations = map[string]string{oracle.VolcanoAnnotation: "other"}
				h.add(1, pod)
				h.SetMinimum(at(90), other, 2)
			},
			want: []string{"volcano default/other was half started for 10s: at most 1 of 2 members were placed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(4)
			for i := range 4 {
				h.add(0, member(i, "", corev1.PodPending))
			}
			test.play(h)
			require.Equal(t, append([]string{}, test.want...), h.says(100))
		})
	}
}

func TestASlowWatchIsNotTheSchedulersFault(t *testing.T) {
	h := newHistory(2)
	for i, seconds := range []float64{1.2, 3.4} {
		pod := member(i, "node", corev1.PodPending)
		stamp := metav1.NewTime(at(seconds).Truncate(time.Second))
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: stamp}}
		h.add(seconds+10*float64(i), pod) // the second one is told ten seconds late
	}
	require.Empty(t, h.says(60))
	require.Equal(t, 2800*time.Millisecond, h.LongestHalfStart(at(60)), "to the end of the second in which the last was bound")
}

func TestABoundPodThatIsToldThatItWaitsIsCaughtOnce(t *testing.T) {
	h := newHistory(1)
	told := func(node string) *corev1.Pod {
		pod := member(0, node, corev1.PodRunning)
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "InsufficientGPUs: none"}}
		return pod
	}
	h.add(1, told(""))
	require.Empty(t, h.says(2), "it does wait")
	h.bind(2, 0)
	require.Empty(t, h.says(3))
	h.change(3, told("node-0"))
	h.change(4, told("node-0"))
	require.Equal(t, []string{"pod default/train-0 is bound, but its condition says that it is not: InsufficientGPUs: none"}, h.says(5))
}

func TestMoments(t *testing.T) {
	pod := member(0, "node", corev1.PodPending)
	require.Equal(t, at(7), oracle.CreatedAt(at(7), pod), "without a stamp")
	require.Equal(t, at(7), oracle.BoundAt(at(7), pod), "without a stamp")
	pod.CreationTimestamp = metav1.NewTime(at(2))
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at(4))}}
	require.Equal(t, at(2.5), oracle.CreatedAt(at(2.5), pod), "seen at once")
	require.Equal(t, at(3), oracle.CreatedAt(at(7), pod), "seen late")
	require.Equal(t, at(5), oracle.BoundAt(at(7), pod), "seen late")
}

func TestTheLongestHalfStartIsKnownWithinTheGraceToo(t *testing.T) {
	h := newHistory(2)
	require.Zero(t, h.LongestHalfStart(at(1)))
	h.bind(1, 0)
	require.Equal(t, 2*time.Second, h.LongestHalfStart(at(3)))
	h.bind(4, 1)
	require.Equal(t, 3*time.Second, h.LongestHalfStart(at(60)))
	require.Empty(t, h.says(60))
}

func newNode(gpus string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "a"},
		Status:     corev1.NodeStatus{Allocatable: corev1.ResourceList{gpu: resource.MustParse(gpus), corev1.ResourcePods: resource.MustParse("3")}},
	}
}

func TestCapacity(t *testing.T) {
	const overfull = "node a held pods that ask for 12 nvidia.com/gpu, it has 8"
	running := func(i int) *corev1.Pod { return member(i, "a", corev1.PodRunning) }
	for name, test := range map[string]struct {
		play func(h history)
		want []string
	}{
		"a full node is fine":      {play: func(h history) { h.add(1, running(0)); h.add(2, running(1)) }},
		"a pod too many is caught": {play: func(h history) { h.add(1, running(0)); h.add(2, running(1)); h.add(3, running(2)) }, want: []string{overfull}},
		"a pod too many is caught after it is gone": {
			play: func(h history) {
				h.add(1, running(0))
				h.add(2, running(1))
				h.add(3, running(2))
				h.remove(3, running(2))
			},
			want: []string{overfull},
		},
		"a pod that is over takes no room": {
			play: func(h history) {
				h.add(1, running(0))
				h.add(2, running(1))
				h.change(3, member(0, "a", corev1.PodSucceeded))
				h.change(3, member(1, "a", corev1.PodFailed))
				h.add(4, running(2))
				h.add(4, running(3))
			},
		},
		"a pod that is being deleted takes room until it is gone": {
			play: func(h history) {
				leaving := running(0)
				leaving.DeletionTimestamp = &metav1.Time{Time: at(2)}
				h.add(1, running(0))
				h.add(1, running(1))
				h.change(2, leaving)
				h.add(3, running(2))
			},
			want: []string{overfull},
		},
		"more pods than a node takes are caught": {
			play: func(h history) {
				for i := range 4 {
					pod := running(i)
					pod.Spec.Containers = nil
					h.add(1, pod)
				}
			},
			want: []string{"node a held pods that ask for 4 pods, it has 3"},
		},
		"a node that loses what its pods hold is fine, what comes after is not": {
			play: func(h history) {
				h.add(1, running(0))
				h.SetNode(at(2), newNode("0"))
				bystander := running(1)
				bystander.Spec.Containers = nil
				h.add(3, bystander)
				h.add(4, running(2))
			},
			want: []string{"node a held pods that ask for 8 nvidia.com/gpu, it has 0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(1)
			h.SetNode(begin, newNode("8"))
			test.play(h)
			require.Equal(t, append([]string{}, test.want...), h.says(100))
		})
	}
}

func TestANodeThatComesAfterItsPodsIsJudged(t *testing.T) {
	h := newHistory(1)
	for i := range 3 {
		h.add(1, member(i, "a", corev1.PodRunning))
	}
	require.Empty(t, h.says(2))
	h.SetNode(at(2), newNode("8"))
	require.Len(t, h.says(2), 1)
	h.RemoveNode("a")
	require.Len(t, h.says(3), 1, "what was wrong stays wrong")
}

func TestGangOf(t *testing.T) {
	name := "native"
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns"}}
	_, isMember := oracle.GangOf(pod)
	require.False(t, isMember)
	for _, step := range []struct {
		add  func()
		want string
	}{
		{func() { pod.Labels = map[string]string{oracle.CoschedulingLabel: "c"} }, "coscheduling ns/c"},
		{func() { pod.Annotations = map[string]string{oracle.VolcanoAnnotation: "v"} }, "volcano ns/v"},
		{func() { pod.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &name} }, "native ns/native"},
	} {
		step.add()
		gang, isMember := oracle.GangOf(pod)
		require.True(t, isMember)
		require.Equal(t, step.want, gang.String())
	}
}

func TestAHandlerTellsTheJudgeWhatAnInformerSees(t *testing.T) {
	h := newHistory(2)
	now := at(1)
	handler := oracle.Handler(func() time.Time { return now }, h.Observe)
	pending, bound := member(0, "", corev1.PodPending), member(0, "node-0", corev1.PodPending)
	handler.OnAdd(pending, true)
	handler.OnUpdate(pending, bound)
	require.Equal(t, 2*time.Second, h.LongestHalfStart(at(3)))
	now = at(4)
	handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "default/train-0", Obj: bound})
	require.Equal(t, 3*time.Second, h.LongestHalfStart(at(60)))
}

// inRack makes a node in a rack, "" for none.
func inRack(name, rack string) *corev1.Node {
	node := newNode("8")
	node.Name = name
	if rack != "" {
		node.Labels = map[string]string{"rack": rack}
	}
	return node
}

func TestRequiredDomains(t *testing.T) {
	const scattered = "volcano default/train requires one rack and took room in r1 and r2"
	running := func(i int, node string) *corev1.Pod { return member(i, node, corev1.PodRunning) }
	for name, test := range map[string]struct {
		play func(h history)
		want []string
	}{
		"two nodes of one rack are fine":   {play: func(h history) { h.add(1, running(0, "a")); h.add(2, running(1, "b")) }},
		"nodes of two racks are caught":    {play: func(h history) { h.add(1, running(0, "a")); h.add(2, running(1, "c")) }, want: []string{scattered}},
		"a node without a rack is its own": {play: func(h history) { h.add(1, running(0, "d")); h.add(2, running(1, "d")) }},
		"a node without a rack is no part of another": {
			play: func(h history) { h.add(1, running(0, "d")); h.add(2, running(1, "a")) },
			want: []string{"volcano default/train requires one rack and took room in node d and r1"},
		},
		"who comes after all others went is free to go elsewhere": {
			play: func(h history) {
				h.add(1, running(0, "a"))
				h.change(2, member(0, "a", corev1.PodSucceeded))
				h.add(3, running(1, "c"))
			},
		},
		"who comes while one stays is not": {
			play: func(h history) {
				h.add(1, running(0, "a"))
				h.add(1, running(1, "b"))
				h.remove(2, running(0, "a"))
				h.add(3, running(0, "c"))
			},
			want: []string{scattered},
		},
		"a wish that is withdrawn is none": {
			play: func(h history) {
				h.add(1, running(0, "a"))
				h.SetRequired(train, "")
				h.add(2, running(1, "c"))
			},
		},
		"other gangs may stand elsewhere": {
			play: func(h history) {
				h.add(1, running(0, "a"))
				other := running(1, "c")
				other.Annotations = nil
				h.add(2, other)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(1)
			h.SetRequired(train, "rack")
			for name, rack := range map[string]string{"a": "r1", "b": "r1", "c": "r2", "d": ""} {
				h.SetNode(begin, inRack(name, rack))
			}
			test.play(h)
			require.Equal(t, append([]string{}, test.want...), h.says(100))
		})
	}
}

func TestWhoBinds(t *testing.T) {
	h := newHistory(1)
	pod := types.NamespacedName{Namespace: "default", Name: "train-0"}
	h.ObserveBind(at(1), "b", pod)
	require.Empty(t, h.says(1), "nobody was said to lead")
	h.SetLeader("a")
	h.ObserveBind(at(2), "a", pod)
	require.Empty(t, h.says(2))
	h.SetLeader("b")
	h.ObserveBind(at(3), "a", pod)
	require.Equal(t, []string{"pod default/train-0 was bound by a while b led"}, h.says(3))
}

func TestWhoWaits(t *testing.T) {
	h := newHistory(1)
	require.Empty(t, h.Waiting())
	h.add(1, member(1, "", corev1.PodPending))
	h.add(1, member(0, "", corev1.PodPending))
	h.add(1, member(2, "", corev1.PodFailed))
	h.add(1, member(3, "a", corev1.PodPending))
	require.Equal(t, "[default/train-0 default/train-1]", fmt.Sprint(h.Waiting()))
	h.bind(2, 0)
	h.remove(2, member(1, "", corev1.PodPending))
	require.Empty(t, h.Waiting())
}

// group is a PodGroup called train, as the API server has it.
func group(spec map[string]any) *unstructured.Unstructured {
	g := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	g.SetNamespace("default")
	g.SetName("train")
	return g
}

func TestPodGroupsSayWhatTheirGangsNeed(t *testing.T) {
	minMember := func(n int64) map[string]any { return map[string]any{"minMember": n} }
	const half = "volcano default/train was half started for 1m30s: at most 1 of 3 members were placed"
	for name, test := range map[string]struct {
		play func(h history)
		want []string
	}{
		"minMember": {play: func(h history) {
			h.ObserveGroup(at(1), watch.Added, oracle.Volcano, group(minMember(3)))
			h.bind(10, 0)
		}, want: []string{half}},
		"a change": {
			play: func(h history) {
				h.ObserveGroup(at(1), watch.Added, oracle.Volcano, group(minMember(3)))
				h.ObserveGroup(at(2), watch.Modified, oracle.Volcano, group(minMember(1)))
				h.bind(10, 0)
			},
		},
		"nothing, which is one": {play: func(h history) { h.ObserveGroup(at(1), watch.Added, oracle.Volcano, group(nil)); h.bind(10, 0) }},
		"the group of another dialect": {
			play: func(h history) {
				h.ObserveGroup(at(1), watch.Added, oracle.Coscheduling, group(minMember(1)))
				h.bind(10, 0)
			},
			want: []string{"volcano default/train cannot be judged: 1 of its members were placed, but nobody told its minimum"},
		},
		"a group that is gone when its gang has half started is not the scheduler's fault": {
			play: func(h history) {
				h.ObserveGroup(at(1), watch.Added, oracle.Volcano, group(minMember(3)))
				h.bind(10, 0)
				h.ObserveGroup(at(12), watch.Deleted, oracle.Volcano, group(minMember(3)))
			},
		},
		"one that comes back is": {
			play: func(h history) {
				h.ObserveGroup(at(1), watch.Added, oracle.Volcano, group(minMember(3)))
				h.bind(2, 0)
				h.ObserveGroup(at(3), watch.Deleted, oracle.Volcano, group(minMember(3)))
				h.ObserveGroup(at(10), watch.Added, oracle.Volcano, group(minMember(3)))
			},
			want: []string{half},
		},
		"a gang that had started stays so without its group": {
			play: func(h history) {
				h.ObserveGroup(at(1), watch.Added, oracle.Volcano, group(minMember(1)))
				h.bind(2, 0)
				h.ObserveGroup(at(3), watch.Deleted, oracle.Volcano, group(minMember(1)))
				h.ObserveGroup(at(10), watch.Added, oracle.Volcano, group(minMember(3)))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := history{oracle.New(oracle.DefaultGrace)}
			test.play(h)
			require.Equal(t, append([]string{}, test.want...), h.says(100))
		})
	}
	h := history{oracle.New(oracle.DefaultGrace)}
	h.ObserveGroup(at(1), watch.Added, oracle.Native, group(map[string]any{"schedulingPolicy": map[string]any{"gang": map[string]any{"minCount": int64(2)}}}))
	name, pod := "train", member(0, "node", corev1.PodRunning)
	pod.Annotations, pod.Spec.SchedulingGroup = nil, &corev1.PodSchedulingGroup{PodGroupName: &name}
	h.add(2, pod)
	require.Equal(t, []string{"native default/train was half started for 1m38s: at most 1 of 2 members were placed"}, h.says(100))
}
