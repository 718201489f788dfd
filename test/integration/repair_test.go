package integration

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

const moment = `20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`

func TestThePlacesOfLostMembersAreKeptForTheirReplacements(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 4, func(w *world, d dialect) {
		nodes := w.runWhole(d, "train", 4)
		w.podGroup(d.groups, "rival", d.minimum(2))
		w.members(d, "rival", 0, 2, 8)
		w.create(w.pod(podSpec{name: "single", gpus: 8}))
		w.waitSentence("rival", "InsufficientGPUs: 2 members need 16 nvidia.com/gpu, 0 are free on 0 nodes")

		w.deletePods("train-1", "train-2")
		w.waitWords("single", `\b2 node\(s\) kept 8 nvidia.com/gpu for gang `+w.ns+`/train until `+moment)
		w.waitWords("rival", `^InsufficientGPUs: .*; 2 places are kept for lost members of gang `+w.ns+`/train until `+moment+`$`)
		w.waitRepairing(d, "train", "2 of 4 members are missing; their places are kept until "+moment)

		w.create(w.replacement(d, "train", 2), w.replacement(d, "train", 1))
		w.waitRunning("train", 4)
		require.Equal(t, nodes, w.nodesByRank("train"))
		w.waitRepaired(d, "train")
		require.Zero(t, w.bound(t.Context(), "rival")+w.bound(t.Context(), "single"))
		w.waitToldOf("train", "MembersLost", "GangRepaired")
	})
}

func TestAGangThatEndsKeepsNothing(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 2, func(w *world, d dialect) {
		w.runWhole(d, "done", 2)
		w.create(w.pod(podSpec{name: "next-0", gpus: 8}))
		w.complete("done-0")
		w.waitRunning("next", 1)
		w.deletePods("done-0")
		w.create(w.pod(podSpec{name: "next-1", gpus: 8}))
		w.deletePods("done-1")
		w.waitRunning("next", 2)
	})
}

func TestAHigherPriorityTakesAKeptPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 2)
	w.priorityClass("high", 100)
	nodes := w.runWhole(volcano, "train", 2)
	w.create(w.pod(podSpec{name: "single", gpus: 8}))
	w.deletePods("train-1")
	w.waitWords("single", `1 node\(s\) kept 8 nvidia.com/gpu for gang`)
	w.create(w.pod(podSpec{name: "urgent", gpus: 8, mutate: withPriority(w, "high")}))
	w.waitRunning("urgent", 1)
	require.Equal(t, map[string]int{nodes[1]: 1}, w.nodesOf("urgent"))
	w.waitRunning("train", 1)
}

func TestPreemptionTakesOtherRoomThanAKeptPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 1)
	w.priorityClass("low", 10)
	w.priorityClass("middle", 50)
	middle := withPriority(w, "middle")
	w.podGroup(volcanoGroups, "train", minMember(2))
	w.members(volcano, "train", 0, 2, 4, middle)
	w.waitRunning("train", 2)
	home := w.nodesByRank("train")[1]
	w.addNodes(1)
	w.create(w.pod(podSpec{name: "low", gpus: 8, mutate: withPriority(w, "low")}))
	w.waitRunning("low", 1)

	w.deletePods("train-1")
	w.create(w.pod(podSpec{name: "single", gpus: 4, mutate: middle}))
	w.waitRunning("single", 1)
	require.NotContains(t, w.nodesOf("single"), home, "it made room where no place is kept")
	again := w.replacement(volcano, "train", 1)
	again.Spec.Containers[0].Resources.Limits[gpu] = quantity("4")
	middle(again)
	w.create(again)
	w.waitRunning("train", 2)
	require.Equal(t, home, w.nodesByRank("train")[1])
}

func TestWhereTheNodeIsGoneTheReplacementStaysInItsRack(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 0, func(w *world, d dialect) {
		w.addRack("a", 3)
		w.addRack("b", 3)
		w.podGroup(d.groups, "train", d.minimum(2), wishing("phalanx.dev/required-topology", w.rackKey()))
		w.members(d, "train", 0, 2, 8)
		w.waitRunning("train", 2)
		rack := w.racks("train")
		lost := w.nodesByRank("train")[1]
		require.NoError(t, w.Client.CoreV1().Nodes().Delete(t.Context(), lost, metav1.DeleteOptions{}))
		w.deletePods("train-1")
		w.create(w.replacement(d, "train", 1))
		w.waitRunning("train", 2)
		require.Equal(t, rack, w.racks("train"))
	})
}

// impatience is the configuration of a scheduler that keeps places for some seconds only.
const impatience = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: impatient
  pluginConfig:
  - {name: Gang, args: {repairTimeout: 4s}}
- schedulerName: restarting
  pluginConfig:
  - {name: Gang, args: {repairTimeout: 4s, afterRepair: Restart}}
- schedulerName: careless
  pluginConfig:
  - {name: Gang, args: {repairTimeout: 0s}}
`

func TestGangsWhoseLostMembersNobodyReplaces(t *testing.T) {
	t.Parallel()
	s, err := shared.StartScheduler(t.Context(), cluster.SchedulerOptions{Name: "impatient", Config: impatience, V: 3})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, inspect(s))
		require.NoError(t, s.Kill())
	})
	by := func(name string) func(*v1.Pod) { return func(pod *v1.Pod) { pod.Spec.SchedulerName = name } }

	t.Run("give their places up in time", func(t *testing.T) {
		t.Parallel()
		inEveryDialect(t, 3, func(w *world, d dialect) {
			w.runWhole(d, "train", 3, by("impatient"))
			w.podGroup(d.groups, "rival", d.minimum(1))
			w.members(d, "rival", 0, 1, 8, by("impatient"))
			w.create(w.pod(podSpec{name: "single", gpus: 8, scheduler: "impatient"}))
			w.fail("train-1")
			w.deletePods("train-2")
			w.waitRunning("rival", 1)
			w.waitRunning("single", 1)
			w.waitToldOf("train", "MembersLost", "RepairTimeout")
			switch d.name {
			case volcano.name:
				w.waitStatus(d.groups, "train", map[string]any{"phase": "Unknown", "running": 1, "Scheduled": "False/PodFailed"})
				require.Equal(t, "1 of 3 members that must run together have a node", w.groupCondition(d.groups, "train", "Scheduled", "message"))
			case coscheduling.name:
				w.waitStatus(d.groups, "train", map[string]any{"phase": "Unknown", "running": 1})
			case native.name:
				w.waitStatus(d.groups, "train", map[string]any{"phalanx.dev/UnderRepair": "False/RepairTimeout", "PodGroupInitiallyScheduled": "True/Scheduled"})
			}
			w.waitRunning("train", 1)
		})
	})
	t.Run("make coscheduling's PodGroup fail, but not before", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, shared, 2)
		w.runWhole(coscheduling, "doomed", 2, by("impatient"))
		w.fail("doomed-0")
		w.waitStatus(coschedulingGroups, "doomed", map[string]any{"phase": "Failed", "running": 1, "failed": 1})
		w.waitToldOf("doomed", "MembersLost", "RepairTimeout")
	})
	t.Run("keep nothing where nobody wants it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, shared, 2)
		w.runWhole(volcano, "train", 2, by("careless"))
		w.create(w.pod(podSpec{name: "single", gpus: 8, scheduler: "careless"}))
		w.deletePods("train-1")
		w.waitRunning("single", 1)
		w.waitStatus(volcanoGroups, "train", map[string]any{"phase": "Unknown"})
		require.Zero(t, w.events("PodGroup", "train")["MembersLost"])
	})
	t.Run("are made anew where the administrator wants it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, shared, 3)
		w.podGroup(volcanoGroups, "train", minMember(3))
		w.job(volcano, "train", 3, 8, func(job *batchv1.Job) { job.Spec.Template.Spec.SchedulerName = "restarting" })
		w.waitRunning("train", 3)
		first := w.uids("train")
		lost := w.pods(t.Context(), "train")[0]
		w.cordon(lost.Spec.NodeName, true) // so that the replacement finds no place
		w.deletePods(lost.Name)
		// The Job's controller pauses for 40 s if it takes three deleted pods for failed ones.
		w.within(40*time.Second+patience, func(context.Context) string {
			if got := w.uids("train"); got.HasAny(first.UnsortedList()...) || got.Len() != 3 {
				return fmt.Sprintf("three new pods: there are %d, of which some are old", got.Len())
			}
			return ""
		})
		require.Zero(t, w.bound(t.Context(), "train"), "a gang starts whole or not at all")
		w.waitToldOf("train", "MembersLost", "GangRestarted")
		w.cordon(lost.Spec.NodeName, false)
		w.waitRunning("train", 3)
		w.waitPhase(volcanoGroups, "train", "Running")
	})
}

func TestASchedulerThatStartsAnewKeepsThePlacesOfFailedMembers(t *testing.T) {
	t.Parallel()
	start := func() *cluster.Scheduler {
		s, err := shared.StartScheduler(t.Context(), cluster.SchedulerOptions{Name: "forgetful", V: 3, Config: `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles: [{schedulerName: forgetful}]`})
		require.NoError(t, err)
		return s
	}
	by := func(pod *v1.Pod) { pod.Spec.SchedulerName = "forgetful" }
	w := newWorld(t, shared, 2)
	s := start()
	nodes := w.runWhole(volcano, "train", 2, by)
	w.fail("train-1")
	w.waitStatus(volcanoGroups, "train", map[string]any{"phase": "Unknown", "failed": 1})
	require.NoError(t, s.Kill())
	w.create(w.pod(podSpec{name: "single", gpus: 8, scheduler: "forgetful"}))

	s = start()
	defer func() { require.NoError(t, s.Kill()) }()
	w.waitWords("single", `1 node\(s\) kept 8 nvidia.com/gpu for gang `+w.ns+`/train until `+moment)
	again := w.replacement(volcano, "train", 1)
	by(again)
	w.create(again)
	w.waitRunning("train", 2)
	require.Equal(t, nodes, w.nodesByRank("train"))
	require.NoError(t, inspect(s))
}

// runWhole starts a gang of members with 8 GPUs each, and returns their nodes by rank.
func (w *world) runWhole(d dialect, name string, members int, mutate ...func(*v1.Pod)) map[int]string {
	w.t.Helper()
	w.podGroup(d.groups, name, d.minimum(int64(members)))
	w.members(d, name, 0, members, 8, mutate...)
	w.waitRunning(name, members)
	if d.name != native.name {
		w.waitPhase(d.groups, name, "Running")
	}
	return w.nodesByRank(name)
}

const rankLabel = "batch.kubernetes.io/job-completion-index"

// replacement is a new pod with the rank of one that is lost. Not with its name: kwok follows a deletion with one of its own.
func (w *world) replacement(d dialect, name string, rank int) *v1.Pod {
	pod := w.member(d, name, rank, 8)
	pod.Name += "-again"
	metav1.SetMetaDataLabel(&pod.ObjectMeta, rankLabel, strconv.Itoa(rank))
	return pod
}

func (w *world) nodesByRank(prefix string) map[int]string {
	w.t.Helper()
	nodes := map[int]string{}
	for _, p := range w.pods(w.t.Context(), prefix) {
		text, ok := p.Labels[rankLabel]
		if !ok {
			text = p.Name[len(prefix)+1:]
		}
		rank, err := strconv.Atoi(text)
		require.NoError(w.t, err)
		nodes[rank] = p.Spec.NodeName
	}
	return nodes
}

func (w *world) uids(prefix string) sets.Set[types.UID] {
	uids := sets.New[types.UID]()
	for _, p := range w.pods(w.t.Context(), prefix) {
		uids.Insert(p.UID)
	}
	return uids
}

// waitWords waits until all unbound pods with the prefix, at least one, show a message that matches.
func (w *world) waitWords(prefix, pattern string) {
	w.t.Helper()
	w.eventually(func(ctx context.Context) string {
		pods := w.pods(ctx, prefix)
		for _, p := range pods {
			if c := condition(&p, v1.PodScheduled); c == nil || !regexp.MustCompile(pattern).MatchString(c.Message) {
				return fmt.Sprintf("%q on %s: it shows %v", pattern, p.Name, c)
			}
		}
		if len(pods) == 0 {
			return "a pod that waits"
		}
		return ""
	})
}

// waitRepairing waits until a PodGroup says in its dialect's words that members are lost.
func (w *world) waitRepairing(d dialect, name, pattern string) {
	w.t.Helper()
	kind := "Scheduled"
	switch d.name {
	case volcano.name:
		w.waitStatus(d.groups, name, map[string]any{"phase": "Unknown", kind: "False/NotEnoughTasks"})
	case coscheduling.name:
		w.waitStatus(d.groups, name, map[string]any{"phase": "Unknown"})
		return // it has no more words
	case native.name:
		kind = "phalanx.dev/UnderRepair"
		w.waitStatus(d.groups, name, map[string]any{kind: "True/MembersLost", "PodGroupInitiallyScheduled": "True/Scheduled"})
	}
	w.eventually(func(context.Context) string {
		if got := w.groupCondition(d.groups, name, kind, "message"); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
			return fmt.Sprintf("the message %q of condition %s, it is %q", pattern, kind, got)
		}
		return ""
	})
}

func (w *world) waitRepaired(d dialect, name string) {
	w.t.Helper()
	if d.name == native.name {
		w.waitStatus(d.groups, name, map[string]any{"phalanx.dev/UnderRepair": "False/Repaired", "PodGroupInitiallyScheduled": "True/Scheduled"})
		return
	}
	w.waitPhase(d.groups, name, "Running")
}

// waitToldOf waits until there was one event of each of these reasons about a PodGroup.
func (w *world) waitToldOf(group string, reasons ...string) {
	w.t.Helper()
	w.eventually(func(context.Context) string {
		events := w.events("PodGroup", group)
		for _, reason := range reasons {
			if events[reason] != 1 {
				return fmt.Sprintf("one event %s about PodGroup %s, there are %v", reason, group, events)
			}
		}
		return ""
	})
}

// cordon closes a node, or opens it again.
func (w *world) cordon(node string, isClosed bool) {
	w.t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, isClosed)
	_, err := w.Client.CoreV1().Nodes().Patch(w.t.Context(), node, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(w.t, err)
}
