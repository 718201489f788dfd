package integration

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

func TestVolcanoPodGroupTellsItsLifeInVolcanosWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 1)
	// More than any test's nodes have: another one adds a node with a million.
	w.podGroup(volcanoGroups, "life", map[string]any{"minMember": int64(2), "minResources": map[string]any{"nvidia.com/gpu": "1000000000"}})
	w.waitPhase(volcanoGroups, "life", "Pending")

	w.changeGroup(volcanoGroups, "life", map[string]any{"minResources": map[string]any{"nvidia.com/gpu": "8"}})
	w.waitPhase(volcanoGroups, "life", "Inqueue")

	w.members(volcano, "life", 0, 1, 8)
	w.waitStatus(volcanoGroups, "life", map[string]any{"phase": "Inqueue", "Unschedulable": "True/NotEnoughTasks"})
	require.Equal(t, "GangIncomplete: 1 of 2 members exist", w.groupCondition(volcanoGroups, "life", "Unschedulable", "message"))

	w.members(volcano, "life", 1, 2, 8)
	w.waitStatus(volcanoGroups, "life", map[string]any{"phase": "Inqueue", "Unschedulable": "True/NotEnoughResources"})

	w.addNodes(1)
	w.waitStatus(volcanoGroups, "life", map[string]any{
		"phase": "Running", "running": 2, "Scheduled": "True/tasks in gang are ready to be scheduled", "Unschedulable": "False/<nil>",
	})

	w.complete("life")
	w.waitStatus(volcanoGroups, "life", map[string]any{"phase": "Completed", "running": 0, "succeeded": 2})
}

func TestVolcanoPodGroupIsUnknownWhileAMemberIsLostAndRunsAgainAfterwards(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 2)
	w.podGroup(volcanoGroups, "lossy", minMember(2))
	w.members(volcano, "lossy", 0, 2, 8)
	w.waitPhase(volcanoGroups, "lossy", "Running")

	w.annotate("lossy-1", controlplane.AnnotationFailAfter, "1ms")
	w.waitStatus(volcanoGroups, "lossy", map[string]any{"phase": "Unknown", "running": 1, "failed": 1, "Scheduled": "False/PodFailed"})

	w.members(volcano, "lossy", 2, 3, 8)
	w.waitStatus(volcanoGroups, "lossy", map[string]any{"phase": "Running", "running": 2, "failed": 1})

	w.complete("lossy")
	w.waitStatus(volcanoGroups, "lossy", map[string]any{"phase": "Completed", "succeeded": 2, "failed": 1})
}

func TestCoschedulingPodGroupTellsItsLifeInCoschedulingsPhases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 1)
	w.podGroup(coschedulingGroups, "life", minMember(2))
	w.members(coscheduling, "life", 0, 1, 8)
	w.waitPhase(coschedulingGroups, "life", "Pending")

	w.members(coscheduling, "life", 1, 2, 8)
	w.waitPhase(coschedulingGroups, "life", "Scheduling")
	require.Contains(t, w.group(coschedulingGroups, "life").Object["status"], "scheduleStartTime")

	w.addNodes(1)
	w.waitStatus(coschedulingGroups, "life", map[string]any{"phase": "Running", "running": 2})

	w.complete("life")
	w.waitStatus(coschedulingGroups, "life", map[string]any{"phase": "Finished", "running": 0, "succeeded": 2})
}

func TestNativePodGroupTellsWhetherItWasScheduled(t *testing.T) {
	t.Parallel()
	needs(t, native)
	w := newWorld(t, shared, 1)
	w.podGroup(nativeGroups, "life", native.minimum(2))
	w.members(native, "life", 0, 2, 8)
	w.waitStatus(nativeGroups, "life", map[string]any{"PodGroupInitiallyScheduled": "False/Unschedulable"})

	w.addNodes(1)
	w.waitStatus(nativeGroups, "life", map[string]any{"PodGroupInitiallyScheduled": "True/Scheduled"})
	w.waitRunning("life", 2)

	w.complete("life")
	w.eventually(func(ctx context.Context) string {
		for _, p := range w.pods(ctx, "life") {
			if p.Status.Phase != v1.PodSucceeded {
				return p.Name + " to succeed"
			}
		}
		return ""
	})
	w.waitStatus(nativeGroups, "life", map[string]any{"PodGroupInitiallyScheduled": "True/Scheduled"})
}

func TestAStatusIsWrittenOnceForEachChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 2)
	for _, d := range []dialect{volcano, coscheduling} {
		name := "quiet-" + d.name
		w.podGroup(d.groups, name, minMember(1))
		watcher, err := w.Dynamic.Resource(d.groups).Namespace(w.ns).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		require.NoError(t, err)
		defer watcher.Stop()
		w.members(d, name, 0, 1, 8)
		w.waitStatus(d.groups, name, map[string]any{"phase": "Running", "running": 1})

		// A gang that is described after this one, twice, gives the scribe the time for any write that it is still to make.
		for _, later := range []string{name + "-later", name + "-last"} {
			w.podGroup(d.groups, later, minMember(1))
			w.members(d, later, 0, 1, 0)
			w.waitPhase(d.groups, later, "Running")
		}
		last := w.group(d.groups, name).GetResourceVersion()
		writes := 0
		for event := range watcher.ResultChan() {
			group, ok := event.Object.(metav1.Object)
			require.True(t, ok, "%v", event)
			writes++
			if group.GetResourceVersion() == last {
				break
			}
		}
		// The creation, Inqueue or Scheduling, bound, running; some of them at once.
		require.LessOrEqual(t, writes, 4)
	}
}
