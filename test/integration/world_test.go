package integration

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// patience is how long anything may take that the tests wait for; conditions are met in a fraction of it.
const patience = 45 * time.Second

// world is one test's part of a cluster: a namespace, and nodes that only pods of the test select.
type world struct {
	t *testing.T
	*cluster.Cluster
	ns string
}

// newWorld makes a namespace and as many nodes with 8 GPUs each.
func newWorld(t *testing.T, c *cluster.Cluster, nodes int) *world {
	t.Helper()
	w := &world{t: t, Cluster: c, ns: "t-" + rand.String(6)}
	_, err := c.Client.CoreV1().Namespaces().Create(t.Context(), &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}, metav1.CreateOptions{})
	require.NoError(t, err)
	w.addNodes(nodes)
	t.Cleanup(func() {
		ctx := context.Background()
		zero := int64(0)
		_ = c.Client.CoreV1().Pods(w.ns).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &zero}, metav1.ListOptions{})
		_ = c.Client.CoreV1().Namespaces().Delete(ctx, w.ns, metav1.DeleteOptions{})
		_ = c.Client.CoreV1().Nodes().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "world=" + w.ns})
	})
	return w
}

func (w *world) addNodes(count int, mutate ...func(*v1.Node)) {
	w.t.Helper()
	nodes := make([]*v1.Node, count)
	for i := range nodes {
		nodes[i] = controlplane.NewNode(controlplane.FakeNode{Name: w.ns + "-" + rand.String(6), GPUs: 8, Labels: map[string]string{"world": w.ns}})
		for _, f := range mutate {
			f(nodes[i])
		}
	}
	require.NoError(w.t, controlplane.CreateNodes(w.t.Context(), w.Client, nodes))
}

// podSpec is the variable part of a test's pod.
type podSpec struct {
	name        string
	scheduler   string
	gpus        int64
	annotations map[string]string
	labels      map[string]string
	group       string // of the native dialect
	mutate      func(*v1.Pod)
}

func (w *world) pod(s podSpec) *v1.Pod {
	if s.scheduler == "" {
		s.scheduler = "phalanx"
	}
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: s.name, Namespace: w.ns, Annotations: s.annotations, Labels: s.labels},
		Spec: v1.PodSpec{
			SchedulerName: s.scheduler,
			NodeSelector:  map[string]string{"world": w.ns},
			RestartPolicy: v1.RestartPolicyNever,
			Containers:    []v1.Container{{Name: "main", Image: "registry.k8s.io/pause:3.10"}},
		},
	}
	if s.gpus > 0 {
		p.Spec.Containers[0].Resources.Limits = v1.ResourceList{controlplane.ResourceGPU: *resource.NewQuantity(s.gpus, resource.DecimalSI)}
	}
	if s.group != "" {
		p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &s.group}
	}
	if s.mutate != nil {
		s.mutate(p)
	}
	return p
}

func (w *world) create(pods ...*v1.Pod) {
	w.t.Helper()
	for _, p := range pods {
		_, err := w.Client.CoreV1().Pods(w.ns).Create(w.t.Context(), p, metav1.CreateOptions{})
		require.NoError(w.t, err)
	}
}

// eventually waits until missing returns "".
func (w *world) eventually(missing func(ctx context.Context) string) {
	w.t.Helper()
	w.within(patience, missing)
}

// within does so for a wait that is longer by its nature.
func (w *world) within(patience time.Duration, missing func(ctx context.Context) string) {
	w.t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(w.t.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		now := missing(ctx)
		if now != "" && ctx.Err() != nil {
			return false, nil // what was asked then tells nothing
		}
		last = now
		return last == "", nil
	})
	require.NoError(w.t, err, "still missing: %s", last)
}

// bound counts the test's pods that have a node and whose name begins with prefix.
func (w *world) bound(ctx context.Context, prefix string) int {
	count := 0
	for _, p := range w.pods(ctx, prefix) {
		if p.Spec.NodeName != "" {
			count++
		}
	}
	return count
}

func (w *world) pods(ctx context.Context, prefix string) []v1.Pod {
	list, err := w.Client.CoreV1().Pods(w.ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	var out []v1.Pod
	for _, p := range list.Items {
		if len(p.Name) >= len(prefix) && p.Name[:len(prefix)] == prefix {
			out = append(out, p)
		}
	}
	return out
}

// waitBound waits until exactly so many pods with the prefix have a node.
func (w *world) waitBound(prefix string, want int) {
	w.t.Helper()
	w.eventually(func(ctx context.Context) string {
		if got := w.bound(ctx, prefix); got != want {
			return fmt.Sprintf("%d of %d pods %s* bound", got, want, prefix)
		}
		return ""
	})
}

// waitSentence waits until all unbound pods with the prefix, at least one, show the message in their PodScheduled condition.
func (w *world) waitSentence(prefix, message string) {
	w.t.Helper()
	w.eventually(func(ctx context.Context) string {
		seen := 0
		for _, p := range w.pods(ctx, prefix) {
			if p.Spec.NodeName != "" {
				continue
			}
			// What other tests' nodes are excluded for comes behind a semicolon.
			c := condition(&p, v1.PodScheduled)
			if c == nil || c.Reason != v1.PodReasonUnschedulable || c.Status != v1.ConditionFalse || strings.Split(c.Message, ";")[0] != message {
				return fmt.Sprintf("%q on %s: it shows %v", message, p.Name, c)
			}
			seen++
		}
		if seen == 0 {
			return "a pod that waits"
		}
		return ""
	})
}

// sayingAboutAll is for eventually: the pods with the prefix, at least one, all wait with messages that begin so.
func sayingAboutAll(w *world, prefix, beginning string) func(context.Context) string {
	return func(ctx context.Context) string {
		pods := w.pods(ctx, prefix)
		if len(pods) == 0 {
			return "a pod " + prefix
		}
		for _, p := range pods {
			if c := condition(&p, v1.PodScheduled); c == nil || c.Reason != v1.PodReasonUnschedulable || !strings.HasPrefix(c.Message, beginning) {
				return fmt.Sprintf("%q on %s: it shows %v", beginning, p.Name, c)
			}
		}
		return ""
	}
}

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

func condition(p *v1.Pod, kind v1.PodConditionType) *v1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// annotate sets an annotation of all pods with the prefix.
func (w *world) annotate(prefix, key, value string) {
	w.t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, key, value)
	for _, p := range w.pods(w.t.Context(), prefix) {
		_, err := w.Client.CoreV1().Pods(w.ns).Patch(w.t.Context(), p.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		require.NoError(w.t, err)
	}
}

// complete lets all pods with the prefix succeed.
func (w *world) complete(prefix string) {
	w.t.Helper()
	w.annotate(prefix, controlplane.AnnotationRunFor, "1ms")
}

func (w *world) deletePods(names ...string) {
	w.t.Helper()
	zero := int64(0)
	for _, name := range names {
		require.NoError(w.t, w.Client.CoreV1().Pods(w.ns).Delete(w.t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &zero}))
	}
}

// waitRunning waits until exactly so many pods with the prefix run.
func (w *world) waitRunning(prefix string, want int) {
	w.t.Helper()
	w.eventually(func(ctx context.Context) string {
		got, others := 0, ""
		for _, p := range w.pods(ctx, prefix) {
			if p.Status.Phase == v1.PodRunning {
				got++
			} else {
				others += fmt.Sprintf("\n%s: %s on node %q, %v", p.Name, p.Status.Phase, p.Spec.NodeName, condition(&p, v1.PodScheduled))
			}
		}
		if got != want {
			return fmt.Sprintf("%d pods %s* that run, there are %d%s", want, prefix, got, others)
		}
		return ""
	})
}

// events are those about one object, by reason; each as often as its series counts.
func (w *world) events(kind, name string) map[string]int {
	w.t.Helper()
	list, err := w.Client.EventsV1().Events(w.ns).List(w.t.Context(), metav1.ListOptions{})
	require.NoError(w.t, err)
	counts := map[string]int{}
	for _, e := range list.Items {
		if e.Regarding.Kind != kind || e.Regarding.Name != name {
			continue
		}
		counts[e.Reason]++
		if e.Series != nil {
			counts[e.Reason] += int(e.Series.Count) - 1
		}
	}
	return counts
}

// tries counts how often the scheduler tried to place a gang, by its log.
func (w *world) tries(s *cluster.Scheduler, d dialect, group string) int {
	log, err := os.ReadFile(s.LogPath())
	require.NoError(w.t, err)
	name := group
	if d.name != native.name {
		name = d.name + ":" + group
	}
	count := 0
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "Attempting to schedule pod group") && strings.Contains(line, fmt.Sprintf("podGroup=%q", w.ns+"/"+name)) {
			count++
		}
	}
	return count
}

// waitTries waits until a gang has been tried so often since the log began.
func (w *world) waitTries(s *cluster.Scheduler, d dialect, group string, want int) {
	w.t.Helper()
	w.eventually(func(context.Context) string {
		if got := w.tries(s, d, group); got < want {
			return fmt.Sprintf("%d tries of %s, there were %d", want, group, got)
		}
		return ""
	})
}
