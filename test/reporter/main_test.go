// Package reporter proves on a real API server what a node's reporter may write, and that it may write nothing else: under its
// ServiceAccount, with tokens of pods that are bound to nodes, and the manifests that users apply.
package reporter

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	authentication "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

const (
	namespace      = "phalanx-reporter"
	serviceAccount = "phalanx-reporter"
	// patience is how long anything may take that takes a moment.
	patience = 60 * time.Second
)

// shared is the cluster of all tests. Each makes nodes of its own.
var shared *cluster.Cluster

func TestMain(m *testing.M) { goleak.VerifyTestMain(controlplane.Suite(func() int { return run(m) })) }

func run(m *testing.M) int {
	ctx := context.Background()
	audit, err := filepath.Abs("testdata/audit.yaml")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared, err = cluster.Start(ctx, cluster.Options{WithoutCRDs: true, Options: controlplane.Options{Progress: os.Stderr, AuditPolicyFile: audit}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = shared.Stop() }()
	if err := shared.Kustomize(ctx, "manifests/reporter"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	runtime := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "nvidia"}, Handler: "nvidia"}
	if _, err := shared.Client.NodeV1().RuntimeClasses().Create(ctx, runtime, metav1.CreateOptions{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// makeNode makes a node with things of others on it, which is gone with the test.
func makeNode(t *testing.T, name string) {
	t.Helper()
	nodes := shared.Client.CoreV1().Nodes()
	node, err := nodes.Create(t.Context(), &v1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Labels:      map[string]string{"example.com/rack": "r1", "phalanx.dev/rack": "r1", "kubernetes.io/hostname": name},
			Annotations: map[string]string{"example.com/note": "theirs"},
			Finalizers:  []string{"example.com/keep"},
		},
		Spec: v1.NodeSpec{Taints: []v1.Taint{{Key: "nvidia.com/gpu", Effect: v1.TaintEffectNoSchedule}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	node.Status = v1.NodeStatus{
		Capacity:   v1.ResourceList{"nvidia.com/gpu": resource.MustParse("8"), "cpu": resource.MustParse("96")},
		Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady", LastTransitionTime: metav1.Now()}},
		Images:     []v1.ContainerImage{{Names: []string{"example.com/image@sha256:0000"}, SizeBytes: 1}},
	}
	_, err = nodes.UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		_, _ = nodes.Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		_ = nodes.Delete(ctx, name, metav1.DeleteOptions{})
	})
}

func getNode(t *testing.T, name string) *v1.Node {
	t.Helper()
	node, err := shared.Client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return node
}

// reporterOn makes the DaemonSet's pod for a node, as its controller would, and returns how it would reach the API server: with the
// token that the pod would get.
func reporterOn(t *testing.T, node string) *rest.Config {
	t.Helper()
	set, err := shared.Client.AppsV1().DaemonSets(namespace).Get(t.Context(), "phalanx-reporter", metav1.GetOptions{})
	require.NoError(t, err)
	pod := &v1.Pod{ObjectMeta: set.Spec.Template.ObjectMeta, Spec: set.Spec.Template.Spec}
	pod.Name, pod.Spec.NodeName = "reporter-"+node, node
	pods := shared.Client.CoreV1().Pods(namespace)
	pod, err = pods.Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err, "the namespace takes restricted pods only")
	t.Cleanup(func() {
		_ = pods.Delete(context.Background(), pod.Name, *metav1.NewDeleteOptions(0))
	})
	return configOf(t, serviceAccount, &authentication.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID})
}

// configOf is with a token of a ServiceAccount in the reporter's namespace.
func configOf(t *testing.T, account string, bound *authentication.BoundObjectReference) *rest.Config {
	t.Helper()
	admin := shared.AdminConfig()
	return &rest.Config{Host: admin.Host, TLSClientConfig: rest.TLSClientConfig{CAData: admin.CAData}, BearerToken: token(t, account, bound), QPS: -1}
}

func clientOf(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

func token(t *testing.T, account string, bound *authentication.BoundObjectReference) string {
	t.Helper()
	request := &authentication.TokenRequest{Spec: authentication.TokenRequestSpec{BoundObjectRef: bound}}
	token, err := shared.Client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, request, metav1.CreateOptions{})
	require.NoError(t, err)
	return token.Status.Token
}

// eventually waits until check has nothing to say.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	said := ""
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		said = check()
		return said == "", nil
	})
	require.NoError(t, err, said)
}
