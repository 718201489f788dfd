package integration

import (
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// testRestart kills the scheduler while gangs wait and run, and starts it again.
func testRestart(t *testing.T, c *cluster.Cluster, s *cluster.Scheduler) *cluster.Scheduler {
	w := newWorld(t, c, 2)
	toCoschedulingToo := func(pod *v1.Pod) { coscheduling.join(pod, "other") }
	for _, d := range []dialect{volcano, coscheduling} {
		w.podGroup(d.groups, "runs-"+d.name, minMember(2))
		w.members(d, "runs-"+d.name, 0, 2, 1)
		w.waitStatus(d.groups, "runs-"+d.name, map[string]any{"phase": "Running", "running": 2})
	}
	w.podGroup(volcanoGroups, "both-run", minMember(2))
	w.members(volcano, "both-run", 0, 2, 1, toCoschedulingToo)
	w.waitStatus(volcanoGroups, "both-run", map[string]any{"phase": "Running", "running": 2})
	// What is free now stays free, so that each sentence is the last one.
	for _, d := range []dialect{volcano, coscheduling} {
		w.podGroup(d.groups, "large-"+d.name, minMember(3))
		w.members(d, "large-"+d.name, 0, 3, 8)
		w.podGroup(d.groups, "lacks-"+d.name, minMember(3))
		w.members(d, "lacks-"+d.name, 0, 2, 8)
		w.members(d, "orphan-"+d.name, 0, 2, 8)
	}
	w.podGroup(volcanoGroups, "both-wait", minMember(2))
	w.members(volcano, "both-wait", 0, 1, 8, toCoschedulingToo)
	for _, d := range []dialect{volcano, coscheduling} {
		w.waitSentence("lacks-"+d.name, "GangIncomplete: 2 of 3 members exist")
		w.waitSentence("large-"+d.name, "InsufficientGPUs: 3 members need 24 nvidia.com/gpu, 10 are free on 2 nodes")
		w.waitSentence("orphan-"+d.name, fmt.Sprintf("GangNotFound: no PodGroup %s/orphan-%s of dialect %s exists", w.ns, d.name, d.name))
	}
	w.waitSentence("both-wait", "GangIncomplete: 1 of 2 members exist")
	w.waitEvents("Pod", "both-run-0", map[string]int{"AmbiguousGang": 1, "Scheduled": 1})
	w.waitEvents("Pod", "both-wait-0", map[string]int{"AmbiguousGang": 1})
	for _, d := range []dialect{volcano, coscheduling} {
		w.waitEvents("Pod", "orphan-"+d.name+"-0", map[string]int{"GangNotFound": 1})
		w.waitEvents("PodGroup", "large-"+d.name, map[string]int{"InsufficientGPUs": 1})
	}
	before := w.written()

	require.NoError(t, s.Kill())
	tries := w.tries(s, volcano, "large-volcano")
	s, err := c.StartScheduler(t.Context(), cluster.SchedulerOptions{V: 3})
	require.NoError(t, err)
	w.waitTries(s, volcano, "large-volcano", tries+3)
	// Whoever is described from now on comes after all that were there.
	for _, name := range []string{"fence-a", "fence-b"} {
		w.podGroup(volcanoGroups, name, minMember(1))
		w.members(volcano, name, 0, 1, 0)
		w.waitPhase(volcanoGroups, name, "Running")
	}
	after := w.written()
	maps.DeleteFunc(after, func(name string, _ string) bool { _, was := before[name]; return !was })
	require.Equal(t, before, after)
	w.waitEvents("Pod", "both-run-0", map[string]int{"AmbiguousGang": 1, "Scheduled": 1})
	w.waitEvents("Pod", "both-wait-0", map[string]int{"AmbiguousGang": 1})
	for _, d := range []dialect{volcano, coscheduling} {
		w.waitEvents("Pod", "orphan-"+d.name+"-0", map[string]int{"GangNotFound": 1})
		w.waitEvents("PodGroup", "lacks-"+d.name, map[string]int{"GangIncomplete": 1})
		w.waitEvents("PodGroup", "large-"+d.name, map[string]int{"InsufficientGPUs": 1})
	}

	// What waited goes on as if nothing had been.
	w.addNodes(6)
	for _, d := range []dialect{volcano, coscheduling} {
		w.waitRunning("large-"+d.name, 3)
	}
	return s
}

// written is the version of each pod and PodGroup of the test.
func (w *world) written() map[string]string {
	w.t.Helper()
	versions := map[string]string{}
	for _, p := range w.pods(w.t.Context(), "") {
		versions["pod "+p.Name] = p.ResourceVersion
	}
	for _, d := range []dialect{volcano, coscheduling} {
		list, err := w.Dynamic.Resource(d.groups).Namespace(w.ns).List(w.t.Context(), metav1.ListOptions{})
		require.NoError(w.t, err)
		for _, group := range list.Items {
			versions[d.name+" "+group.GetName()] = group.GetResourceVersion()
		}
	}
	return versions
}
