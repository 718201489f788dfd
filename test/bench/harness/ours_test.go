package harness

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	core "k8s.io/kubernetes/pkg/scheduler"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/native"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
	gangplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gang"
	gpuplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

// edge puts our plugins into a scheduler that upstream's harness builds, which leaves no place for an informer factory of
// ours. In production pods and PodGroups go through the ledger and from there to the core. Here they go past it: the
// informers' transforms show each change to the ledger before any handler of the core sees it, so that the ledger is never
// behind, and costs what it costs in production.
type edge struct {
	ledger *ledger.Ledger // nil unless the profile has our plugins
	fleet  *gpuplugin.Fleet
}

// gang is the factory of the plugin.
func (e *edge) gang(ctx context.Context, args runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
	if err := e.follow(handle.SharedInformerFactory()); err != nil {
		return nil, err
	}
	return gangplugin.Factory(e.ledger, hypernode.NewSet(), e.fleet)(ctx, args, handle)
}

// sort is the factory of the plugin that orders the queue.
func (e *edge) sort(ctx context.Context, args runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
	if err := e.follow(handle.SharedInformerFactory()); err != nil {
		return nil, err
	}
	return gangplugin.SortFactory(e.ledger)(ctx, args, handle)
}

// wrap puts our answers where the core asks nobody, as the production binary does. Without it a gang could be placed in part.
func (e *edge) wrap(sched *core.Scheduler) {
	if e.ledger != nil {
		gangplugin.Attach(sched)
	}
}

// follow builds the ledger and has the informers fill it, once.
func (e *edge) follow(factory informers.SharedInformerFactory) error {
	if e.ledger != nil {
		return nil
	}
	dialect := native.New()
	e.ledger = ledger.New([]gang.Dialect{dialect}, []string{v1.DefaultSchedulerName}, func(gang.Key) {})
	if err := followPods(factory.Core().V1().Pods().Informer(), e.ledger.PodStore()); err != nil {
		return fmt.Errorf("follow pods: %w", err)
	}
	if err := followGroups(factory.Scheduling().V1beta1().PodGroups().Informer(), e.ledger.GroupStore(dialect)); err != nil {
		return fmt.Errorf("follow PodGroups: %w", err)
	}
	return followNodes(factory.Core().V1().Nodes().Informer(), e.ledger)
}

func followPods(informer cache.SharedIndexInformer, store cache.ReflectorStore) error {
	return followWith(informer, store, func(object any) any {
		pod, ok := object.(*v1.Pod)
		if !ok {
			return nil
		}
		pod.ManagedFields = nil // what the core's own transform does, which this one takes the place of
		own := *pod             // the ledger stamps what it is given with versions of its own
		return &own
	})
}

func followGroups(informer cache.SharedIndexInformer, store cache.ReflectorStore) error {
	return followWith(informer, store, func(object any) any {
		group, ok := object.(*schedulingv1beta1.PodGroup)
		if !ok {
			return nil
		}
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(group)
		if err != nil {
			return nil
		}
		return &unstructured.Unstructured{Object: fields}
	})
}

// followWith shows the store what comes and changes through the transform, and what goes through a handler: a transform is
// not told why it is called.
func followWith(informer cache.SharedIndexInformer, store cache.ReflectorStore, convert func(any) any) error {
	err := informer.SetTransform(func(object any) (any, error) {
		if converted := convert(object); converted != nil {
			return object, store.Update(converted)
		}
		return object, nil
	})
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(object any) {
		if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		_ = store.Delete(object)
	}})
	return err
}

func followNodes(informer cache.SharedIndexInformer, account *ledger.Ledger) error {
	set := func(object any) {
		if node, ok := object.(*v1.Node); ok {
			account.SetNode(node.Name, node.Status.Allocatable)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: set, UpdateFunc: func(_, object any) { set(object) }})
	return err
}
