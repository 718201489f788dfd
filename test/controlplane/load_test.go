package controlplane_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// The load of the demo: its nodes, and the pods of its busiest stretch.
const (
	loadNodes      = 847
	loadJobs       = 26
	loadPodsPerJob = 102
	loadPods       = loadJobs * loadPodsPerJob
)

// BenchmarkLife measures the control plane itself under the load of the demo, without a scheduler: jobs make their pods,
// the benchmark binds each as soon as it sees it, kwok runs it, and each ends after its time. It tells what of a slow
// demo is the scheduler's.
func BenchmarkLife(b *testing.B) {
	dir, err := controlplane.EnsureBinaries(b.Context(), os.Stderr)
	require.NoError(b, err)
	for b.Loop() {
		begin := time.Now()
		plane, err := controlplane.Start(b.Context(), controlplane.Options{BinDir: dir, Kwok: true, Controllers: true})
		require.NoError(b, err)
		b.Cleanup(func() { _ = plane.Stop() })
		b.ReportMetric(time.Since(begin).Seconds(), "s-start")
		config := plane.AdminConfig()
		config.ContentType = "application/vnd.kubernetes.protobuf"
		client, err := kubernetes.NewForConfig(config)
		require.NoError(b, err)
		live(b, client)
		require.NoError(b, plane.Stop())
	}
}

// live goes through the whole load once.
func live(b *testing.B, client kubernetes.Interface) {
	var nodes []*corev1.Node
	for i := range loadNodes {
		nodes = append(nodes, controlplane.NewNode(controlplane.FakeNode{Name: fmt.Sprintf("node-%d", i), GPUs: 8}))
	}
	begin := time.Now()
	require.NoError(b, controlplane.CreateNodes(b.Context(), client, nodes))
	b.ReportMetric(time.Since(begin).Seconds(), "s-nodes")

	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	events := make(chan *corev1.Pod, 10*loadPods)
	informers := informers.NewSharedInformerFactory(client, 0)
	_, err := informers.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(pod any) { events <- pod.(*corev1.Pod) },
		UpdateFunc: func(_, pod any) { events <- pod.(*corev1.Pod) },
	})
	require.NoError(b, err)
	informers.StartWithContext(ctx)
	informers.WaitForCacheSync(ctx.Done())

	begin = time.Now()
	for i := range loadJobs {
		job := newJob(fmt.Sprintf("job-%d", i), loadPodsPerJob, map[string]string{controlplane.AnnotationRunFor: "20s"})
		_, err := client.BatchV1().Jobs("default").Create(ctx, job, metav1.CreateOptions{})
		require.NoError(b, err)
	}
	follow(b, ctx, client, events, begin)

	for i := range loadJobs {
		eventually(b, func(ctx context.Context) (string, error) {
			return jobCondition(ctx, client, fmt.Sprintf("job-%d", i), batchv1.JobComplete)
		})
	}
	b.ReportMetric(time.Since(begin).Seconds(), "s-all-complete")
}

// follow binds every new pod and measures when the pods got how far.
func follow(b *testing.B, ctx context.Context, client kubernetes.Interface, events <-chan *corev1.Pod, begin time.Time) {
	unbound := make(chan *corev1.Binding, loadPods)
	bindings, ctx := errgroup.WithContext(ctx)
	for range 16 {
		bindings.Go(func() error {
			for binding := range unbound {
				if err := client.CoreV1().Pods("default").Bind(ctx, binding, metav1.CreateOptions{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	created, running, succeeded := map[string]bool{}, map[string]bool{}, map[string]bool{}
	boundAt := map[string]time.Time{}
	var delays []time.Duration
	for len(succeeded) < loadPods {
		pod := <-events
		if !created[pod.Name] {
			created[pod.Name] = true
			unbound <- &corev1.Binding{
				ObjectMeta: metav1.ObjectMeta{Name: pod.Name},
				Target:     corev1.ObjectReference{Kind: "Node", Name: fmt.Sprintf("node-%d", len(created)%loadNodes)},
			}
			if len(created) == loadPods {
				b.ReportMetric(time.Since(begin).Seconds(), "s-all-created")
			}
		}
		if pod.Spec.NodeName != "" && boundAt[pod.Name].IsZero() {
			boundAt[pod.Name] = time.Now()
		}
		if pod.Status.Phase == corev1.PodRunning && !running[pod.Name] {
			running[pod.Name] = true
			delays = append(delays, time.Since(boundAt[pod.Name]))
			if len(running) == loadPods {
				b.ReportMetric(time.Since(begin).Seconds(), "s-all-running")
			}
		}
		if pod.Status.Phase == corev1.PodSucceeded {
			succeeded[pod.Name] = true
		}
	}
	b.ReportMetric(time.Since(begin).Seconds(), "s-all-succeeded")
	slices.Sort(delays)
	b.ReportMetric(delays[len(delays)/2].Seconds(), "s-bound-to-running-p50")
	b.ReportMetric(delays[len(delays)*99/100].Seconds(), "s-bound-to-running-p99")
	close(unbound)
	require.NoError(b, bindings.Wait())
}
