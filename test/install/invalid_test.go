package install

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// invalid are manifests that make no sense. On top of each stands, in comments, what the API server answers with our definitions and
// manifests/admission, and what the scheduler says on a cluster without them: see test/integration.TestOnAClusterThatChecksNothing.
var invalid = filepath.Join("testdata", "invalid")

// guarded is a cluster with our definitions and manifests/admission. What makes no sense and is older than that is in it already.
func guarded(t *testing.T) *cluster.Cluster {
	t.Helper()
	c := start(t, controlplane.Options{})
	require.NoError(t, c.Apply(t.Context(), []byte(older)))
	require.NoError(t, c.Kustomize(t.Context(), "manifests/admission"))
	require.Eventually(t, func() bool { // it reads policies from a cache
		_, err := tryPodGroup(t, c.Dynamic, map[string]string{gang.GPULinkKey: ""})
		return err != nil
	}, time.Minute, 100*time.Millisecond)
	return c
}

const older = `
apiVersion: scheduling.volcano.sh/v1beta1
kind: PodGroup
metadata:
  name: older
  annotations: {phalanx.dev/gpu-memory: lots}
  finalizers: [example.com/finalizer]
spec: {minMember: 1}
`

// start starts a control plane with manifests/default, on which nothing runs.
func start(t *testing.T, options controlplane.Options) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(t.Context(), cluster.Options{Options: options})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Stop()) })
	return c
}

var podGroups = schema.GroupVersionResource{Group: "scheduling.volcano.sh", Version: "v1beta1", Resource: "podgroups"}

// tryPodGroup asks the API server what it would make of a PodGroup with these annotations.
func tryPodGroup(t *testing.T, client dynamic.Interface, annotations map[string]string) (*unstructured.Unstructured, error) {
	t.Helper()
	group := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "PodGroup",
		"metadata": map[string]any{"name": "group"}, "spec": map[string]any{"minMember": int64(1)},
	}}
	group.SetAnnotations(annotations)
	return client.Resource(podGroups).Namespace("default").Create(t.Context(), group, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

// create creates an object as kubectl does.
func create(t *testing.T, c *cluster.Cluster, manifest []byte) error {
	t.Helper()
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal(manifest, &object.Object))
	resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
	options := metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}
	_, err := c.Dynamic.Resource(resource).Namespace("default").Create(t.Context(), object, options)
	return err
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	c := guarded(t)
	files, err := filepath.Glob(filepath.Join(invalid, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		sentence, hasSentence := strings.CutPrefix(strings.SplitN(string(text), "\n", 2)[0], "# API server: ")
		require.True(t, hasSentence, "%s does not say what the API server answers", file)
		err = create(t, c, text)
		assert.ErrorContains(t, err, sentence, file)
		assert.True(t, apierrors.IsInvalid(err) || apierrors.IsBadRequest(err), "%s: %v", file, err)
	}
	t.Run("what the scheduler understands is let through", func(t *testing.T) { testSoundAnnotations(t, c) })
	t.Run("what is there already can be changed, mended and ended", func(t *testing.T) { testOlder(t, c) })
	t.Run("who mistypes a key is warned", func(t *testing.T) { testWarning(t, c) })
	t.Run("objects that say nothing of ours are not looked at", func(t *testing.T) {
		_, err := tryPodGroup(t, c.Dynamic, map[string]string{"kai.scheduler/topology": "?", "example.com/phalanx.dev": "?"})
		require.NoError(t, err)
	})
}

// testSoundAnnotations tries what is at the limits of sense. The wishes for GPUs are those that the tests of pkg/plugins/gpu accept.
func testSoundAnnotations(t *testing.T, c *cluster.Cluster) {
	for key, values := range map[string][]string{
		gang.RequiredTopologyKey:  {"rack", "r", "topology.kubernetes.io/zone", "network.topology.nvidia.com/block", strings.Repeat("a", 317)},
		gang.PreferredTopologyKey: {"rack", "Rack_1.2"},
		gang.SliceSizeKey:         {"1", "+8", "0008", "2147483647"},
		gang.SliceTopologyKey:     {"rack", "kubernetes.io/hostname"},
		gang.GPUMemoryKey:         {"40Gi", "40G", "1.001Mi", "1048576", "16Ti", "999999999"},
		gang.GPUProductKey:        {"NVIDIA-H100-80GB-HBM3", "H200,  h100 , H200", "a" + strings.Repeat(",a", 15), "RTX 6000 (Ada)"},
		gang.GPUCapabilityKey:     {"8.9", "10.0", "12.10"},
		gang.GPULinkKey:           {"required:nvlink", "preferred:same-numa", "required:same-switch"},
	} {
		for _, value := range values {
			annotations := map[string]string{key: value}
			switch key {
			case gang.SliceSizeKey:
				annotations[gang.SliceTopologyKey] = "rack"
			case gang.SliceTopologyKey:
				annotations[gang.SliceSizeKey] = "8"
			}
			group, err := tryPodGroup(t, c.Dynamic, annotations)
			require.NoError(t, err, "%s: %s", key, value)
			_, complaint := gang.StatedWish(group, gang.Wish{})
			require.Empty(t, complaint)
		}
	}
}

func testOlder(t *testing.T, c *cluster.Cluster) {
	groups := c.Dynamic.Resource(podGroups).Namespace("default")
	patch := func(text string) error {
		_, err := groups.Patch(t.Context(), "older", types.MergePatchType, []byte(text), metav1.PatchOptions{})
		return err
	}
	require.NoError(t, patch(`{"status":{"phase":"Pending"}}`))
	require.ErrorContains(t, patch(`{"metadata":{"annotations":{"phalanx.dev/gpu-memory":"more"}}}`), "annotation phalanx.dev/gpu-memory must be a quantity")
	require.ErrorContains(t, patch(`{"metadata":{"annotations":{"phalanx.dev/gpu-link":"any"}}}`), "annotation phalanx.dev/gpu-link must be")
	require.NoError(t, patch(`{"metadata":{"annotations":{"phalanx.dev/gpu-link":"required:nvlink"}}}`))
	require.NoError(t, groups.Delete(t.Context(), "older", metav1.DeleteOptions{}))
	require.NoError(t, patch(`{"metadata":{"finalizers":null}}`))
	_, err := groups.Get(t.Context(), "older", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "%v", err)
}

// warnings collects what the API server warns of.
type warnings struct {
	sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.Lock()
	defer w.Unlock()
	w.texts = append(w.texts, text)
}

func testWarning(t *testing.T, c *cluster.Cluster) {
	config, heard := rest.CopyConfig(c.AdminConfig()), &warnings{}
	config.WarningHandler = heard
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	_, err = tryPodGroup(t, client, map[string]string{"phalanx.dev/required-topolgy": "rack"})
	require.NoError(t, err)
	_, err = tryPodGroup(t, client, map[string]string{"phalanx.dev/required-topology": "rack", "example.com/other": "x"})
	require.NoError(t, err)
	require.Len(t, heard.texts, 1)
	require.Contains(t, heard.texts[0], "nobody reads annotation phalanx.dev/required-topolgy")
}

// quotaOnly is the admission that many clusters have: pods of the highest priorities need a quota that names their class.
const quotaOnly = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: pods
      matchScopes:
      - {scopeName: PriorityClass, operator: In, values: [system-node-critical, system-cluster-critical]}
`

func TestOurPodsMayHaveTheirPriorityWhereQuotasSayWho(t *testing.T) {
	file := filepath.Join(t.TempDir(), "admission.yaml")
	require.NoError(t, os.WriteFile(file, []byte(quotaOnly), 0o600))
	c := start(t, controlplane.Options{Controllers: true, APIServerArgs: map[string][]string{"admission-control-config-file": {file}}})
	pods := 0
	for _, w := range workloads(t, render(t, "default")) {
		require.Contains(t, w.Spec.PriorityClassName, "system-", w.name)
		pod := &v1.Pod{ObjectMeta: w.ObjectMeta, Spec: w.Spec}
		pod.Name = "pod"
		pod.Spec.RuntimeClassName = nil // nobody has made it here
		try := func(namespace string) error {
			_, err := c.Client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		}
		require.EventuallyWithT(t, func(t *assert.CollectT) { assert.NoError(t, try(w.namespace), w.name) }, time.Minute, 200*time.Millisecond)
		pod.Spec.ServiceAccountName, pod.Spec.Volumes, pod.Spec.Containers[0].VolumeMounts = "", nil, nil
		require.ErrorContains(t, try("default"), "insufficient quota to match these scopes", w.name)
		pods++
	}
	require.Equal(t, 2, pods)
}
