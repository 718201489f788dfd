package integration

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// testPlainPods runs the same pods under kube-scheduler and under ours, one after the other on the same nodes, and compares
// what a user sees.
func testPlainPods(t *testing.T, c *cluster.Cluster) {
	upstream := filepath.Join(t.TempDir(), "kube-scheduler")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", upstream, "k8s.io/kubernetes/cmd/kube-scheduler").CombinedOutput()
	require.NoError(t, err, "%s", out)
	args := []string{"--kubeconfig=" + adminKubeconfig(t, c, "upstream"), "--leader-elect=false", "--secure-port=" + freePort(t)}
	isServed, err := c.Serves(schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1", Resource: "devicetaintrules"})
	require.NoError(t, err)
	if !isServed { // upstream's waits for them forever, where ours looks first
		args = append(args, "--feature-gates=DRADeviceTaintRules=false")
	}
	process, err := c.StartProcess("kube-scheduler", upstream, args...)
	require.NoError(t, err)
	defer func() { require.NoError(t, process.Stop()) }()

	for name, play := range map[string]func(*world, string) string{
		"a node selector":         (*world).playSelector,
		"taints":                  (*world).playTaints,
		"a pod that fits nowhere": (*world).playMisfit,
		"priorities decide who gets what comes free": (*world).playPriorities,
		"a pod makes room by preemption":             (*world).playPreemption,
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]string{}
			for _, scheduler := range []string{"default-scheduler", "phalanx"} {
				t.Run(scheduler, func(t *testing.T) { seen[scheduler] = newStage(t, c, scheduler).play(play, scheduler) })
			}
			require.NotEmpty(t, seen["phalanx"])
			require.Equal(t, seen["default-scheduler"], seen["phalanx"])
		})
	}
}

// newStage makes a world with a fast and a slow node, the slow one tainted, which the scheduler knows.
func newStage(t *testing.T, c *cluster.Cluster, scheduler string) *world {
	w := newWorld(t, c, 0)
	w.addNodes(1, func(node *v1.Node) {
		node.Labels["disk"] = "slow"
		node.Spec.Taints = []v1.Taint{{Key: "dedicated", Value: "ml", Effect: v1.TaintEffectNoSchedule}}
	})
	w.addNodes(1, func(node *v1.Node) { node.Labels["disk"] = "fast" })
	for name, value := range map[string]int32{"low": 10, "high": 100, "top": 1000} {
		w.priorityClass(name, value)
	}
	w.create(w.pod(podSpec{name: "probe", scheduler: scheduler}))
	w.waitBound("probe", 1)
	w.deletePods("probe")
	return w
}

// play returns what was seen without the names of this stage.
func (w *world) play(play func(*world, string) string, scheduler string) string {
	seen := play(w, scheduler)
	nodes, err := w.Client.CoreV1().Nodes().List(w.t.Context(), metav1.ListOptions{LabelSelector: "world=" + w.ns})
	require.NoError(w.t, err)
	for _, node := range nodes.Items {
		seen = strings.ReplaceAll(seen, node.Name, node.Labels["disk"])
	}
	return strings.ReplaceAll(seen, w.ns, "ns")
}

func (w *world) playSelector(scheduler string) string {
	w.create(w.pod(podSpec{name: "a", scheduler: scheduler, gpus: 1, mutate: selecting("disk", "fast")}))
	w.create(w.pod(podSpec{name: "b", scheduler: scheduler, gpus: 1, mutate: selecting("disk", "floppy")}))
	w.waitRunning("a", 1)
	return w.told("a") + w.told("b")
}

func (w *world) playTaints(scheduler string) string {
	w.create(w.pod(podSpec{name: "a", scheduler: scheduler, gpus: 1}))
	w.create(w.pod(podSpec{name: "b", scheduler: scheduler, gpus: 1, mutate: func(pod *v1.Pod) {
		selecting("disk", "slow")(pod)
		pod.Spec.Tolerations = []v1.Toleration{{Key: "dedicated", Operator: v1.TolerationOpExists}}
	}}))
	w.create(w.pod(podSpec{name: "c", scheduler: scheduler, gpus: 1, mutate: selecting("disk", "slow")}))
	w.waitRunning("a", 1)
	w.waitRunning("b", 1)
	return w.told("a") + w.told("b") + w.told("c")
}

func (w *world) playMisfit(scheduler string) string {
	w.create(w.pod(podSpec{name: "a", scheduler: scheduler, gpus: 9}))
	return w.told("a")
}

func (w *world) playPriorities(scheduler string) string {
	w.create(w.pod(podSpec{name: "holder", scheduler: scheduler, gpus: 8, mutate: withPriority(w, "top")}))
	w.waitRunning("holder", 1)
	w.create(w.pod(podSpec{name: "a", scheduler: scheduler, gpus: 8, mutate: withPriority(w, "low")}))
	why := w.told("a")
	w.create(w.pod(podSpec{name: "b", scheduler: scheduler, gpus: 8, mutate: withPriority(w, "high")}))
	why += w.told("b")
	w.deletePods("holder")
	w.waitRunning("b", 1)
	// Where the backoff of the other one ends in this moment, it goes first and is preempted at once.
	require.Zero(w.t, w.bound(w.t.Context(), "a"))
	return why + "b runs on " + w.pods(w.t.Context(), "b")[0].Spec.NodeName
}

func (w *world) playPreemption(scheduler string) string {
	w.create(w.pod(podSpec{name: "a", scheduler: scheduler, gpus: 8, mutate: withPriority(w, "low")}))
	w.waitRunning("a", 1)
	w.create(w.pod(podSpec{name: "b", scheduler: scheduler, gpus: 8, mutate: withPriority(w, "high")}))
	w.waitRunning("b", 1)
	w.eventually(func(ctx context.Context) string {
		if len(w.pods(ctx, "a")) > 0 {
			return "the preempted pod to go"
		}
		return ""
	})
	return w.told("b")
}

func selecting(key, value string) func(*v1.Pod) {
	return func(pod *v1.Pod) { pod.Spec.NodeSelector[key] = value }
}

// told is what a user sees of a pod once the scheduler has looked at it: its node or its condition, and the scheduler's
// events about it.
func (w *world) told(name string) string {
	w.t.Helper()
	var seen string
	w.eventually(func(ctx context.Context) string {
		p, err := w.Client.CoreV1().Pods(w.ns).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		c := condition(p, v1.PodScheduled)
		if c == nil {
			return "a condition on " + name
		}
		want := "FailedScheduling"
		if c.Status == v1.ConditionTrue {
			want = "Scheduled"
		}
		events := w.eventsAbout(ctx, p.UID)
		if !strings.Contains(events, want) {
			return fmt.Sprintf("an event %s about %s", want, name)
		}
		seen = fmt.Sprintf("%s: node %q, PodScheduled %s %s %q\n%s", name, p.Spec.NodeName, c.Status, c.Reason, c.Message, events)
		return ""
	})
	return seen
}

// eventsAbout lists the events about a pod, each text once.
func (w *world) eventsAbout(ctx context.Context, uid types.UID) string {
	list, err := w.Client.EventsV1().Events(w.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return ""
	}
	var all []string
	isKnown := map[string]bool{}
	for _, e := range list.Items {
		if line := line(&e); e.Regarding.UID == uid && !isKnown[line] {
			isKnown[line] = true
			all = append(all, line)
		}
	}
	return strings.Join(all, "")
}

func line(e *eventsv1.Event) string {
	return fmt.Sprintf("  %s %s %s: %s\n", e.Type, e.Reason, e.Action, e.Note)
}
