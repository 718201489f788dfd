package gang

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

func TestAReplacementGoesToTheLostMembersPlace(t *testing.T) {
	g := &Gang{}
	c := cluster.New(nil)
	// planned plans members on nodes with 8 GPUs each, of which some are taken.
	planned := func(free []int, standing []*v1.Pod, ranks ...int) map[string]string {
		var nodes []fwk.NodeInfo
		nodes = append(nodes, gpuNodes(free...)...)
		c.Update(nodes)
		var pods []*v1.Pod
		for _, rank := range ranks {
			pods = append(pods, podWith(fmt.Sprintf("ring-%d", rank), gpus("8")))
		}
		attempt := &try{key: gang.Key{Name: "ring"}, classes: classesOf(pods, noRole)}
		p := newProblem(klog.Background(), c, attempt.classes, len(pods), nil)
		p.standBeside(standing)
		g.planWhole(t.Context(), attempt, p)
		require.Zero(t, attempt.refused)
		g.homes.remember(attempt)
		out := map[string]string{}
		for _, pod := range pods {
			out[pod.Name] = attempt.plan[pod.UID].node
		}
		return out
	}
	runsOn := func(rank int, node string) *v1.Pod {
		pod := podWith(fmt.Sprintf("ring-%d", rank), gpus("8"))
		pod.Spec.NodeName = node
		return pod
	}
	require.Equal(t, map[string]string{"ring-0": "n1", "ring-1": "n2"}, planned([]int{0, 8, 8, 0}, nil, 0, 1))
	require.Equal(t, map[string]string{"ring-1": "n2"}, planned([]int{8, 0, 8, 0}, []*v1.Pod{runsOn(0, "n1")}, 1), "though n0 comes first")
	require.Equal(t, map[string]string{"ring-1": "n0"}, planned([]int{8, 0, 4, 8}, []*v1.Pod{runsOn(0, "n1")}, 1), "its place is taken")
	require.Equal(t, map[string]string{"ring-2": "n0"}, planned([]int{8, 0, 0, 8}, []*v1.Pod{runsOn(0, "n1")}, 2), "it replaces nobody")
}

func TestTheMemoryOfPlacesIsBounded(t *testing.T) {
	var h homes
	for i := range 500 {
		attempt := &try{key: gang.Key{Name: fmt.Sprint(i)}, plan: plan{}}
		class := class{}
		for rank := range 1000 {
			pod := podWith(fmt.Sprintf("g%d-%d", i, rank), nil)
			class.members = append(class.members, pod)
			attempt.plan[pod.UID] = place{node: "n"}
		}
		attempt.classes = append(attempt.classes, class)
		h.remember(attempt)
		require.LessOrEqual(t, h.seats, maxSeats)
		require.Equal(t, "n", h.of(attempt.key, "", class.members[999]))
	}
}

func TestGangsWithoutPlanOrRankTakeNoMemoryForGood(t *testing.T) {
	var h homes
	h.remember(&try{key: gang.Key{Name: "left to the framework"}})
	require.Empty(t, h.gangs)
	for i := range 2 * maxSeats {
		h.remember(&try{key: gang.Key{Name: fmt.Sprint(i)}, plan: plan{}})
	}
	require.LessOrEqual(t, len(h.gangs), maxSeats)
}
