package volcano

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

var (
	noon      = metav1.NewTime(time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC))
	afternoon = metav1.NewTime(noon.Add(time.Hour))

	incomplete = gang.Waiting{Reason: gang.GangIncomplete, Sentence: "2 of 4 members exist"}
	shortOfGPU = gang.Waiting{Reason: gang.InsufficientGPUs, Sentence: "4 members need 32 nvidia.com/gpu, 8 are free on 1 node"}
)

func TestPhase(t *testing.T) {
	for name, test := range map[string]struct {
		minMember string // "4" if empty
		before    string
		progress  gang.Progress
		want      string
	}{
		"a new group without pods that nobody admitted is Pending": {
			want: "Pending",
		},
		"a new group without pods is Inqueue once it is admitted, so that its controller creates them": {
			progress: gang.Progress{Admitted: true}, want: "Inqueue",
		},
		"a waiting group without pods is Inqueue once it is admitted": {
			before: "Pending", progress: gang.Progress{Admitted: true}, want: "Inqueue",
		},
		"admission is not taken back while the pods are on their way": {
			before: "Inqueue", want: "Inqueue",
		},
		"the first of its pods leave a group Inqueue, so that its controller creates the rest": {
			before: "Inqueue", progress: gang.Progress{Pending: 1}, want: "Inqueue",
		},
		"a group with too few pods is Pending": {
			progress: gang.Progress{Pending: 3}, want: "Pending",
		},
		"a group with its minimum of pods is Inqueue": {
			before: "Pending", progress: gang.Progress{Pending: 4}, want: "Inqueue",
		},
		"a group that waits for room is Inqueue": {
			before: "Pending", progress: gang.Progress{Pending: 4, Waiting: shortOfGPU}, want: "Inqueue",
		},
		"half bound is not yet Running": {
			before: "Inqueue", progress: gang.Progress{Pending: 2, Bound: 2}, want: "Inqueue",
		},
		"bound is Running": {
			before: "Inqueue", progress: gang.Progress{Bound: 4}, want: "Running",
		},
		"a group that was bound before anybody wrote its status is Running": {
			progress: gang.Progress{Bound: 2, Running: 2}, want: "Running",
		},
		"members above the minimum that wait leave it Running": {
			before: "Running", progress: gang.Progress{Running: 4, Pending: 2, Waiting: shortOfGPU}, want: "Running",
		},
		"members that succeeded count as placed": {
			before: "Running", progress: gang.Progress{Running: 1, Succeeded: 3}, want: "Running",
		},
		"a lost member makes it Unknown": {
			before: "Running", progress: gang.Progress{Running: 3}, want: "Unknown",
		},
		"a failed member makes it Unknown while the others run": {
			before: "Running", progress: gang.Progress{Running: 3, Failed: 1}, want: "Unknown",
		},
		"a replacement that waits leaves it Unknown": {
			before: "Unknown", progress: gang.Progress{Running: 3, Pending: 1, Failed: 1}, want: "Unknown",
		},
		"a replacement that is bound makes it Running again": {
			before: "Unknown", progress: gang.Progress{Running: 3, Bound: 1, Failed: 1}, want: "Running",
		},
		"losing all pods makes it Unknown and not Inqueue": {
			before: "Running", progress: gang.Progress{Admitted: true}, want: "Unknown",
		},
		"losing all pods makes it Unknown and not Pending, where no controller would create new ones": {
			before: "Running", want: "Unknown",
		},
		"new pods after all were lost leave it Unknown until the minimum is placed": {
			before: "Unknown", progress: gang.Progress{Pending: 4}, want: "Unknown",
		},
		"all succeeded is Completed": {
			before: "Running", progress: gang.Progress{Succeeded: 4}, want: "Completed",
		},
		"some succeeded and the rest failed is Completed, as in Volcano": {
			before: "Running", progress: gang.Progress{Succeeded: 3, Failed: 1}, want: "Completed",
		},
		"all failed is Completed, as in Volcano": {
			before: "Unknown", progress: gang.Progress{Failed: 4}, want: "Completed",
		},
		"the minimum succeeded while another runs is Running": {
			before: "Running", progress: gang.Progress{Succeeded: 4, Running: 1}, want: "Running",
		},
		"the minimum succeeded while another waits is Running": {
			before: "Running", progress: gang.Progress{Succeeded: 4, Pending: 1}, want: "Running",
		},
		"fewer over than the minimum is not Completed": {
			before: "Running", progress: gang.Progress{Succeeded: 2, Failed: 1}, want: "Unknown",
		},
		"Completed outlives its pods": {
			before: "Completed", want: "Completed",
		},
		"Completed outlives a minimum that is raised later": {
			minMember: "9", before: "Completed", progress: gang.Progress{Succeeded: 4}, want: "Completed",
		},
		"new pods after Completed begin a new round": {
			before: "Completed", progress: gang.Progress{Pending: 1, Failed: 4}, want: "Inqueue",
		},
		"new pods after Completed that are bound are Running": {
			before: "Completed", progress: gang.Progress{Bound: 4, Failed: 4}, want: "Running",
		},
		"a minimum raised above the members while running makes it Unknown": {
			minMember: "8", before: "Running", progress: gang.Progress{Running: 4}, want: "Unknown",
		},
		"a minimum lowered to the members makes it Running": {
			minMember: "3", before: "Unknown", progress: gang.Progress{Running: 3}, want: "Running",
		},
		"minMember 0 without pods is Inqueue once admitted": {
			minMember: "0", progress: gang.Progress{Admitted: true}, want: "Inqueue",
		},
		"minMember 0 with one pod that waits is Inqueue": {
			minMember: "0", progress: gang.Progress{Pending: 1}, want: "Inqueue",
		},
		"minMember 0 with one pod that is bound is Running": {
			minMember: "0", progress: gang.Progress{Pending: 3, Bound: 1}, want: "Running",
		},
		"a RayJob that shrinks minMember to 0 at its end is Completed without pods": {
			minMember: "0", before: "Running", want: "Completed",
		},
		"a RayJob whose pods went before its minimum is Completed, too": {
			minMember: "0", before: "Unknown", want: "Completed",
		},
		"minMember 1 runs with the Spark driver alone while executors wait": {
			minMember: "1", before: "Inqueue", progress: gang.Progress{Running: 1, Pending: 9}, want: "Running",
		},
		"a phase that is none of Volcano's counts as Pending": {
			before: "Bewildered", progress: gang.Progress{Pending: 1}, want: "Pending",
		},
		"a broken spec leaves the phase as it is": {
			minMember: "many", before: "Running", want: "Running",
		},
		"a broken spec in a new group is Pending": {
			minMember: "many", progress: gang.Progress{Pending: 4}, want: "Pending",
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
		spec, before string
		progress     gang.Progress
		want         string // "" if there is nothing to write
	}{
		"a new group says that it is Pending and nothing else": {
			spec: `{minMember: 4}`,
			want: `{phase: Pending}`,
		},
		"what the object says already is not written again": {
			spec: `{minMember: 4}`, before: `{phase: Running, running: 4, conditions: [
				{type: Scheduled, status: "True", reason: tasks in gang are ready to be scheduled, transitionID: a, lastTransitionTime: b}]}`,
			progress: gang.Progress{Running: 4},
		},
		"counts that are 0 are left out, and written zeros are left alone": {
			spec: `{minMember: 4}`, before: `{phase: Pending, running: 3, failed: 0}`,
			want: `{phase: Pending, failed: 0}`,
		},
		"a gang that waits for members says NotEnoughTasks": {
			spec: `{minMember: 4}`, progress: gang.Progress{Pending: 2, Waiting: incomplete},
			want: `{phase: Pending, conditions: [{type: Unschedulable, status: "True", reason: NotEnoughTasks,
				message: "GangIncomplete: 2 of 4 members exist",
				lastTransitionTime: "2026-08-01T13:00:00Z", transitionID: ID}]}`,
		},
		"a gang that waits for members of a role says NotEnoughPodsOfTask": {
			spec: `{minMember: 2, minTaskMember: {head: 1}}`, progress: gang.Progress{Pending: 2, Waiting: incomplete},
			want: `{phase: Inqueue, conditions: [{type: Unschedulable, status: "True", reason: NotEnoughPodsOfTask,
				message: "GangIncomplete: 2 of 4 members exist",
				lastTransitionTime: "2026-08-01T13:00:00Z", transitionID: ID}]}`,
		},
		"another sentence is no transition": {
			spec: `{minMember: 4}`, before: `{phase: Inqueue, conditions: [{type: Unschedulable, status: "True",
				reason: NotEnoughTasks, message: "GangIncomplete: 2 of 4 members exist", lastTransitionTime: noon, transitionID: kept}]}`,
			progress: gang.Progress{Pending: 4, Waiting: shortOfGPU},
			want: `{phase: Inqueue, conditions: [{type: Unschedulable, status: "True", reason: NotEnoughResources,
				message: "InsufficientGPUs: 4 members need 32 nvidia.com/gpu, 8 are free on 1 node",
				lastTransitionTime: noon, transitionID: kept}]}`,
		},
		"a gang that starts ends its waiting": {
			spec: `{minMember: 4}`, before: `{phase: Inqueue, conditions: [{type: Unschedulable, status: "True",
				reason: NotEnoughResources, message: m, lastTransitionTime: noon, transitionID: kept}]}`,
			progress: gang.Progress{Bound: 4},
			want: `{phase: Running, conditions: [
				{type: Unschedulable, status: "False", lastTransitionTime: "2026-08-01T13:00:00Z", transitionID: ID},
				{type: Scheduled, status: "True", reason: tasks in gang are ready to be scheduled,
				lastTransitionTime: "2026-08-01T13:00:00Z", transitionID: ID}]}`,
		},
		"members above the minimum that wait are no condition of the gang": {
			spec: `{minMember: 4}`, before: `{phase: Running, running: 4, conditions: [
				{type: Scheduled, status: "True", reason: tasks in gang are ready to be scheduled, transitionID: a}]}`,
			progress: gang.Progress{Running: 4, Pending: 1, Waiting: shortOfGPU},
		},
		"a failed member ends Scheduled with PodFailed": {
			spec: `{minMember: 4}`, before: `{phase: Running, running: 4, conditions: [
				{type: Scheduled, status: "True", reason: tasks in gang are ready to be scheduled, transitionID: a}]}`,
			progress: gang.Progress{Running: 3, Failed: 1},
			want: `{phase: Unknown, running: 3, failed: 1, conditions: [{type: Scheduled, status: "False", reason: PodFailed,
				message: 3 of 4 members that must run together have a node,
				lastTransitionTime: "2026-08-01T13:00:00Z", transitionID: ID}]}`,
		},
		"while the place of a lost member is kept, Scheduled says until when": {
			spec: `{minMember: 4}`, before: `{phase: Running, running: 4, conditions: [{type: Scheduled, status: "True"}]}`,
			progress: gang.Progress{Running: 3, Repair: gang.Repair{Phase: gang.Repairing, Missing: 1, Minimum: 4, Kept: 1, Until: time.Date(2026, 8, 1, 13, 5, 0, 0, time.UTC)}},
			want: `{phase: Unknown, running: 3, conditions: [{type: Scheduled, status: "False", reason: NotEnoughTasks,
				message: 1 of 4 members is missing; its place is kept until 2026-08-01T13:05:00Z,
				lastTransitionTime: "2026-08-01T13:00:00Z", transitionID: ID}]}`,
		},
		"a vanished member ends Scheduled with NotEnoughTasks": {
			spec: `{minMember: 4}`, before: `{phase: Running, running: 4, conditions: [{type: Scheduled, status: "True"}]}`,
			progress: gang.Progress{Running: 3},
			want: `{phase: Unknown, running: 3, conditions: [{type: Scheduled, status: "False", reason: NotEnoughTasks,
				message: 3 of 4 members that must run together have a node,
				lastTransitionTime: "2026-08-01T13:00:00Z", transitionID: ID}]}`,
		},
		"a replacement that waits is NotEnoughResources": {
			spec: `{minMember: 4}`, before: `{phase: Unknown, running: 3, conditions: [{type: Scheduled, status: "False",
				reason: NotEnoughTasks, message: m, lastTransitionTime: noon, transitionID: kept}]}`,
			progress: gang.Progress{Running: 3, Pending: 1},
			want: `{phase: Unknown, running: 3, conditions: [{type: Scheduled, status: "False", reason: NotEnoughResources,
				message: 3 of 4 members that must run together have a node, lastTransitionTime: noon, transitionID: kept}]}`,
		},
		"completion keeps Scheduled": {
			spec: `{minMember: 4}`, before: `{phase: Running, running: 4, conditions: [{type: Scheduled, status: "True",
				reason: tasks in gang are ready to be scheduled, transitionID: kept}]}`,
			progress: gang.Progress{Succeeded: 4},
			want: `{phase: Completed, succeeded: 4, conditions: [{type: Scheduled, status: "True",
				reason: tasks in gang are ready to be scheduled, transitionID: kept}]}`,
		},
		"completion after a lost member that came back mends Scheduled": {
			spec: `{minMember: 4}`, before: `{phase: Unknown, conditions: [{type: Scheduled, status: "False", reason: r, message: m}]}`,
			progress: gang.Progress{Succeeded: 4, Failed: 1},
			want: `{phase: Completed, succeeded: 4, failed: 1, conditions: [{type: Scheduled, status: "True",
				reason: tasks in gang are ready to be scheduled, lastTransitionTime: "2026-08-01T13:00:00Z", transitionID: ID}]}`,
		},
		"a gang that is over says what it said when its pods are deleted": {
			spec: `{minMember: 4}`, before: `{phase: Completed, succeeded: 4, conditions: [{type: Scheduled, status: "True", reason: r}]}`,
			want: `{phase: Completed, conditions: [{type: Scheduled, status: "True", reason: r}]}`,
		},
		"conditions and fields of others are kept, whatever they are, and in their order": {
			spec: `{minMember: 1}`, before: `{phase: Pending, theirs: [1], conditions: [7, {type: Mine, status: "True"},
				{type: Unschedulable, status: "True", reason: r, note: kept}, {type: Unschedulable, status: second}]}`,
			progress: gang.Progress{Pending: 1},
			want: `{phase: Inqueue, theirs: [1], conditions: [7, {type: Mine, status: "True"},
				{type: Unschedulable, status: "False", note: kept, lastTransitionTime: "2026-08-01T13:00:00Z", transitionID: ID},
				{type: Unschedulable, status: second}]}`,
		},
		"a status that is no object is replaced": {
			spec: `{minMember: 1}`, before: `7`,
			want: `{phase: Pending}`,
		},
		"conditions that are no list are replaced when there is something to say": {
			spec: `{minMember: 1}`, before: `{phase: Inqueue, conditions: none}`, progress: gang.Progress{Running: 1},
			want: `{phase: Running, running: 1, conditions: [{type: Scheduled, status: "True",
				reason: tasks in gang are ready to be scheduled, lastTransitionTime: "2026-08-01T13:00:00Z", transitionID: ID}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			object := objecttest.PodGroup(t, test.spec, test.before)
			got := New().Status(object, test.progress, afternoon)
			if test.want == "" {
				require.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			conditions, _, _ := unstructured.NestedFieldNoCopy(got.Object, "status", "conditions")
			elements, _ := conditions.([]any)
			for _, element := range elements {
				fields, _ := element.(map[string]any)
				if id, _ := fields["transitionID"].(string); len(id) == len("00000000-0000-0000-0000-000000000000") {
					fields["transitionID"] = "ID"
				}
			}
			assert.Equal(t, objecttest.PodGroup(t, test.spec, test.want).Object, got.Object)
		})
	}
}

func TestATransitionHasAnIdentityOfItsOwn(t *testing.T) {
	object := objecttest.PodGroup(t, `{minMember: 4}`, "")
	ids := map[string]bool{}
	for hour, progress := range []gang.Progress{
		{Pending: 2, Waiting: incomplete}, {Pending: 4, Waiting: shortOfGPU}, {Bound: 4}, {Running: 3, Failed: 1}, {Running: 4},
	} {
		object = New().Status(object, progress, metav1.NewTime(noon.Add(time.Duration(hour)*time.Hour)))
		require.NotNil(t, object)
		conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
		require.NoError(t, err)
		for _, condition := range conditions {
			ids[condition.(map[string]any)["transitionID"].(string)] = true
		}
	}
	// Unschedulable became True and False, Scheduled became True, False and True.
	assert.Len(t, ids, 5)
}

// TestStatusOverAnyLife lets a group live through random progress and random changes of its minimum.
func TestStatusOverAnyLife(t *testing.T) {
	// What may follow a phase in one step, beside itself.
	follows := map[string][]string{
		"":          {"Pending", "Inqueue", "Running", "Completed"},
		"Pending":   {"Inqueue", "Running", "Completed"},
		"Inqueue":   {"Running", "Completed"},
		"Running":   {"Unknown", "Completed"},
		"Unknown":   {"Running", "Completed"},
		"Completed": {"Inqueue", "Running"},
	}
	rapid.Check(t, func(t *rapid.T) {
		object := objecttest.PodGroup(t, `{}`, "")
		before := ""
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			minMember := int64(rapid.IntRange(-1, 5).Draw(t, "minMember"))
			require.NoError(t, unstructured.SetNestedField(object.Object, minMember, "spec", "minMember"))
			progress := objecttest.AnyProgress(t)
			object = objecttest.AssertStatus(t, New(), object, progress, noon)
			after := objecttest.Phase(t, object)
			if after != before {
				assert.Contains(t, follows[before], after, "after %q with minMember %d and %+v", before, minMember, progress)
			}
			before = after
		}
	})
}
