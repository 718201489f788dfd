package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// What the Volcano Job controller does in two steps, with the scheduler's word in between, is in two files.
const (
	volcanoJobFile     = "volcano-job.yaml"
	volcanoJobPodsFile = "volcano-job-pods.yaml"
	nativeJobFile      = "native-job.yaml"
)

func TestWhatOperatorsWriteRuns(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/operators/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		name := filepath.Base(file)
		if name == volcanoJobPodsFile {
			continue // comes after volcano-job.yaml
		}
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			t.Parallel()
			if name == nativeJobFile {
				needs(t, native)
			}
			w := newWorld(t, shared, 6)
			w.selectOwnNodes()
			pods := w.applyFile(file)
			if name == volcanoJobFile {
				w.eachGroup(func(group *unstructured.Unstructured) { w.waitPhase(volcanoGroups, group.GetName(), "Inqueue") })
				pods = w.applyFile(filepath.Join("testdata/operators", volcanoJobPodsFile))
			}
			require.Positive(t, pods)
			w.waitRunning("", pods)
			w.eachGroup(func(group *unstructured.Unstructured) {
				if group.GetAPIVersion() != "scheduling.k8s.io/v1beta1" {
					resource := volcanoGroups
					if group.GetAPIVersion() == "scheduling.x-k8s.io/v1alpha1" {
						resource = coschedulingGroups
					}
					w.waitPhase(resource, group.GetName(), "Running")
				}
			})
		})
	}
}

// selectOwnNodes makes all pods of the namespace select the test's nodes, though their manifests do not.
func (w *world) selectOwnNodes() {
	w.t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"scheduler.alpha.kubernetes.io/node-selector":"world=%s"}}}`, w.ns)
	_, err := w.Client.CoreV1().Namespaces().Patch(w.t.Context(), w.ns, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(w.t, err)
	// The API server reads namespaces from a cache: the annotation holds once a pod shows it.
	w.eventually(func(ctx context.Context) string {
		probe := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: w.ns}, Spec: v1.PodSpec{
			Containers: []v1.Container{{Name: "main", Image: "registry.k8s.io/pause:3.10"}},
		}}
		got, err := w.Client.CoreV1().Pods(w.ns).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err.Error()
		}
		if got.Spec.NodeSelector["world"] != w.ns {
			return "the node selector of the namespace"
		}
		return ""
	})
}

// applyFile applies a manifest in the test's namespace and returns how many pods it makes.
func (w *world) applyFile(file string) (pods int) {
	w.t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(w.t, err)
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return pods
		}
		require.NoError(w.t, err)
		switch object.GetKind() {
		case "PriorityClass":
		case "Pod":
			pods++
			object.SetNamespace(w.ns)
		case "Job":
			job := &batchv1.Job{}
			require.NoError(w.t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, job))
			pods += int(*job.Spec.Parallelism)
			object.SetNamespace(w.ns)
		default:
			object.SetNamespace(w.ns)
		}
		manifest, err := object.MarshalJSON()
		require.NoError(w.t, err)
		require.NoError(w.t, w.Apply(w.t.Context(), manifest))
	}
}

// eachGroup calls f for each PodGroup of the test's namespace.
func (w *world) eachGroup(f func(*unstructured.Unstructured)) {
	w.t.Helper()
	for _, d := range []dialect{volcano, coscheduling, native} {
		if !isServed(w.t, d) {
			continue
		}
		list, err := w.Dynamic.Resource(d.groups).Namespace(w.ns).List(w.t.Context(), metav1.ListOptions{})
		require.NoError(w.t, err)
		for i := range list.Items {
			f(&list.Items[i])
		}
	}
}

const gpu = controlplane.ResourceGPU
