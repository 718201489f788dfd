package scheduler

import (
	"context"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/parking"
	gpuplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

const (
	// wakeInterval is how long room is collected before refused gangs are tried in it: a gang that ends makes room pod by pod.
	wakeInterval = 200 * time.Millisecond
	// wakePerGang bounds the share of the scheduler's time that tries in vain may take where very many gangs wait.
	wakePerGang = 10 * time.Millisecond
)

// again is after how long there is another look after there was room: the core may hear of it later than the waker does, and a
// gang may have been in the middle of a try then, in a cluster as it was before.
var again = [...]time.Duration{wakeInterval, time.Second, 5 * time.Second, 30 * time.Second}

// waker has refused gangs tried again as soon as there may be room for them. The core alone would let each sit out a
// backoff that doubles with every try, up to the maximum times the root of its size: two minutes for 128 pods, whatever
// becomes free in the meantime.
//
//	idle ──room────► wake all ──again──► wake all ──again──► … ──► idle
//	idle ──change──► wake those that changed ──► idle
//
// Where nothing happens gangs are parked, and nobody is woken: see package parking.
type waker struct {
	// refused returns one member of each gang that waits though nothing but room is missing, and is not parked.
	refused  func() map[string]*v1.Pod
	activate func(klog.Logger, map[string]*v1.Pod)
	lot      *parking.Lot
	clock    clock.Clock
}

func newWaker(refused func() map[string]*v1.Pod, activate func(klog.Logger, map[string]*v1.Pod), lot *parking.Lot, clk clock.Clock) *waker {
	return &waker{refused: refused, activate: activate, lot: lot, clock: clk}
}

// watch listens for what makes room: a pod that gives its node back, takes less of it or shows which of its GPUs it took, a node that
// comes or changes in what matters, devices that come or are given back. Whatever else makes room tells the lot itself.
func (w *waker) watch(factory informers.SharedInformerFactory) error {
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			a, isPod := before.(*v1.Pod)
			b, isPodToo := after.(*v1.Pod)
			if isPod && isPodToo && (gpuplugin.ShowsOthers(a, b) || takesLess(a, b)) {
				w.lot.HasRoom()
			}
		},
		// The core's pods are those that are not over: one that ends is deleted for it.
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			if pod, ok := object.(*v1.Pod); !ok || pod.Spec.NodeName != "" {
				w.lot.HasRoom()
			}
		},
	})
	if err != nil {
		return err
	}
	_, err = factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { w.lot.HasRoom() },
		UpdateFunc: func(before, after any) {
			a, isNode := before.(*v1.Node)
			b, isNodeToo := after.(*v1.Node)
			if isNode && isNodeToo && len(framework.NodeSchedulingPropertiesChange(b, a)) > 0 {
				w.lot.HasRoom()
			}
		},
	})
	if err != nil {
		return err
	}
	devices := factory.Resource().V1()
	_, err = devices.ResourceClaims().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			a, isClaim := before.(*resourceapi.ResourceClaim)
			b, isClaimToo := after.(*resourceapi.ResourceClaim)
			if isClaim && isClaimToo && a.Status.Allocation != nil && b.Status.Allocation == nil {
				w.lot.HasRoom()
			}
		},
		DeleteFunc: func(any) { w.lot.HasRoom() },
	})
	if err != nil {
		return err
	}
	_, err = devices.ResourceSlices().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { w.lot.HasRoom() },
		UpdateFunc: func(_, _ any) { w.lot.HasRoom() },
		DeleteFunc: func(any) { w.lot.HasRoom() },
	})
	return err
}

// takesLess is true for a pod on a node that was resized to less.
func takesLess(before, after *v1.Pod) bool {
	if after.Spec.NodeName == "" {
		return false
	}
	return slices.ContainsFunc(framework.PodSchedulingPropertiesChange(after, before, false), func(e fwk.ClusterEvent) bool {
		return e.ActionType == fwk.UpdatePodScaleDown
	})
}

// run wakes gangs until the context is done.
func (w *waker) run(ctx context.Context) {
	news := w.lot.News()
	looks, next := 0, (<-chan time.Time)(nil) // that were had since there was room, and the next one
	for {
		select {
		case <-news:
			if w.lot.TakeRoom() { // changes put no look off
				looks, next = 0, w.clock.After(again[0])
			}
		case <-next:
			w.lot.Open()
			if looks, next = looks+1, nil; looks < len(again) {
				next = w.clock.After(again[looks])
			}
		case <-ctx.Done():
			return
		}
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
