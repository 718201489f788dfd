package controlplane_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
)

func isNodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == kind {
			return condition.Status
		}
	}
	return "missing"
}

func newPod(name string, annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations},
		Spec: corev1.PodSpec{
			// Nobody schedules here but the test.
			SchedulerName: "nobody",
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "main", Image: "none"}},
		},
	}
}

func newJob(name string, pods int32, annotations map[string]string) *batchv1.Job {
	pod := newPod("", annotations)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			Parallelism: &pods, Completions: &pods, BackoffLimit: ptr.To(int32(0)),
			Template: corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec},
		},
	}
}

// createAndBind creates the job, waits for its pods and binds each to a node of its own.
func createAndBind(t *testing.T, client kubernetes.Interface, job *batchv1.Job) []string {
	t.Helper()
	_, err := client.BatchV1().Jobs("default").Create(t.Context(), job, metav1.CreateOptions{})
	require.NoError(t, err)
	var names []string
	eventually(t, func(ctx context.Context) (string, error) {
		var err error
		names, err = podNames(ctx, client, job.Name)
		if err != nil || len(names) == int(*job.Spec.Parallelism) {
			return "", err
		}
		return fmt.Sprintf("pods of %s, there are %d", job.Name, len(names)), nil
	})
	for i, name := range names {
		bind(t, client, name, fmt.Sprintf("gpu-%d", i))
	}
	return names
}

func createPodAndBind(t *testing.T, client kubernetes.Interface, pod *corev1.Pod) {
	t.Helper()
	_, err := client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
	bind(t, client, pod.Name, "gpu-0")
}

func bind(t *testing.T, client kubernetes.Interface, pod, node string) {
	t.Helper()
	require.NoError(t, client.CoreV1().Pods("default").Bind(t.Context(), &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod}, Target: corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{}))
}

func podNames(ctx context.Context, client kubernetes.Interface, job string) ([]string, error) {
	list, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
	var names []string
	for _, pod := range list.Items {
		names = append(names, pod.Name)
	}
	return names, err
}

func phases(ctx context.Context, client kubernetes.Interface, pods []string, want corev1.PodPhase) (string, error) {
	for _, name := range pods {
		pod, err := client.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		if pod.Status.Phase != want {
			return fmt.Sprintf("%s of %s, which is %s", want, name, pod.Status.Phase), nil
		}
	}
	return "", nil
}

func jobCondition(ctx context.Context, client kubernetes.Interface, name string, want batchv1.JobConditionType) (string, error) {
	job, err := client.BatchV1().Jobs("default").Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	for _, condition := range job.Status.Conditions {
		if condition.Type == want && condition.Status == corev1.ConditionTrue {
			return "", nil
		}
	}
	return fmt.Sprintf("%s in %+v", want, job.Status), nil
}

func gone(ctx context.Context, client kubernetes.Interface, pod string) (string, error) {
	_, err := client.CoreV1().Pods("default").Get(ctx, pod, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	return pod + " to be gone", err
}

// httpClientFor makes the client's connections something that a test can close, so that goleak finds none.
func httpClientFor(t *testing.T, config *rest.Config) *http.Client {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	return client
}

func clientFor(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	httpClient := httpClientFor(t, config)
	t.Cleanup(httpClient.CloseIdleConnections)
	client, err := kubernetes.NewForConfigAndClient(config, httpClient)
	require.NoError(t, err)
	return client
}

func clientFrom(t *testing.T, kubeconfig []byte) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	require.NoError(t, err)
	return clientFor(t, config)
}
