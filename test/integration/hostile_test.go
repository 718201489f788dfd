package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
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
	invalid := w.createInvalid()
	for name, sound := range map[string]struct {
		dialect
		spec any
	}{
		"nothing":     {volcano, map[string]any{}},
		"no-spec":     {coscheduling, nil},
		"more-fields": {volcano, map[string]any{"minMember": int64(1), "quorum": "all", "nested": map[string]any{"quorum": int64(3)}}},
	} {
		w.podGroup(sound.groups, name, nil, func(group *unstructured.Unstructured) {
			if group.Object["spec"] = sound.spec; sound.spec == nil {
				delete(group.Object, "spec")
			}
		})
		w.members(sound.dialect, name, 0, 1, 1)
	}
	w.podGroup(volcanoGroups, "largest", minMember(2147483647))
	w.members(volcano, "largest", 0, 2, 1)
	w.podGroup(volcanoGroups, "good", minMember(2))
	w.members(volcano, "good", 0, 2, 1)

	w.waitStatus(volcanoGroups, "good", map[string]any{"phase": "Running", "running": 2})
	w.waitSentence("largest", "GangIncomplete: 2 of 2147483647 members exist")
	for _, name := range []string{"nothing", "no-spec", "more-fields"} {
		w.waitRunning(name, 1)
	}
	for name, object := range invalid {
		w.waitSaying(name, object.sentence)
		if object.kind == "PodGroup" {
			w.waitSaying(name, "GangInvalid: ")
			w.waitEvents("PodGroup", name, map[string]int{"GangInvalid": 1})
		}
	}
	// A status that is no object, and a phase that is no text.
	for name, status := range map[string]any{"odd-status": "text", "odd-phase": map[string]any{"phase": int64(4), "conditions": "none"}} {
		w.podGroup(volcanoGroups, name, minMember(1), func(group *unstructured.Unstructured) { group.Object["status"] = status })
		w.members(volcano, name, 0, 1, 1)
		w.waitPhase(volcanoGroups, name, "Running")
	}
	// Mended, a group starts.
	w.changeGroup(volcanoGroups, "volcano-minimum-in-words", minMember(1))
	w.waitRunning("volcano-minimum-in-words", 1)
}

// senseless is an object that makes no sense, and the sentence that the scheduler says about it.
type senseless struct{ kind, sentence string }

// createInvalid creates what the API server refuses where our definitions and manifests/admission are, by name. Each PodGroup gets a
// member.
func (w *world) createInvalid() map[string]senseless {
	w.t.Helper()
	files, err := filepath.Glob("../install/testdata/invalid/*.yaml")
	require.NoError(w.t, err)
	require.NotEmpty(w.t, files)
	created := map[string]senseless{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(w.t, err)
		sentence, hasSentence := strings.CutPrefix(strings.Split(string(text), "\n")[1], "# scheduler: ")
		require.True(w.t, hasSentence, "%s does not say what the scheduler says", file)
		object := &unstructured.Unstructured{}
		require.NoError(w.t, yaml.Unmarshal(text, &object.Object))
		resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
		_, err = w.Dynamic.Resource(resource).Namespace(w.ns).Create(w.t.Context(), object, metav1.CreateOptions{})
		require.NoError(w.t, err, file)
		for _, d := range []dialect{volcano, coscheduling} {
			if d.groups == resource {
				w.members(d, object.GetName(), 0, 1, 1)
			}
		}
		created[object.GetName()] = senseless{object.GetKind(), sentence}
	}
	return created
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
