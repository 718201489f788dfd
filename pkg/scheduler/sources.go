package scheduler

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/scribe"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
	gpuplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

const (
	// pollInterval is how soon a dialect, or HyperNodes, are noticed whose CRD comes or goes while we run.
	pollInterval = 5 * time.Second
	// patience is how long the start waits for the PodGroups of one dialect, and for the HyperNodes. After it the dialect's
	// gangs wait, and nobody else does.
	patience = 15 * time.Second
	// writerShare is the part of the client's rate that the scribe and the sources get for themselves.
	writerShare = 0.1
)

// edge is where dialects become Kubernetes: the ledger, what fills it, and the client that writes for it.
type edge struct {
	ledger     *ledger.Ledger
	hyperNodes *hypernode.Set
	fleet      *gpuplugin.Fleet
	queue      *scribe.Queue
	sources    *sources
	mender     *mender
	client     kubernetes.Interface
	dynamic    dynamic.Interface
}

func newEdge(kubeConfig *rest.Config, cfg *config.KubeSchedulerConfiguration) (*edge, error) {
	policies, err := repairPolicies(cfg)
	if err != nil {
		return nil, err
	}
	// A rate limit of its own: what is told to users never waits behind binds, nor holds one up.
	own := rest.AddUserAgent(rest.CopyConfig(kubeConfig), "scribe")
	own.QPS, own.Burst = kubeConfig.QPS*writerShare, int(float32(kubeConfig.Burst)*writerShare)
	client, err := kubernetes.NewForConfig(own)
	if err != nil {
		return nil, err
	}
	asJSON := rest.CopyConfig(own)
	asJSON.ContentType, asJSON.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON // all that CRDs speak
	dynamicClient, err := dynamic.NewForConfig(asJSON)
	if err != nil {
		return nil, err
	}
	e := &edge{hyperNodes: hypernode.NewSet(), fleet: gpuplugin.NewFleet(clock.RealClock{}), queue: scribe.NewQueue(clock.RealClock{}), client: client, dynamic: dynamicClient}
	all := dialects()
	e.ledger = ledger.New(all, profileNames(cfg), e.queue.Changed)
	e.mender = newMender(e.ledger, client)
	e.ledger.Repair(repair.Options{Policies: policies, Clock: clock.RealClock{}, Ended: countRepair, Restart: e.mender.queue.Add})
	e.sources = &sources{ledger: e.ledger, client: client, dynamic: dynamicClient, discovery: client.Discovery()}
	for _, dialect := range all {
		e.sources.optional = append(e.sources.optional, source{dialect.Name() + " podgroups", dialect.Resource(), e.ledger.GroupStore(dialect)})
	}
	e.sources.optional = append(e.sources.optional, source{"hypernodes", hypernode.Resource, e.hyperNodes})
	return e, nil
}

// informers returns the core's informer factory, in which the pods and PodGroups are the ledger's.
func (e *edge) informers(client kubernetes.Interface, opts *options.Options) informers.SharedInformerFactory {
	// Not the core's own constructor: it claims the pod informer, and the first to claim one decides what it reads.
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithInformerName(opts.InformerName))
	indexers := func() cache.Indexers { return cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc} }
	factory.InformerFor(&v1.Pod{}, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
		return cache.NewSharedIndexInformer(e.ledger.Pods.ListerWatcher(), &v1.Pod{}, 0, indexers())
	})
	factory.InformerFor(&schedulingv1beta1.PodGroup{}, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
		return cache.NewSharedIndexInformer(e.ledger.Groups.ListerWatcher(), &schedulingv1beta1.PodGroup{}, 0, indexers())
	})
	e.watchBeside(factory)
	return factory
}

// watchBeside books what the ledger needs beside pods and groups.
func (e *edge) watchBeside(factory informers.SharedInformerFactory) {
	setClass := func(object any, isGone bool) {
		if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		if class, ok := object.(*schedulingv1.PriorityClass); ok {
			e.ledger.SetPriorityClass(class.Name, class.Value, isGone)
		}
	}
	_, _ = factory.Scheduling().V1().PriorityClasses().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { setClass(object, false) },
		UpdateFunc: func(_, object any) { setClass(object, false) },
		DeleteFunc: func(object any) { setClass(object, true) },
	})
	setNode := func(object any, isGone bool) {
		if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		if node, ok := object.(*v1.Node); ok {
			allocatable := node.Status.Allocatable
			if isGone {
				allocatable = nil
			}
			e.ledger.SetNode(node.Name, allocatable)
		}
	}
	_, _ = factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { setNode(object, false) },
		UpdateFunc: func(_, object any) { setNode(object, false) },
		DeleteFunc: func(object any) { setNode(object, true) },
	})
}

// sources fill the ledger and the set of HyperNodes from the API server.
type sources struct {
	ledger    *ledger.Ledger
	optional  []source
	client    kubernetes.Interface
	dynamic   dynamic.Interface
	discovery discovery.DiscoveryInterface
}

// source is a resource that the API server may serve or not, and who takes in its objects.
type source struct {
	name     string // for logs
	resource schema.GroupVersionResource
	store    cache.ReflectorStore
}

// run fills the ledger and the set until the context is done. The core sees pods and groups once all has been listed: a gang
// that is placed before the HyperNodes are known stays where they would not have it.
func (s *sources) run(ctx context.Context) {
	var group, listed sync.WaitGroup
	listed.Add(1 + len(s.optional))
	group.Go(func() {
		store := &signalling{ReflectorStore: s.ledger.PodStore(), filled: sync.OnceFunc(listed.Done)}
		cache.NewReflectorWithOptions(s.pods(), &v1.Pod{}, store, cache.ReflectorOptions{Name: "pods"}).RunWithContext(ctx)
	})
	for _, from := range s.optional {
		group.Go(func() { s.follow(ctx, from, sync.OnceFunc(listed.Done)) })
	}
	go func() { // ends with the last list; a process that is told to stop before does not wait for it
		listed.Wait()
		s.ledger.Recall()
		s.ledger.Groups.Ready()
		s.ledger.Pods.Ready()
	}()
	group.Wait()
}

func (s *sources) pods() cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return s.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return s.client.CoreV1().Pods(metav1.NamespaceAll).Watch(ctx, o)
		},
	}, s.client)
}

// follow reflects a source while the API server serves it. It calls settled once its objects are listed, or known not to be
// served, or have kept everybody waiting long enough.
func (s *sources) follow(ctx context.Context, from source, settled func()) {
	logger := klog.FromContext(ctx).WithValues("source", from.name, "resource", from.resource.String())
	timer := time.AfterFunc(patience, settled)
	defer timer.Stop()
	var current *reflection // nil while the source is not served
	defer func() { current.stop() }()
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		names, err := resourcesOf(s.discovery, from.resource.GroupVersion())
		if err != nil {
			logger.Error(err, "The API server does not say whether it serves a source, asking again")
			return
		}
		switch isServed := names[from.resource.Resource]; {
		case isServed && current == nil:
			logger.Info("Following a source")
			current = s.reflect(ctx, from, settled)
		case !isServed && current != nil:
			logger.Info("The API server ceased to serve a source")
			current.stop()
			current = nil
			_ = from.store.Replace(nil, "")
		case !isServed:
			settled()
		}
	}, pollInterval)
}

// reflection is a reflector at work.
type reflection struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// stop ends the reflector and waits until it has written for the last time.
func (r *reflection) stop() {
	if r != nil {
		r.cancel()
		<-r.done
	}
}

func (s *sources) reflect(ctx context.Context, from source, filled func()) *reflection {
	objects := s.dynamic.Resource(from.resource) // of all namespaces
	lw := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return objects.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return objects.Watch(ctx, o)
		},
	}, s.dynamic)
	store := &signalling{ReflectorStore: from.store, filled: filled}
	reflector := cache.NewReflectorWithOptions(lw, &unstructured.Unstructured{}, store, cache.ReflectorOptions{
		Name: from.name, TypeDescription: from.resource.String(),
	})
	ctx, cancel := context.WithCancel(ctx)
	r := &reflection{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		reflector.RunWithContext(ctx)
	}()
	return r
}

// signalling tells whenever its store has been filled with a list.
type signalling struct {
	cache.ReflectorStore
	filled func()
}

// Replace implements cache.ReflectorStore.
func (s *signalling) Replace(objects []any, version string) error {
	if err := s.ReflectorStore.Replace(objects, version); err != nil {
		return err
	}
	s.filled()
	return nil
}

// volcanoJobs looks up which scheduler the Volcano Job that owns a PodGroup asks for.
func volcanoJobs(client dynamic.Interface) scribe.OwnerLookup {
	jobs := schema.GroupVersionResource{Group: "batch.volcano.sh", Version: "v1alpha1", Resource: "jobs"}
	return func(ctx context.Context, namespace string, owner metav1.OwnerReference) (string, bool, error) {
		if gv, err := schema.ParseGroupVersion(owner.APIVersion); err != nil || gv.Group != jobs.Group || owner.Kind != "Job" {
			return "", false, nil
		}
		job, err := client.Resource(jobs).Namespace(namespace).Get(ctx, owner.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return "", false, nil
		}
		if err != nil {
			return "", false, fmt.Errorf("owner of a PodGroup: %w", err)
		}
		name, _, _ := unstructured.NestedString(job.Object, "spec", "schedulerName")
		if name == "" {
			name = scribe.VolcanoProfile
		}
		return name, true, nil
	}
}
