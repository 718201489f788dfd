package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
)

func TestAWaitingGangStartsWhenItsMinimumIsLowered(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 2, func(w *world, d dialect) {
		w.podGroup(d.groups, "missing", d.minimum(3))
		w.members(d, "missing", 0, 1, 8)
		w.podGroup(d.groups, "large", d.minimum(3))
		w.members(d, "large", 0, 3, 8)
		w.waitSentence("missing", "GangIncomplete: 1 of 3 members exist")
		w.waitSentence("large", "InsufficientGPUs: 3 members need 24 nvidia.com/gpu, 16 are free on 2 nodes")

		w.changeGroup(d.groups, "missing", d.minimum(1))
		w.waitRunning("missing", 1)
		w.changeGroup(d.groups, "large", d.minimum(1))
		w.waitRunning("large", 1)
	})
}

func TestAGangWaitsForAsManyMembersAsItsRaisedMinimum(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 4, func(w *world, d dialect) {
		w.podGroup(d.groups, "grows", d.minimum(3))
		w.members(d, "grows", 0, 2, 8)
		w.waitSentence("grows", "GangIncomplete: 2 of 3 members exist")
		w.changeGroup(d.groups, "grows", d.minimum(4))
		// Only the number changed, which is written after half a minute; that the third member starts nobody shows at once.
		w.members(d, "grows", 2, 3, 8)
		w.podGroup(d.groups, "fence", d.minimum(1))
		w.members(d, "fence", 0, 1, 0)
		w.waitRunning("fence", 1)
		require.Zero(t, w.bound(t.Context(), "grows"))
		w.members(d, "grows", 3, 4, 8)
		w.waitRunning("grows", 4)
	})
}

func TestAMinimumRaisedWhileTheGangRunsTakesNobodyDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 3)
	w.podGroup(volcanoGroups, "raised", minMember(2))
	w.members(volcano, "raised", 0, 2, 8)
	w.waitPhase(volcanoGroups, "raised", "Running")

	w.changeGroup(volcanoGroups, "raised", minMember(3))
	w.waitStatus(volcanoGroups, "raised", map[string]any{"phase": "Unknown", "running": 2, "Scheduled": "False/NotEnoughTasks"})
	require.Equal(t, "2 of 3 members that must run together have a node", w.groupCondition(volcanoGroups, "raised", "Scheduled", "message"))

	w.members(volcano, "raised", 2, 3, 8)
	w.waitStatus(volcanoGroups, "raised", map[string]any{"phase": "Running", "running": 3})
}

func TestMembersOfAGangWithMinimum0StartAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 1)
	w.podGroup(volcanoGroups, "none", minMember(0))
	w.members(volcano, "none", 0, 2, 8)
	w.waitRunning("none", 1)
	w.waitPhase(volcanoGroups, "none", "Running")
	w.addNodes(1)
	w.waitRunning("none", 2)
}

func TestARayJobThatIsOverLowersItsMinimumTo0AndIsCompleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 2)
	w.podGroup(volcanoGroups, "rayjob", minMember(2))
	w.members(volcano, "rayjob", 0, 2, 8)
	w.waitPhase(volcanoGroups, "rayjob", "Running")
	w.changeGroup(volcanoGroups, "rayjob", minMember(0))
	w.deletePods("rayjob-0", "rayjob-1")
	w.waitStatus(volcanoGroups, "rayjob", map[string]any{"phase": "Completed", "running": 0})
}

func TestMembersOfAGangWithMinimum1StartAlone(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 1, func(w *world, d dialect) {
		w.podGroup(d.groups, "one", d.minimum(1))
		w.members(d, "one", 0, 2, 8)
		w.waitRunning("one", 1)
		w.addNodes(1)
		w.waitRunning("one", 2)
	})
}

func TestAGangWaitsForRolesThatLack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 4)
	w.podGroup(volcanoGroups, "mpi", map[string]any{
		"minMember": int64(3), "minTaskMember": map[string]any{"master": int64(1), "worker": int64(2)},
	})
	w.members(volcano, "mpi", 0, 3, 8, inRole("worker"))
	w.waitSentence("mpi", `GangIncomplete: 0 of 1 members of role "master" exist`)
	w.waitStatus(volcanoGroups, "mpi", map[string]any{"phase": "Inqueue", "Unschedulable": "True/NotEnoughPodsOfTask"})
	w.members(volcano, "mpi", 3, 4, 0, inRole("master"))
	w.waitRunning("mpi", 4)
}

func TestAGangDoesNotStartWithoutARoleThatFindsNoPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 3)
	w.podGroup(volcanoGroups, "ps", map[string]any{
		"minMember": int64(3), "minTaskMember": map[string]any{"server": int64(1), "worker": int64(2)},
	})
	onServers := func(pod *v1.Pod) { pod.Spec.NodeSelector = map[string]string{"servers-of": w.ns} }
	// Enough members fit for minMember, but none of role server.
	w.members(volcano, "ps", 0, 3, 8, inRole("worker"))
	w.members(volcano, "ps", 3, 4, 0, inRole("server"), onServers)
	w.waitTries(sharedScheduler, volcano, "ps", 2)
	w.eventually(sayingAboutAll(w, "ps", "NodesRejected: "))
	require.Zero(t, w.bound(t.Context(), "ps"))
	w.addNodes(1, func(node *v1.Node) { node.Labels["servers-of"] = w.ns })
	w.waitRunning("ps", 4)
}

func inRole(role string) func(*v1.Pod) {
	return func(pod *v1.Pod) { pod.Annotations["volcano.sh/task-spec"] = role }
}

func TestAGangIsNotTriedBeforeTheClusterHasItsMinResources(t *testing.T) {
	t.Parallel()
	for _, d := range []dialect{volcano, coscheduling} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, shared, 2)
			w.podGroup(d.groups, "greedy", map[string]any{"minMember": int64(1), "minResources": map[string]any{"nvidia.com/gpu": "1000000"}})
			w.members(d, "greedy", 0, 2, 1)
			w.eventually(sayingAboutAll(w, "greedy", "InsufficientGPUs: minResources asks for 1000000 nvidia.com/gpu, all nodes together have "))
			require.Zero(t, w.bound(t.Context(), "greedy"))
			w.changeGroup(d.groups, "greedy", map[string]any{"minResources": map[string]any{"nvidia.com/gpu": "2"}})
			w.waitRunning("greedy", 2)
		})
	}
}

// Members are reserved all at once, so that nobody ever waits in vain unless a node goes away in the same moment: from
// outside it shows only that the timeout is no deadline for members that are not reserved.
func TestAGangOutlivesItsScheduleTimeoutWhileItIsIncomplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 2)
	w.podGroup(coschedulingGroups, "patient", map[string]any{"minMember": int64(2), "scheduleTimeoutSeconds": int64(1)})
	w.members(coscheduling, "patient", 0, 2, 8, func(pod *v1.Pod) { pod.Spec.Containers[0].Resources.Limits["cpu"] = quantity("200") })
	w.waitTries(sharedScheduler, coscheduling, "patient", 2) // a second lies between tries
	w.eventually(sayingAboutAll(w, "patient", "InsufficientResources: "))
	w.addNodes(2, func(node *v1.Node) {
		node.Status.Capacity["cpu"], node.Status.Allocatable["cpu"] = quantity("256"), quantity("256")
	})
	w.waitRunning("patient", 2)
}
