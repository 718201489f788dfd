package scheduler

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/clock"

	gpuplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

const (
	// wakeInterval is how long room is collected before refused gangs are tried in it: a gang that ends makes room pod by pod.
	wakeInterval = 200 * time.Millisecond
	// wakePerGang bounds the share of the scheduler's time that tries in vain may take where very many gangs wait.
	wakePerGang = 10 * time.Millisecond
)

// waker has refused gangs tried again as soon as there may be room for them. The core alone would let each sit out a
// backoff that doubles with every try, up to the maximum times the root of its size: two minutes for 128 pods, whatever
// becomes free in the meantime.
//
//	idle ──room──► wake all ──wakeInterval──► wake all again ──wakeInterval──► idle, or wake all if there was room again
//
// The second time is for gangs that were in the middle of a try, in a cluster as it was before, when the room came.
type waker struct {
	// refused returns one member of each gang that waits though nothing but room is missing.
	refused  func() map[string]*v1.Pod
	activate func(klog.Logger, map[string]*v1.Pod)
	clock    clock.Clock
	room     chan struct{} // holds at most one
}

func newWaker(refused func() map[string]*v1.Pod, activate func(klog.Logger, map[string]*v1.Pod), clk clock.Clock) *waker {
	return &waker{refused: refused, activate: activate, clock: clk, room: make(chan struct{}, 1)}
}

// hasRoom tells that there may be room now. It never blocks.
func (w *waker) hasRoom() {
	select {
	case w.room <- struct{}{}:
	default: // told already
	}
}

// watch listens for what makes room: a pod that gives its node back or shows which of its GPUs it took, a node that comes or
// changes in what matters.
func (w *waker) watch(factory informers.SharedInformerFactory) error {
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			a, isPod := before.(*v1.Pod)
			b, isPodToo := after.(*v1.Pod)
			if isPod && isPodToo && gpuplugin.ShowsOthers(a, b) {
				w.hasRoom()
			}
		},
		// The core's pods are those that are not over: one that ends is deleted for it.
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			if pod, ok := object.(*v1.Pod); !ok || pod.Spec.NodeName != "" {
				w.hasRoom()
			}
		},
	})
	if err != nil {
		return err
	}
	_, err = factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { w.hasRoom() },
		UpdateFunc: func(before, after any) {
			a, isNode := before.(*v1.Node)
			b, isNodeToo := after.(*v1.Node)
			if isNode && isNodeToo && len(framework.NodeSchedulingPropertiesChange(b, a)) > 0 {
				w.hasRoom()
			}
		},
	})
	return err
}

// run wakes gangs until the context is done.
func (w *waker) run(ctx context.Context) {
	for {
		select {
		case <-w.room:
		case <-ctx.Done():
			return
		}
		for range 2 {
			gangs := w.refused()
			if len(gangs) > 0 {
				w.activate(klog.FromContext(ctx), gangs)
			}
			select {
			case <-w.clock.After(max(wakeInterval, time.Duration(len(gangs))*wakePerGang)):
			case <-ctx.Done():
				return
			}
		}
	}
}
