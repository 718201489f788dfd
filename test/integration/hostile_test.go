package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// On a cluster whose PodGroup definitions let anything in. The parts follow each other.
func TestOnAClusterThatChecksNothing(t *testing.T) {
	t.Parallel()
	c := startCluster(t, cluster.Options{WithoutCRDs: true, Options: controlplane.Options{Kwok: true, Controllers: true}})
	applyLooseDefinitions(t, c)
	s, err := c.StartScheduler(t.Context(), cluster.SchedulerOptions{V: 3})
	require.NoError(t, err)
	t.Run("broken PodGroups say what is wrong and stop nobody", func(t *testing.T) { testBrokenGroups(t, c) })
	t.Run("a restart repeats nothing", func(t *testing.T) { s = testRestart(t, c, s) })
	t.Run("ten thousand PodGroups stop nobody", func(t *testing.T) { testManyGroups(t, c, s) })
	require.NoError(t, inspect(s))
}

// applyLooseDefinitions applies our definitions with a schema that lets anything in.
func applyLooseDefinitions(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	root, err := cluster.Root()
	require.NoError(t, err)
	for _, name := range []string{"scheduling.volcano.sh_podgroups.yaml", "scheduling.x-k8s.io_podgroups.yaml"} {
		raw, err := os.ReadFile(filepath.Join(root, "manifests", "crds", name))
		require.NoError(t, err)
		definition := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal(raw, &definition.Object))
		versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
		for _, version := range versions {
			version.(map[string]any)["schema"] = map[string]any{"openAPIV3Schema": map[string]any{
				"type": "object", "x-kubernetes-preserve-unknown-fields": true,
			}}
		}
		require.NoError(t, unstructured.SetNestedSlice(definition.Object, versions, "spec", "versions"))
		loose, err := definition.MarshalJSON()
		require.NoError(t, err)
		require.NoError(t, c.Apply(t.Context(), loose))
	}
	w := &world{t: t, Cluster: c}
	w.awaitServed(volcanoGroups, true)
	w.awaitServed(coschedulingGroups, true)
}

func testBrokenGroups(t *testing.T, c *cluster.Cluster) {
	w := newWorld(t, c, 4)
	broken := map[string]struct {
		dialect
		spec any
		want string // empty: sound, and its one member starts
	}{
		"words":       {volcano, map[string]any{"minMember": "eight"}, `spec.minMember is "eight": it must be a whole number`},
		"negative":    {volcano, map[string]any{"minMember": int64(-1)}, `spec.minMember is -1: it must be at least 0`},
		"huge":        {volcano, map[string]any{"minMember": int64(1) << 40}, `spec.minMember is 1099511627776: it must be at most 2147483647`},
		"fraction":    {volcano, map[string]any{"minMember": 1.5}, `spec.minMember is 1.5: it must be a whole number`},
		"object":      {volcano, map[string]any{"minMember": map[string]any{}}, `spec.minMember is an object: it must be a whole number`},
		"text":        {volcano, "text", `spec is "text": it must be an object`},
		"roles":       {volcano, map[string]any{"minTaskMember": map[string]any{"worker": int64(-1)}}, `spec.minTaskMember.worker is -1: it must be at least 0`},
		"resources":   {volcano, map[string]any{"minResources": map[string]any{"cpu": "-1"}}, `spec.minResources.cpu is "-1": it must be at least 0`},
		"exponent":    {volcano, map[string]any{"minResources": map[string]any{"cpu": "1e999999999"}}, `spec.minResources.cpu is "1e999999999": it must be a quantity`},
		"class":       {volcano, map[string]any{"priorityClassName": int64(7)}, `spec.priorityClassName is 7: it must be a string`},
		"timeout":     {coscheduling, map[string]any{"minMember": int64(1), "scheduleTimeoutSeconds": int64(-5)}, `spec.scheduleTimeoutSeconds is -5: it must be at least 0`},
		"list":        {coscheduling, map[string]any{"minMember": []any{}}, `spec.minMember is a list: it must be a whole number`},
		"nothing":     {volcano, map[string]any{}, ""},
		"no-spec":     {coscheduling, nil, ""},
		"more-fields": {volcano, map[string]any{"minMember": int64(1), "quorum": "all", "nested": map[string]any{"quorum": int64(3)}}, ""},
	}
	for name, b := range broken {
		group := map[string]any{
			"apiVersion": b.groups.GroupVersion().String(), "kind": "PodGroup", "metadata": map[string]any{"name": name, "namespace": w.ns},
		}
		if b.spec != nil {
			group["spec"] = b.spec
		}
		_, err := w.Dynamic.Resource(b.groups).Namespace(w.ns).Create(t.Context(), &unstructured.Unstructured{Object: group}, metav1.CreateOptions{})
		require.NoError(t, err, name)
		w.members(b.dialect, name, 0, 1, 1)
	}
	w.podGroup(volcanoGroups, "largest", minMember(2147483647))
	w.members(volcano, "largest", 0, 2, 1)
	w.podGroup(volcanoGroups, "good", minMember(2))
	w.members(volcano, "good", 0, 2, 1)

	w.waitStatus(volcanoGroups, "good", map[string]any{"phase": "Running", "running": 2})
	w.waitSentence("largest", "GangIncomplete: 2 of 2147483647 members exist")
	for name, b := range broken {
		if b.want == "" {
			w.waitRunning(name, 1)
			continue
		}
		w.waitSentence(name, fmt.Sprintf("GangInvalid: PodGroup %s/%s: %s", w.ns, name, b.want))
		w.waitEvents("PodGroup", name, map[string]int{"GangInvalid": 1})
	}
	// A status that is no object, and a phase that is no text.
	for name, status := range map[string]any{"odd-status": "text", "odd-phase": map[string]any{"phase": int64(4), "conditions": "none"}} {
		w.podGroup(volcanoGroups, name, minMember(1), func(group *unstructured.Unstructured) { group.Object["status"] = status })
		w.members(volcano, name, 0, 1, 1)
		w.waitPhase(volcanoGroups, name, "Running")
	}
	// Mended, a group starts.
	w.changeGroup(volcanoGroups, "words", minMember(1))
	w.waitRunning("words", 1)
}

// manyGroups is how many PodGroups the hostile user makes; every hundredth has a pod. manyNodes is how many nodes there are
// besides, which nobody runs.
const (
	manyGroups = 10000
	manyNodes  = 5000
)

func testManyGroups(t *testing.T, c *cluster.Cluster, s *cluster.Scheduler) {
	w := newWorld(t, c, 4)
	newWorld(t, c, 0).addNodes(manyNodes, func(n *v1.Node) { delete(n.Annotations, controlplane.AnnotationNode) })
	t.Logf("the scheduler holds %d MiB before", residentMiB(t, s))
	crowd := &world{t: t, Cluster: c, ns: newWorld(t, c, 0).ns}
	created := make(chan error, 1)
	go func() {
		group, ctx := errgroup.WithContext(t.Context())
		group.SetLimit(16)
		for i := range manyGroups {
			group.Go(func() error {
				return crowd.tryGroup(ctx, volcanoGroups, fmt.Sprintf("crowd-%d", i), minMember(2147483647))
			})
			if i%100 == 0 {
				group.Go(func() error {
					_, err := c.Client.CoreV1().Pods(crowd.ns).Create(ctx, crowd.member(volcano, fmt.Sprintf("crowd-%d", i), 0, 1), metav1.CreateOptions{})
					return err
				})
			}
		}
		created <- group.Wait()
	}()
	start := func(when string, i int) {
		begin := time.Now()
		name := fmt.Sprintf("good-%d", i)
		w.podGroup(volcanoGroups, name, minMember(2))
		w.members(volcano, name, 0, 2, 1)
		w.waitBound(name+"-", 2)
		bound := time.Since(begin)
		w.waitPhase(volcanoGroups, name, "Running")
		t.Logf("%s: a gang of 2 was bound after %s, and its status said so after %s", when, bound.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
		require.Less(t, time.Since(begin), 10*time.Second)
	}
	start("while they come", 0)
	require.NoError(t, <-created)
	start("once they are there", 1)
	begin := time.Now()
	w.addNodes(4)
	start("after nodes came", 2)
	usage, err := s.Usage()
	require.NoError(t, err)
	limit := memoryLimitMiB(t)
	t.Logf("that took %s, the scheduler held %d MiB at most, of %d", time.Since(begin).Round(time.Millisecond), usage.PeakKiB>>10, limit)
	require.Less(t, usage.PeakKiB>>10, limit/4, "the rest is for pods")
}

func (w *world) tryGroup(ctx context.Context, resource schema.GroupVersionResource, name string, spec map[string]any) error {
	_, err := w.Dynamic.Resource(resource).Namespace(w.ns).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": resource.GroupVersion().String(), "kind": "PodGroup",
		"metadata": map[string]any{"name": name, "namespace": w.ns}, "spec": spec,
	}}, metav1.CreateOptions{})
	return err
}

// memoryLimitMiB is what the manifests let the scheduler have.
func memoryLimitMiB(t *testing.T) int {
	t.Helper()
	objects, err := cluster.Render("manifests/default")
	require.NoError(t, err)
	for _, object := range objects {
		var d appsv1.Deployment
		if object.GetKind() == "Deployment" {
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &d))
			return int(d.Spec.Template.Spec.Containers[0].Resources.Limits.Memory().Value() >> 20)
		}
	}
	t.Fatal("manifests/default has no Deployment")
	return 0
}

// residentMiB is the memory that the scheduler holds.
func residentMiB(t *testing.T, s *cluster.Scheduler) int {
	t.Helper()
	usage, err := s.Usage()
	require.NoError(t, err)
	return usage.NowKiB >> 10
}
