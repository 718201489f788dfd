// Package integration proves the scheduler on a real control plane: as a process of its own, under its ServiceAccount, with
// the manifests that users apply.
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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// shared is the cluster that tests use which only need namespaces of their own. Its nodes have a label per test that wants
// nodes of its own; native PodGroups are served.
var shared *cluster.Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	if _, err := controlplane.EnsureBinaries(ctx, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	shared, err = cluster.Start(ctx, cluster.Options{Options: controlplane.Options{Kwok: true, Controllers: true, NativePodGroups: true}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = shared.Stop() }()
	scheduler, err := shared.StartScheduler(ctx, cluster.SchedulerOptions{V: 2})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if logs := os.Getenv("KEEP_LOGS"); code != 0 && logs != "" {
		if raw, err := os.ReadFile(scheduler.LogPath()); err == nil {
			_ = os.WriteFile(logs, raw, 0o644)
		}
	}
	return code
}

// patience is how long anything may take that the tests wait for; conditions are met in a fraction of it.
const patience = 20 * time.Second

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

func (w *world) addNodes(count int) {
	w.t.Helper()
	nodes := make([]*v1.Node, count)
	for i := range nodes {
		nodes[i] = controlplane.NewNode(controlplane.FakeNode{Name: w.ns + "-" + rand.String(6), GPUs: 8, Labels: map[string]string{"world": w.ns}})
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

// volcanoPod is a member of a Volcano PodGroup.
func (w *world) volcanoPod(group string, i int, gpus int64) *v1.Pod {
	return w.pod(podSpec{name: fmt.Sprintf("%s-%d", group, i), gpus: gpus, annotations: map[string]string{"scheduling.k8s.io/group-name": group}})
}

// coschedulingPod is a member of a coscheduling PodGroup.
func (w *world) coschedulingPod(group string, i int, gpus int64) *v1.Pod {
	return w.pod(podSpec{name: fmt.Sprintf("%s-%d", group, i), gpus: gpus, labels: map[string]string{"scheduling.x-k8s.io/pod-group": group}})
}

var (
	volcanoGroups      = schema.GroupVersionResource{Group: "scheduling.volcano.sh", Version: "v1beta1", Resource: "podgroups"}
	coschedulingGroups = schema.GroupVersionResource{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"}
	nativeGroups       = schema.GroupVersionResource{Group: "scheduling.k8s.io", Version: "v1beta1", Resource: "podgroups"}
)

// podGroup creates a PodGroup with this spec.
func (w *world) podGroup(resource schema.GroupVersionResource, name string, spec map[string]any) {
	w.t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": resource.GroupVersion().String(), "kind": "PodGroup",
		"metadata": map[string]any{"name": name, "namespace": w.ns}, "spec": spec,
	}}
	_, err := w.Dynamic.Resource(resource).Namespace(w.ns).Create(w.t.Context(), u, metav1.CreateOptions{})
	require.NoError(w.t, err)
}

// patchGroup changes the spec of a PodGroup by a merge patch.
func (w *world) patchGroup(resource schema.GroupVersionResource, name, patch string) {
	w.t.Helper()
	_, err := w.Dynamic.Resource(resource).Namespace(w.ns).Patch(w.t.Context(), name, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{})
	require.NoError(w.t, err)
}

// eventually waits until missing returns "".
func (w *world) eventually(missing func(ctx context.Context) string) {
	w.t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(w.t.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = missing(ctx)
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

func condition(p *v1.Pod, kind v1.PodConditionType) *v1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == kind {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// waitPhase waits until a PodGroup's status shows the phase.
func (w *world) waitPhase(resource schema.GroupVersionResource, name, phase string) {
	w.t.Helper()
	w.eventually(func(ctx context.Context) string {
		u, err := w.Dynamic.Resource(resource).Namespace(w.ns).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if got, _, _ := unstructured.NestedString(u.Object, "status", "phase"); got != phase {
			return fmt.Sprintf("phase %s of PodGroup %s: it is %q (status %v)", phase, name, got, u.Object["status"])
		}
		return ""
	})
}
