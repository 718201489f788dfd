package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/demo/fabric"
	"github.com/phalanx-scheduler/phalanx/test/demo/manifest"
	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// stage is what the demo is played on.
type stage struct {
	cluster   *cluster.Cluster
	scheduler *cluster.Scheduler
	// client is for many small requests.
	client    kubernetes.Interface
	hasNative bool

	judge *oracle.Judge
	// tour observes all hosts, replay those that the replay is played on.
	tour, replay *observe.Observer
}

// schedulerConfig tells the scheduler which labels the demo's hosts carry their switches in.
//
//go:embed scheduler.yaml
var schedulerConfig string

// setUp starts everything. What it has started when it fails it stops again.
func setUp(ctx context.Context, o options, s *screen.Screen, f *fabric.Fabric, replayHosts []trace.Host) (*stage, error) {
	if _, err := controlplane.EnsureBinaries(ctx, os.Stdout); err != nil {
		return nil, interrupted(ctx, err)
	}
	st := &stage{judge: oracle.New(oracle.DefaultGrace), tour: observe.New(f, f.Hosts), replay: observe.New(f, replayHosts)}
	for _, step := range []struct {
		label, words string
		do           func() error
	}{
		{"control plane", "etcd, kube-apiserver, kube-controller-manager and kwok, with RBAC on", func() (err error) {
			st.cluster, err = cluster.Start(ctx, cluster.Options{Options: controlplane.Options{
				DataDir: o.keepLogs, Kwok: true, Controllers: true, NativePodGroups: o.hasNative,
			}})
			return err
		}},
		{"fabric", fabricWords(f), func() error { return st.addHosts(ctx, f) }},
		{"scheduler", "phalanx-scheduler, a process of its own with the rights of its ServiceAccount", func() (err error) {
			st.scheduler, err = st.cluster.StartScheduler(ctx, cluster.SchedulerOptions{Config: schedulerConfig, V: 2})
			return err
		}},
	} {
		if err := during(s, step.label, step.words, step.do); err != nil {
			return nil, errors.Join(interrupted(ctx, err), st.tearDown())
		}
	}
	return st, nil
}

// interrupted replaces the many ways in which a step says that it was interrupted.
func interrupted(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func fabricWords(f *fabric.Fabric) string {
	cores, spines, leaves := f.Count()
	return fmt.Sprintf("%s with %d GPUs each, below %s, %s and %s", screen.Plural(len(f.Hosts), "host"), trace.GPUsPerHost,
		screen.Plural(leaves, "leaf switch"), screen.Plural(spines, "spine switch"), screen.Plural(cores, "core switch"))
}

// addHosts creates the nodes, and watches pods from then on.
func (st *stage) addHosts(ctx context.Context, f *fabric.Fabric) error {
	config := st.cluster.AdminConfig()
	config.ContentType = "application/vnd.kubernetes.protobuf"
	var err error
	if st.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if st.hasNative, err = serves(st.client, manifest.Native); err != nil {
		return err
	}
	nodes := f.Nodes()
	for _, node := range nodes {
		st.judge.SetNode(time.Now(), node)
	}
	if err := controlplane.CreateNodes(ctx, st.client, nodes); err != nil {
		return err
	}
	return st.watchPods(ctx)
}

func serves(client kubernetes.Interface, dialect manifest.Dialect) (bool, error) {
	list, err := client.Discovery().ServerResourcesForGroupVersion(dialect.Resource.GroupVersion().String())
	if err != nil || list == nil {
		return false, ignoreNotFound(err)
	}
	for _, r := range list.APIResources {
		if r.Name == dialect.Resource.Resource {
			return true, nil
		}
	}
	return false, nil
}

// watchPods lets the judge and the observers see all pods, in the order in which they change.
func (st *stage) watchPods(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(st.client, 0, informers.WithTransform(func(object any) (any, error) {
		if pod, ok := object.(*corev1.Pod); ok {
			pod.ManagedFields = nil
		}
		return object, nil
	}))
	pods := factory.Core().V1().Pods().Informer()
	handler := oracle.Handler(time.Now, func(at time.Time, kind watch.EventType, pod *corev1.Pod) {
		st.judge.Observe(at, kind, pod)
		st.tour.Observe(at, kind, pod)
		st.replay.Observe(at, kind, pod)
	})
	if _, err := pods.AddEventHandler(handler); err != nil {
		return err
	}
	factory.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced) {
		return context.Cause(ctx)
	}
	return nil
}

// guard returns a context that ends when a process that must run has ended.
func (st *stage) guard(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := errors.Join(st.cluster.Failure(), st.scheduler.Failure()); err != nil {
				cancel(err)
			}
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// tearDown stops everything that was started.
func (st *stage) tearDown() error {
	if st.cluster == nil {
		return nil
	}
	var err error
	if st.scheduler != nil && st.scheduler.Failure() == nil {
		err = st.scheduler.Stop()
	}
	return errors.Join(err, st.cluster.Stop())
}

// kubeconfig writes a kubeconfig with which one may do everything, and returns its path.
func (st *stage) kubeconfig() (string, error) {
	raw, err := st.cluster.Kubeconfig("you", "system:masters")
	if err != nil {
		return "", err
	}
	path, err := st.cluster.WriteKubeconfig("admin", raw)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}
