package controlplane_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// TestControlPlane looks at one control plane from all sides: starting one for each would take most of the time.
func TestControlPlane(t *testing.T) {
	plane, client := start(t, controlplane.Options{Kwok: true, Controllers: true})

	t.Run("discovery says v1.37.2", func(t *testing.T) {
		version, err := client.Discovery().ServerVersion()
		require.NoError(t, err)
		assert.Equal(t, "v1.37.2", version.GitVersion)
		assert.Equal(t, "1", version.Major)
		assert.Equal(t, "37", version.Minor)
	})

	t.Run("a native PodGroup is not served unless asked for", func(t *testing.T) {
		_, err := client.SchedulingV1beta1().PodGroups("default").List(t.Context(), metav1.ListOptions{})
		assert.True(t, apierrors.IsNotFound(err), "got %v", err)
	})

	t.Run("an unknown user is refused, an unknown certificate not even known", func(t *testing.T) {
		kubeconfig, err := plane.Kubeconfig("mallory", "strangers")
		require.NoError(t, err)
		_, err = clientFrom(t, kubeconfig).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		assert.True(t, apierrors.IsForbidden(err), "got %v", err)
		assert.ErrorContains(t, err, `User "mallory"`)

		config := plane.AdminConfig()
		config.CertData, config.KeyData, config.BearerToken = nil, nil, "made-up"
		_, err = clientFor(t, config).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		assert.True(t, apierrors.IsUnauthorized(err), "got %v", err)
	})

	t.Run("the kubeconfig of a service account authenticates as that account, which may do nothing", func(t *testing.T) {
		kubeconfig, err := plane.KubeconfigForServiceAccount(t.Context(), "default", "default")
		require.NoError(t, err)
		account := clientFrom(t, kubeconfig)
		review, err := account.AuthenticationV1().SelfSubjectReviews().Create(t.Context(),
			&authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		require.NoError(t, err)
		assert.Equal(t, "system:serviceaccount:default:default", review.Status.UserInfo.Username)
		_, err = account.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		assert.True(t, apierrors.IsForbidden(err), "got %v", err)
	})

	t.Run("a kubeconfig can be written for processes that take a path", func(t *testing.T) {
		kubeconfig, err := plane.Kubeconfig("somebody")
		require.NoError(t, err)
		path, err := plane.WriteKubeconfig("somebody", kubeconfig)
		require.NoError(t, err)
		_, err = clientcmd.LoadFromFile(path)
		assert.NoError(t, err)
	})

	t.Run("nodes", func(t *testing.T) { testNodes(t, client) })
	t.Run("pods", func(t *testing.T) { testPods(t, client) })
	t.Run("nothing stopped meanwhile", func(t *testing.T) { assert.NoError(t, plane.Failure()) })
}

func testNodes(t *testing.T, client kubernetes.Interface) {
	t.Run("50 fake nodes are Ready, with GPUs and without taints", func(t *testing.T) {
		var nodes []*corev1.Node
		for i := range 50 {
			nodes = append(nodes, controlplane.NewNode(controlplane.FakeNode{
				Name: fmt.Sprintf("gpu-%d", i), Labels: map[string]string{"rack": fmt.Sprint(i / 10)}, GPUs: 8,
			}))
		}
		require.NoError(t, controlplane.CreateNodes(t.Context(), client, nodes))
		list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "rack"})
		require.NoError(t, err)
		require.Len(t, list.Items, 50)
		for _, node := range list.Items {
			assert.True(t, isNodeReady(&node), node.Name)
			assert.Empty(t, node.Spec.Taints, node.Name)
			assert.Equal(t, int64(8), ptr.To(node.Status.Allocatable[controlplane.ResourceGPU]).Value())
			assert.Equal(t, int64(110), node.Status.Allocatable.Pods().Value())
		}
	})

	t.Run("a node written by hand becomes Ready by kwok and keeps its capacity", func(t *testing.T) {
		node := controlplane.NewNode(controlplane.FakeNode{Name: "by-hand", GPUs: 4})
		node.Status.Conditions = nil
		require.NoError(t, controlplane.CreateNodes(t.Context(), client, []*corev1.Node{node}))
		eventually(t, func(ctx context.Context) (string, error) {
			node, err := client.CoreV1().Nodes().Get(ctx, "by-hand", metav1.GetOptions{})
			if err != nil || isNodeReady(node) {
				return "", err
			}
			return fmt.Sprintf("Ready in %v", node.Status.Conditions), nil
		})
		node, err := client.CoreV1().Nodes().Get(t.Context(), "by-hand", metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, int64(4), ptr.To(node.Status.Allocatable[controlplane.ResourceGPU]).Value())
	})

	t.Run("a node that exists is an error that names it", func(t *testing.T) {
		err := controlplane.CreateNodes(t.Context(), client, []*corev1.Node{
			controlplane.NewNode(controlplane.FakeNode{Name: "by-hand"}),
		})
		assert.True(t, apierrors.IsAlreadyExists(err), "got %v", err)
		assert.ErrorContains(t, err, "by-hand")
	})
}

func testPods(t *testing.T, client kubernetes.Interface) {
	t.Run("a job whose pods are bound by hand runs and is Complete after run-for", func(t *testing.T) {
		job := newJob("completes", 3, map[string]string{controlplane.AnnotationRunFor: "2s"})
		pods := createAndBind(t, client, job)

		eventually(t, func(ctx context.Context) (string, error) { return phases(ctx, client, pods, corev1.PodRunning) })
		pod, err := client.CoreV1().Pods("default").Get(t.Context(), pods[0], metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, corev1.ConditionTrue, podCondition(pod, corev1.PodReady))
		assert.NotEmpty(t, pod.Status.PodIP)

		eventually(t, func(ctx context.Context) (string, error) {
			return jobCondition(ctx, client, job.Name, batchv1.JobComplete)
		})
		pod, err = client.CoreV1().Pods("default").Get(t.Context(), pods[0], metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, corev1.PodSucceeded, pod.Status.Phase)
		assert.Equal(t, corev1.ConditionFalse, podCondition(pod, corev1.PodReady))
		assert.Equal(t, corev1.ConditionTrue, podCondition(pod, corev1.PodScheduled))
		terminated := pod.Status.ContainerStatuses[0].State.Terminated
		require.NotNil(t, terminated)
		ran := terminated.FinishedAt.Sub(terminated.StartedAt.Time)
		assert.GreaterOrEqual(t, ran, 2*time.Second)
	})

	t.Run("a job whose member fails is Failed", func(t *testing.T) {
		job := newJob("fails", 2, map[string]string{controlplane.AnnotationFailAfter: "1s", controlplane.AnnotationRunFor: "1h"})
		pods := createAndBind(t, client, job)
		eventually(t, func(ctx context.Context) (string, error) {
			return jobCondition(ctx, client, job.Name, batchv1.JobFailed)
		})
		eventually(t, func(ctx context.Context) (string, error) { return phases(ctx, client, pods[:1], corev1.PodFailed) })
		pod, err := client.CoreV1().Pods("default").Get(t.Context(), pods[0], metav1.GetOptions{})
		require.NoError(t, err)
		require.NotNil(t, pod.Status.ContainerStatuses[0].State.Terminated)
		assert.Equal(t, int32(1), pod.Status.ContainerStatuses[0].State.Terminated.ExitCode)
	})

	t.Run("a change of a running pod does not put off its end", func(t *testing.T) {
		pod := newPod("changed", map[string]string{controlplane.AnnotationRunFor: "3s"})
		createPodAndBind(t, client, pod)
		changes := 0
		eventually(t, func(ctx context.Context) (string, error) {
			changes++
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{"change":"%d"}}}`, changes)
			pod, err := client.CoreV1().Pods("default").Patch(ctx, pod.Name, "application/merge-patch+json", patch, metav1.PatchOptions{})
			if err != nil || pod.Status.Phase == corev1.PodSucceeded {
				return "", err
			}
			return fmt.Sprintf("Succeeded, is %s after %d changes", pod.Status.Phase, changes), nil
		})
		got, err := client.CoreV1().Pods("default").Get(t.Context(), pod.Name, metav1.GetOptions{})
		require.NoError(t, err)
		terminated := got.Status.ContainerStatuses[0].State.Terminated
		assert.Less(t, terminated.FinishedAt.Sub(terminated.StartedAt.Time), 6*time.Second)
		assert.Greater(t, changes, 10)
	})

	t.Run("a pod with an annotation that is no duration runs on", func(t *testing.T) {
		odd := newPod("odd", map[string]string{controlplane.AnnotationRunFor: "soon", controlplane.AnnotationFailAfter: "-1s"})
		createPodAndBind(t, client, odd)
		// Another pod that was bound later, and is done, shows that the first was let alone.
		after := newPod("after-odd", map[string]string{controlplane.AnnotationRunFor: "1m1s", controlplane.AnnotationFailAfter: "1.5s"})
		createPodAndBind(t, client, after)
		eventually(t, func(ctx context.Context) (string, error) {
			return phases(ctx, client, []string{after.Name}, corev1.PodFailed)
		})
		missing, err := phases(t.Context(), client, []string{odd.Name}, corev1.PodRunning)
		require.NoError(t, err)
		assert.Empty(t, missing)
	})

	t.Run("a running pod that is deleted vanishes", func(t *testing.T) {
		require.NoError(t, client.CoreV1().Pods("default").Delete(t.Context(), "odd", metav1.DeleteOptions{}))
		eventually(t, func(ctx context.Context) (string, error) { return gone(ctx, client, "odd") })
	})

	t.Run("a running pod of a job that is deleted ends as failed before it vanishes", func(t *testing.T) {
		job := newJob("loses-a-pod", 1, nil)
		// Such a job neither counts a pod nor lets go of it before its containers are known to have ended.
		job.Spec.PodReplacementPolicy = ptr.To(batchv1.Failed)
		pods := createAndBind(t, client, job)
		eventually(t, func(ctx context.Context) (string, error) { return phases(ctx, client, pods, corev1.PodRunning) })
		require.NoError(t, client.CoreV1().Pods("default").Delete(t.Context(), pods[0], metav1.DeleteOptions{}))
		eventually(t, func(ctx context.Context) (string, error) { return gone(ctx, client, pods[0]) })
		eventually(t, func(ctx context.Context) (string, error) {
			return jobCondition(ctx, client, job.Name, batchv1.JobFailed)
		})
	})
}

// TestNativePodGroups: the API that Kubernetes has switched off is there when asked for, with its controller.
func TestNativePodGroups(t *testing.T) {
	plane, client := start(t, controlplane.Options{NativePodGroups: true, Controllers: true})
	groups := client.SchedulingV1beta1().PodGroups("default")
	group, err := groups.Create(t.Context(), &schedulingv1beta1.PodGroup{
		ObjectMeta: metav1.ObjectMeta{Name: "gang"},
		Spec: schedulingv1beta1.PodGroupSpec{
			SchedulingPolicy: schedulingv1beta1.PodGroupSchedulingPolicy{
				Gang: &schedulingv1beta1.GangSchedulingPolicy{MinCount: 3},
			},
			SchedulingConstraints: &schedulingv1beta1.PodGroupSchedulingConstraints{
				Topology: []schedulingv1beta1.TopologyConstraint{{Key: "rack"}},
			},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	assert.Equal(t, int32(3), group.Spec.SchedulingPolicy.Gang.MinCount)
	require.NotNil(t, group.Spec.SchedulingConstraints, "the gate for topology is off")
	assert.NotEmpty(t, group.Finalizers)

	require.NoError(t, groups.Delete(t.Context(), "gang", metav1.DeleteOptions{}))
	eventually(t, func(ctx context.Context) (string, error) {
		_, err := groups.Get(ctx, "gang", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		return "the end of the group", err
	})
	assert.NoError(t, plane.Failure())
}

// TestCRDsAndAudit: what a given data directory gets, and what is kept of it.
func TestCRDsAndAudit(t *testing.T) {
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	require.NoError(t, os.WriteFile(policy, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"), 0o600))
	crd := filepath.Join(dir, "crd.yaml")
	require.NoError(t, os.WriteFile(crd, []byte(widgetCRD), 0o600))

	options := controlplane.Options{DataDir: filepath.Join(dir, "data"), CRDPaths: []string{crd}, AuditPolicyFile: policy}
	plane, client := start(t, options)

	resources, err := client.Discovery().ServerResourcesForGroupVersion("example.com/v1")
	require.NoError(t, err)
	assert.Equal(t, "widgets", resources.APIResources[0].Name)

	_, err = controlplane.Start(t.Context(), options)
	assert.ErrorContains(t, err, "another control plane uses it")

	// Stop does not wait for somebody who watches.
	watcher, err := client.CoreV1().Pods("").Watch(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	defer watcher.Stop()
	require.NoError(t, plane.Stop())
	log, err := os.ReadFile(plane.AuditLogPath())
	require.NoError(t, err)
	assert.Contains(t, string(log), `"username":"admin"`)
	assert.FileExists(t, plane.LogPath("kube-apiserver"))
}

const widgetCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`

// TestStartFails: what a caller sees when a process does not come up, and that nothing stays.
func TestStartFails(t *testing.T) {
	dir, err := controlplane.EnsureBinaries(t.Context(), os.Stderr)
	require.NoError(t, err)

	t.Run("a flag that the API server does not know is named", func(t *testing.T) {
		data := t.TempDir()
		_, err := controlplane.Start(t.Context(), controlplane.Options{
			BinDir: dir, DataDir: data, APIServerArgs: map[string][]string{"no-such-flag": {"x"}},
		})
		assert.ErrorContains(t, err, "kube-apiserver.log ends with")
		assert.ErrorContains(t, err, "unknown flag: --no-such-flag")
		assert.Empty(t, processesOf(t, data))
	})

	t.Run("a flag that the controller manager does not know is named", func(t *testing.T) {
		data := t.TempDir()
		_, err := controlplane.Start(t.Context(), controlplane.Options{
			BinDir: dir, DataDir: data, Controllers: true, ControllerManagerArgs: map[string][]string{"no-such-flag": {"x"}},
		})
		assert.ErrorContains(t, err, "kube-controller-manager.log ends with")
		assert.ErrorContains(t, err, "unknown flag: --no-such-flag")
		assert.Empty(t, processesOf(t, data))
	})

	t.Run("a start that is given up leaves nothing", func(t *testing.T) {
		data := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := controlplane.Start(ctx, controlplane.Options{BinDir: dir, DataDir: data, Kwok: true, Controllers: true})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Empty(t, processesOf(t, data))
	})
}
