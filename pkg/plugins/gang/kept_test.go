package gang

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// train is the gang of gangMember, noon until when places are kept for it in these tests.
var (
	train = gang.KeyOf("ns", "volcano:train")
	noon  = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
)

// keeping keeps one place on a node for a gang.
func keeping(places *repair.Places, key gang.Key, node string, priority int32, lost *v1.Pod) *repair.Places {
	lost.Spec.NodeName = node
	places.Add(repair.NewPlace(key, lost, "", priority, noon))
	return places
}

func lostMember(gpus string) *v1.Pod {
	return podWith("train-3", list("nvidia.com/gpu", gpus, "cpu", "4"))
}

func withPriority(value int32) func(*v1.Pod) { return func(p *v1.Pod) { p.Spec.Priority = &value } }

func onHostPort(port int32) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.Containers[0].Ports = []v1.ContainerPort{{HostPort: port}} }
}

// filtered is what the plugin's filter says of a pod on a node, with the framework's calls before it.
func filtered(t *testing.T, g *Gang, pod *v1.Pod, info fwk.NodeInfo) *fwk.Status {
	t.Helper()
	state := framework.NewCycleState()
	_, status := g.PreFilter(t.Context(), state, pod, nil)
	if status.IsSkip() {
		return nil
	}
	require.True(t, status.IsSuccess())
	return g.Filter(t.Context(), state, pod, info)
}

func TestKeptPlacesAreForTheirGangAndForHigherPriorities(t *testing.T) {
	const sentence = "node(s) kept 4 nvidia.com/gpu for gang ns/train until 2026-11-26T12:00:00Z"
	ofTrain := func(p *v1.Pod) { p.Spec.SchedulingGroup = gangMember(0).Spec.SchedulingGroup }
	for name, c := range map[string]struct {
		free int // of the node's 8 GPUs
		pod  *v1.Pod
		want string
		code fwk.Code
	}{
		"a pod that needs of what is kept":               {8, podWith("p", gpus("5")), sentence, fwk.UnschedulableAndUnresolvable},
		"one that preemption could help":                 {6, podWith("p", gpus("4")), sentence, fwk.Unschedulable},
		"one that fits beside it":                        {8, podWith("p", gpus("4")), "", fwk.Success},
		"one that asks for nothing of the kind":          {8, podWith("p", list("cpu", "1")), "", fwk.Success},
		"a member of the gang":                           {8, podWith("p", gpus("8"), ofTrain), "", fwk.Success},
		"a pod of a higher priority":                     {8, podWith("p", gpus("8"), withPriority(11)), "", fwk.Success},
		"a pod of the same priority":                     {8, podWith("p", gpus("8"), withPriority(10)), sentence, fwk.UnschedulableAndUnresolvable},
		"where the room was taken all the same":          {3, podWith("p", gpus("3")), "", fwk.Success},
		"one that wants the host port of the lost one":   {8, podWith("p", list("cpu", "1"), onHostPort(80)), "node(s) kept host port 80/TCP for gang ns/train until 2026-11-26T12:00:00Z", fwk.UnschedulableAndUnresolvable},
		"one that wants another host port":               {8, podWith("p", list("cpu", "1"), onHostPort(81)), "", fwk.Success},
		"one that takes the CPUs that the lost one had":  {8, podWith("p", list("cpu", "61")), "node(s) kept 4 cpu for gang ns/train until 2026-11-26T12:00:00Z", fwk.UnschedulableAndUnresolvable},
		"one whose CPUs are there beside the lost one's": {8, podWith("p", list("cpu", "60")), "", fwk.Success},
	} {
		t.Run(name, func(t *testing.T) {
			lost := podWith("train-3", list("nvidia.com/gpu", "4", "cpu", "4"), onHostPort(80))
			g := &Gang{places: keeping(repair.NewPlaces(), train, "n0", 10, lost)}
			status := filtered(t, g, c.pod, gpuNodes(c.free)[0])
			require.Equal(t, c.want, status.Message())
			require.Equal(t, c.code, status.Code())
			_, isMember := keyOf(c.pod)
			_, isRemembered := g.places.TurnedAway()["ns/p"]
			require.Equal(t, c.want != "" && !isMember, isRemembered, "to be woken")
		})
	}
}

func TestOnANodeWithoutKeptPlacesNothingIsAsked(t *testing.T) {
	places := repair.NewPlaces()
	g, pod := &Gang{places: places}, podWith("p", gpus("8"))
	_, status := g.PreFilter(t.Context(), framework.NewCycleState(), pod, nil)
	require.True(t, status.IsSkip(), "nothing is kept anywhere")
	keeping(places, train, "n1", 10, lostMember("8"))
	require.Nil(t, filtered(t, g, pod, gpuNodes(8)[0]), "n0 keeps nothing")
	_, status = g.SignPod(t.Context(), pod)
	require.False(t, status.IsSuccess(), "what one pod found says nothing about one of another priority")
	places.Remove(places.On("n1")[0])
	_, status = g.SignPod(t.Context(), pod)
	require.True(t, status.IsSuccess())
}

func TestNothingIsKeptOnANodeThatIsClosedToTheLostMember(t *testing.T) {
	g := &Gang{places: keeping(repair.NewPlaces(), train, "n", 10, lostMember("8"))}
	tolerant := podWith("p", gpus("8"), func(p *v1.Pod) { p.Spec.Tolerations = []v1.Toleration{{Operator: v1.TolerationOpExists}} })
	require.Nil(t, filtered(t, g, tolerant, taintedNode("n")))
	require.Nil(t, filtered(t, g, tolerant, cordonedNode("n")))
}

func TestTwoPlacesOnOneNodeAreBothKept(t *testing.T) {
	other := gang.KeyOf("ns", "volcano:other")
	places := keeping(keeping(repair.NewPlaces(), train, "n0", 0, lostMember("4")), other, "n0", 0, lostMember("4"))
	g, node := &Gang{places: places}, gpuNodes(8)[0]
	require.Equal(t, "node(s) kept 8 nvidia.com/gpu for gang ns/train until 2026-11-26T12:00:00Z", filtered(t, g, podWith("p", gpus("1")), node).Message())
	ofTrain := func(p *v1.Pod) { p.Spec.SchedulingGroup = gangMember(0).Spec.SchedulingGroup }
	require.Nil(t, filtered(t, g, podWith("p", gpus("4"), ofTrain), node))
	require.Equal(t, "node(s) kept 4 nvidia.com/gpu for gang ns/other until 2026-11-26T12:00:00Z", filtered(t, g, podWith("p", gpus("5"), ofTrain), node).Message())
}

// planning plans a gang of members of 8 GPUs each, in a cluster on which places are kept.
func planning(t *testing.T, g *Gang, key gang.Key, priority int32, nodes []fwk.NodeInfo, members ...*v1.Pod) *try {
	t.Helper()
	c, ok := g.clusters[""]
	if !ok {
		c = cluster.New(nil)
		g.clusters = map[string]*cluster.Cluster{"": c}
	}
	c.Update(nodes)
	attempt := &try{key: key, group: &schedulingv1beta1.PodGroup{Spec: schedulingv1beta1.PodGroupSpec{Priority: &priority}}, classes: classesOf(members, noRole)}
	g.holdKept(c, attempt)
	p := newProblem(klog.Background(), c, attempt.classes, len(members), nil)
	p.Beside = []int{0}
	g.planWhole(t.Context(), attempt, p)
	g.tellKept(klog.Background(), attempt, c)
	return attempt
}

func TestTheSolverPlansAroundKeptPlaces(t *testing.T) {
	g := &Gang{places: keeping(keeping(repair.NewPlaces(), train, "n1", 10, lostMember("8")), train, "n2", 10, lostMember("8"))}
	nodes, other := gpuNodes(0, 8, 8, 8), gang.KeyOf("ns", "volcano:other")
	one := podWith("x-0", gpus("8"))
	two := []*v1.Pod{one, podWith("x-1", gpus("8"))}

	require.Equal(t, "n3", planning(t, g, other, 10, nodes, one).plan["x-0"].node)
	const suffix = "; 2 places are kept for lost members of gang ns/train until 2026-11-26T12:00:00Z"
	const room = "InsufficientGPUs: 2 members need 16 nvidia.com/gpu, 8 are free on 1 node"
	require.Equal(t, room+suffix, planning(t, g, other, 10, nodes, two...).refused.String())
	require.Equal(t, room+suffix, planning(t, g, other, 10, nodes, two...).refused.String(), "and again, from memory")
	selective := podWith("x-0", gpus("8"), selecting("pool", "a"))
	require.NotContains(t, planning(t, g, other, 10, nodes, selective).refused.String(), "kept", "on nodes that it may not use anyway")

	require.Len(t, planning(t, g, other, 11, nodes, two...).plan, 2, "a higher priority takes them")
	require.Len(t, planning(t, g, train, 10, nodes, two...).plan, 2, "they are for the gang itself")
	require.Equal(t, room+suffix, planning(t, g, other, 10, nodes, two...).refused.String(), "which leaves no trace")

	for _, place := range g.places.Of(train) {
		g.places.Remove(place)
	}
	require.Len(t, planning(t, g, other, 10, nodes, two...).plan, 2, "after them the refusal is not remembered")
}

func TestReplacementsGoToTheKeptPlaces(t *testing.T) {
	ranked := func(rank int) *v1.Pod { return podWith(fmt.Sprint("train-", rank), gpus("8")) }
	nameless := func(i string) *v1.Pod { return podWith("train-x"+i, gpus("8")) }
	for name, c := range map[string]struct {
		free    []int
		members []*v1.Pod
		want    map[string]string
	}{
		"to that of their rank": {[]int{0, 8, 8, 8, 8}, []*v1.Pod{ranked(2), ranked(1)}, map[string]string{"train-1": "n4", "train-2": "n3"}},
		"without a rank to any": {[]int{0, 8, 8, 8, 8}, []*v1.Pod{nameless("a"), nameless("b")}, map[string]string{"train-xa": "n4", "train-xb": "n3"}},
		"with a rank before those without": {[]int{0, 8, 8, 8, 8}, []*v1.Pod{nameless("a"), ranked(1)},
			map[string]string{"train-xa": "n3", "train-1": "n4"}},
		"what has no place of its own goes near by": {[]int{0, 8, 8, 8, 8}, []*v1.Pod{ranked(1), ranked(7)}, map[string]string{"train-1": "n4", "train-7": "n1"}},
		"whose place is taken goes near by":         {[]int{0, 8, 8, 0, 8}, []*v1.Pod{ranked(1), ranked(2)}, map[string]string{"train-1": "n4", "train-2": "n1"}},
	} {
		t.Run(name, func(t *testing.T) {
			places := repair.NewPlaces()
			keeping(places, train, "n4", 0, podWith("train-1", gpus("8")))
			keeping(places, train, "n3", 0, podWith("train-2", gpus("8")))
			attempt := planning(t, &Gang{places: places}, train, 0, gpuNodes(c.free...), c.members...)
			require.Zero(t, attempt.refused)
			got := map[string]string{}
			for _, pod := range c.members {
				got[pod.Name] = attempt.plan[pod.UID].node
			}
			require.Equal(t, c.want, got)
		})
	}
}
