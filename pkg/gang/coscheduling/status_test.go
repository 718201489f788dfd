package coscheduling

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/objecttest"
)

var noon = metav1.NewTime(time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC))

func TestPhase(t *testing.T) {
	for name, test := range map[string]struct {
		minMember string // "4" if empty
		before    string
		progress  gang.Progress
		want      string
	}{
		"a new group without pods is Pending": {
			want: "Pending",
		},
		"admission means nothing here: controllers create pods at once": {
			progress: gang.Progress{Admitted: true}, want: "Pending",
		},
		"a group with too few pods is Pending": {
			progress: gang.Progress{Pending: 3}, want: "Pending",
		},
		"a group with its minimum of pods is Scheduling": {
			before: "Pending", progress: gang.Progress{Pending: 4}, want: "Scheduling",
		},
		"half bound is Scheduling": {
			before: "Scheduling", progress: gang.Progress{Pending: 2, Bound: 2}, want: "Scheduling",
		},
		"bound and not all started is Scheduling": {
			before: "Scheduling", progress: gang.Progress{Bound: 1, Running: 3}, want: "Scheduling",
		},
		"pods that vanish before they were bound make it Pending": {
			before: "Scheduling", progress: gang.Progress{Pending: 1}, want: "Pending",
		},
		"all started is Running": {
			before: "Scheduling", progress: gang.Progress{Running: 4}, want: "Running",
		},
		"Running can be the first phase that is seen": {
			progress: gang.Progress{Running: 4}, want: "Running",
		},
		"members that succeeded count as started": {
			before: "Running", progress: gang.Progress{Running: 1, Succeeded: 3}, want: "Running",
		},
		"a vanished member makes it Unknown": {
			before: "Running", progress: gang.Progress{Running: 3}, want: "Unknown",
		},
		"a failed member makes it Failed": {
			before: "Running", progress: gang.Progress{Running: 3, Failed: 1}, want: "Failed",
		},
		"a failed member whose place is kept makes it Unknown": {
			before: "Running", progress: gang.Progress{Running: 3, Failed: 1, Repair: gang.Repair{Phase: gang.Repairing}}, want: "Unknown",
		},
		"a failed member whose place is kept no longer is Failed": {
			before: "Unknown", progress: gang.Progress{Running: 3, Failed: 1, Repair: gang.Repair{Phase: gang.GivenUp}}, want: "Failed",
		},
		"a failed member above the minimum does not": {
			before: "Running", progress: gang.Progress{Running: 4, Failed: 1}, want: "Running",
		},
		"a failed member whose replacement waits makes it Unknown": {
			before: "Running", progress: gang.Progress{Running: 3, Failed: 1, Pending: 1}, want: "Unknown",
		},
		"a failed member whose replacement is bound makes it Scheduling": {
			before: "Unknown", progress: gang.Progress{Running: 3, Failed: 1, Bound: 1}, want: "Scheduling",
		},
		"a failed member whose replacement runs makes it Running": {
			before: "Failed", progress: gang.Progress{Running: 4, Failed: 1}, want: "Running",
		},
		"a failed pod of a group that was never complete leaves it Pending": {
			before: "Pending", progress: gang.Progress{Failed: 1}, want: "Pending",
		},
		"all failed is Failed": {
			before: "Running", progress: gang.Progress{Failed: 4}, want: "Failed",
		},
		"Failed outlives its pods": {
			before: "Failed", want: "Failed",
		},
		"new pods after Failed begin anew": {
			before: "Failed", progress: gang.Progress{Pending: 4, Failed: 4}, want: "Scheduling",
		},
		"losing all pods makes it Pending": {
			before: "Running", want: "Pending",
		},
		"the minimum succeeded is Finished": {
			before: "Running", progress: gang.Progress{Succeeded: 4}, want: "Finished",
		},
		"the minimum succeeded is Finished while others run, as the type says": {
			before: "Running", progress: gang.Progress{Succeeded: 4, Running: 2}, want: "Finished",
		},
		"a retry that succeeded is Finished though the failed pod is still there": {
			before: "Running", progress: gang.Progress{Succeeded: 4, Failed: 1}, want: "Finished",
		},
		"Finished outlives its pods": {
			before: "Finished", progress: gang.Progress{Succeeded: 1}, want: "Finished",
		},
		"new pods after Finished begin anew": {
			before: "Finished", progress: gang.Progress{Pending: 4}, want: "Scheduling",
		},
		"a minimum raised above the members while running makes it Unknown": {
			minMember: "8", before: "Running", progress: gang.Progress{Running: 4}, want: "Unknown",
		},
		"a minimum lowered to the members makes it Running": {
			minMember: "3", before: "Unknown", progress: gang.Progress{Running: 3}, want: "Running",
		},
		"minMember 0 waits for the first pod": {
			minMember: "0", want: "Pending",
		},
		"minMember 0 runs with one pod": {
			minMember: "0", progress: gang.Progress{Running: 1, Pending: 2}, want: "Running",
		},
		"Scheduled, which older releases wrote, goes on to Running": {
			before: "Scheduled", progress: gang.Progress{Running: 4}, want: "Running",
		},
		"a broken spec leaves the phase as it is": {
			minMember: "many", before: "Running", want: "Running",
		},
		"a broken spec in a new group is Pending": {
			minMember: "many", progress: gang.Progress{Running: 4}, want: "Pending",
		},
	} {
		t.Run(name, func(t *testing.T) {
			minMember := test.minMember
			if minMember == "" {
				minMember = "4"
			}
			status := ""
			if test.before != "" {
				status = "{phase: " + test.before + "}"
			}
			object := objecttest.PodGroup(t, "{minMember: "+minMember+"}", status)
			got := object
			if changed := New().Status(object, test.progress, noon); changed != nil {
				got = changed
			}
			assert.Equal(t, test.want, objecttest.Phase(t, got))
		})
	}
}

func TestStatus(t *testing.T) {
	for name, test := range map[string]struct {
		before   string
		progress gang.Progress
		want     string // "" if there is nothing to write
	}{
		"a new group says that it is Pending and nothing else": {
			want: `{phase: Pending}`,
		},
		"what the object says already is not written again": {
			before:   `{phase: Running, running: 4, scheduleStartTime: "2026-08-01T08:00:00Z"}`,
			progress: gang.Progress{Running: 4},
		},
		"leaving Pending stamps the start": {
			before: `{phase: Pending}`, progress: gang.Progress{Pending: 4},
			want: `{phase: Scheduling, scheduleStartTime: "2026-08-01T12:00:00Z"}`,
		},
		"the start is not moved": {
			before:   `{phase: Scheduling, scheduleStartTime: "2026-08-01T08:00:00Z"}`,
			progress: gang.Progress{Running: 3, Succeeded: 1},
			want:     `{phase: Running, running: 3, succeeded: 1, scheduleStartTime: "2026-08-01T08:00:00Z"}`,
		},
		"the null that the original writes for no time is no start": {
			before: `{phase: Pending, scheduleStartTime: null}`, progress: gang.Progress{Pending: 4},
			want: `{phase: Scheduling, scheduleStartTime: "2026-08-01T12:00:00Z"}`,
		},
		"the owner and the fields of others are kept": {
			before: `{phase: Pending, occupiedBy: ns/train, theirs: [1]}`, progress: gang.Progress{Failed: 2},
			want: `{phase: Pending, failed: 2, occupiedBy: ns/train, theirs: [1]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			object := objecttest.PodGroup(t, `{minMember: 4}`, test.before)
			got := New().Status(object, test.progress, noon)
			if test.want == "" {
				require.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			assert.Equal(t, objecttest.PodGroup(t, `{minMember: 4}`, test.want).Object, got.Object)
		})
	}
}

// TestStatusOverAnyLife lets a group live through random progress and random changes of its minimum.
func TestStatusOverAnyLife(t *testing.T) {
	// Phases that say that the whole minimum had a node, and so need more than waiting pods to be reached.
	reached := map[string]func(gang.Progress, int32) bool{
		"Running":  func(p gang.Progress, minimum int32) bool { return p.Running+p.Succeeded >= minimum },
		"Finished": func(p gang.Progress, minimum int32) bool { return p.Succeeded >= minimum },
		"Failed":   func(p gang.Progress, _ int32) bool { return p.Failed > 0 && p.Pending == 0 },
		"Unknown":  func(p gang.Progress, minimum int32) bool { return 0 < p.Placed() && p.Placed() < minimum },
	}
	rapid.Check(t, func(t *rapid.T) {
		object := objecttest.PodGroup(t, `{}`, "")
		before := ""
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			minMember := rapid.Int32Range(0, 5).Draw(t, "minMember")
			require.NoError(t, unstructured.SetNestedField(object.Object, int64(minMember), "spec", "minMember"))
			progress := objecttest.AnyProgress(t)
			object = objecttest.AssertStatus(t, New(), object, progress, noon)
			after := objecttest.Phase(t, object)
			if holds := reached[after]; holds != nil && after != before {
				assert.True(t, holds(progress, max(1, minMember)), "%q after %q with minMember %d and %+v", after, before, minMember, progress)
			}
			if after == "Unknown" {
				assert.Contains(t, []string{"Running", "Unknown"}, before)
			}
			before = after
		}
	})
}
