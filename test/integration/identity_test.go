package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestGroupsOfDifferentDialectsMayHaveOneName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 6)
	all := []dialect{volcano, coscheduling}
	if isServed(t, native) {
		all = append(all, native)
	}
	for i, d := range all {
		w.podGroup(d.groups, "twin", d.minimum(2))
		w.members(d, "twin", 2*i, 2*i+1, 8) // one member of each is not enough for any
	}
	w.waitSentence("twin", "GangIncomplete: 1 of 2 members exist")
	for i, d := range all {
		w.members(d, "twin", 2*i+1, 2*i+2, 8)
		w.waitRunning("twin", 2*(i+1))
	}
	w.waitStatus(volcanoGroups, "twin", map[string]any{"phase": "Running", "running": 2})
	w.waitStatus(coschedulingGroups, "twin", map[string]any{"phase": "Running", "running": 2})
	if len(all) == 3 {
		w.waitStatus(nativeGroups, "twin", map[string]any{"PodGroupInitiallyScheduled": "True/Scheduled"})
	}
}

func TestAPodWithTheKeysOfTwoDialectsBelongsToTheFirstAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ first, second dialect }{{native, volcano}, {native, coscheduling}, {volcano, coscheduling}} {
		t.Run(c.first.name+" before "+c.second.name, func(t *testing.T) {
			t.Parallel()
			needs(t, c.first, c.second)
			w := newWorld(t, shared, 2)
			both := func(pod *v1.Pod) { c.second.join(pod, "second") }
			w.podGroup(c.first.groups, "first", c.first.minimum(2))
			w.podGroup(c.second.groups, "second", c.second.minimum(7))
			w.members(c.first, "first", 0, 1, 8, both)
			w.waitSentence("first", "GangIncomplete: 1 of 2 members exist")
			w.members(c.first, "first", 1, 2, 8, both)
			w.waitRunning("first", 2)
			w.eventually(func(context.Context) string {
				if got := w.events("Pod", "first-0")["AmbiguousGang"]; got != 1 {
					return fmt.Sprintf("1 event AmbiguousGang about first-0, there are %d", got)
				}
				return ""
			})
			require.Zero(t, w.events("Pod", "first-1")["AmbiguousGang"])
		})
	}
}

func TestMembersOfOneGangMayDifferInPriority(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 3, func(w *world, d dialect) {
		w.priorityClass("launcher", 3000)
		w.podGroup(d.groups, "mpi", d.minimum(3))
		w.members(d, "mpi", 0, 2, 8)
		w.members(d, "mpi", 2, 3, 0, withPriority(w, "launcher"))
		w.waitRunning("mpi", 3)
		// A member that comes when the launcher is gone finds the others with a priority that nobody names any more.
		w.deletePods("mpi-2")
		w.members(d, "mpi", 3, 4, 8)
		w.waitRunning("mpi", 3)
	})
}

func TestAPodGroupsPriorityClassHoldsForMembersThatNameOthers(t *testing.T) {
	t.Parallel()
	for _, d := range []dialect{volcano, native} { // coscheduling knows none
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			needs(t, d)
			w := newWorld(t, shared, 3)
			w.priorityClass("group", 1000)
			w.priorityClass("member", 10)
			spec := d.minimum(2)
			spec["priorityClassName"] = w.ns + "-group"
			w.podGroup(d.groups, "mixed", spec)
			w.members(d, "mixed", 0, 1, 8)
			w.members(d, "mixed", 1, 2, 8, withPriority(w, "member"))
			w.waitRunning("mixed", 2)
			w.members(d, "mixed", 2, 3, 8, withPriority(w, "group"))
			w.waitRunning("mixed", 3)
		})
	}
}

func TestAGangWithAPriorityClassThatDoesNotExistIsInvalidUntilItDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 2)
	spec := minMember(2)
	spec["priorityClassName"] = w.ns + "-later"
	w.podGroup(volcanoGroups, "unclassed", spec)
	w.members(volcano, "unclassed", 0, 2, 8)
	w.waitSentence("unclassed", fmt.Sprintf("GangInvalid: PodGroup %s/unclassed: no PriorityClass is named %q, its priorityClassName", w.ns, w.ns+"-later"))
	w.priorityClass("later", 5)
	w.waitRunning("unclassed", 2)
}

func TestMembersThatNameDifferentProfilesMakeTheirGangInvalid(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 2, func(w *world, d dialect) {
		w.podGroup(d.groups, "split", d.minimum(2))
		w.members(d, "split", 0, 1, 8)
		w.members(d, "split", 1, 2, 8, func(pod *v1.Pod) { pod.Spec.SchedulerName = "volcano" })
		w.waitSentence("split", `GangInvalid: its members name different schedulers: ["phalanx" "volcano"]`)
		w.deletePods("split-1")
		w.members(d, "split", 1, 2, 8)
		w.waitRunning("split", 2)
	})
}

func TestThreeProfilesServeGangsSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 6)
	for _, profile := range []string{"phalanx", "volcano", "scheduler-plugins-scheduler"} {
		w.podGroup(volcanoGroups, profile, minMember(2))
		w.members(volcano, profile, 0, 2, 8, func(pod *v1.Pod) { pod.Spec.SchedulerName = profile })
		w.waitRunning(profile, 2)
	}
}

func TestAGangWaitsForAMemberWithASchedulingGate(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 3, func(w *world, d dialect) {
		w.podGroup(d.groups, "gated", d.minimum(3))
		w.members(d, "gated", 0, 2, 8)
		w.members(d, "gated", 2, 3, 8, func(pod *v1.Pod) {
			pod.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "example.com/quota"}}
		})
		w.eventually(func(ctx context.Context) string {
			for _, p := range w.pods(ctx, "gated") {
				c := condition(&p, v1.PodScheduled)
				switch {
				case c == nil:
					return "a condition on " + p.Name
				case p.Name == "gated-2" && c.Reason != v1.PodReasonSchedulingGated:
					return fmt.Sprintf("%s to say that it is gated: it shows %v", p.Name, c)
				case p.Name != "gated-2" && c.Reason != v1.PodReasonUnschedulable:
					return fmt.Sprintf("%s to say what its gang waits for: it shows %v", p.Name, c)
				}
			}
			return ""
		})
		require.Zero(w.t, w.bound(w.t.Context(), "gated"))
		_, err := w.Client.CoreV1().Pods(w.ns).Patch(w.t.Context(), "gated-2", "application/json-patch+json", []byte(`[{"op":"remove","path":"/spec/schedulingGates"}]`), metav1.PatchOptions{})
		require.NoError(w.t, err)
		w.waitRunning("gated", 3)
	})
}

// priorityClass makes one that is named after the test's namespace, since they have none.
func (w *world) priorityClass(name string, value int32) {
	w.t.Helper()
	classes := w.Client.SchedulingV1().PriorityClasses()
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: w.ns + "-" + name}, Value: value}
	_, err := classes.Create(w.t.Context(), class, metav1.CreateOptions{})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = classes.Delete(context.Background(), class.Name, metav1.DeleteOptions{}) })
	// The API server reads classes from a cache: this one counts once it takes a pod with it.
	w.eventually(func(ctx context.Context) string {
		probe := w.pod(podSpec{name: "probe-" + name, mutate: withPriority(w, name)})
		if _, err := w.Client.CoreV1().Pods(w.ns).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			return err.Error()
		}
		return ""
	})
}

func withPriority(w *world, class string) func(*v1.Pod) {
	return func(pod *v1.Pod) { pod.Spec.PriorityClassName = w.ns + "-" + class }
}
