package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// watcher follows the pods of gangs that wait.
type watcher struct {
	mu    sync.Mutex
	bound map[string]int       // members with a node, by gang
	whole map[string]time.Time // when the last member of a gang got one
	told  map[string]bool      // gangs of which a member says why it waits
	first time.Time            // the first pod to get a node since the last mark
}

// watch follows pods with the role until the context ends; it returns once it has seen those that there are.
func (c *crowd) watch(ctx context.Context, role string) (*watcher, error) {
	w := &watcher{bound: map[string]int{}, whole: map[string]time.Time{}, told: map[string]bool{}}
	factory := informers.NewSharedInformerFactoryWithOptions(c.Client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = roleKey + "=" + role
	}))
	informer := factory.Core().V1().Pods().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { w.see(nil, object.(*v1.Pod)) },
		UpdateFunc: func(old, object any) { w.see(old.(*v1.Pod), object.(*v1.Pod)) },
	})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, ctx.Err()
	}
	return w, nil
}

func (w *watcher) see(old, p *v1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := p.Annotations["scheduling.k8s.io/group-name"]
	hadNode := old != nil && old.Spec.NodeName != ""
	if p.Spec.NodeName != "" && !hadNode {
		now := time.Now()
		if w.first.IsZero() {
			w.first = now
		}
		if w.bound[name]++; w.bound[name] == nodesPerGang {
			w.whole[name] = now
		}
	}
	if !w.told[name] && slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.PodScheduled && c.Status == v1.ConditionFalse && c.Message != ""
	}) {
		w.told[name] = true
	}
}

// mark begins a new count of firsts.
func (w *watcher) mark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.first = time.Time{}
}

// state is what is true at a moment.
type state struct {
	first          time.Time
	whole, told    int
	half           []string // gangs that are half started
	lastWhole      time.Time
	wholeBecauseOf map[string]time.Time
}

func (w *watcher) state() state {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := state{first: w.first, whole: len(w.whole), told: len(w.told), wholeBecauseOf: make(map[string]time.Time, len(w.whole))}
	for name, at := range w.whole {
		s.wholeBecauseOf[name] = at
		if at.After(s.lastWhole) {
			s.lastWhole = at
		}
	}
	for name, n := range w.bound {
		if n < nodesPerGang {
			s.half = append(s.half, fmt.Sprintf("%s %d of %d", name, n, nodesPerGang))
		}
	}
	slices.SortFunc(s.half, strings.Compare)
	return s
}

// listTime is how long a client takes that does nothing but list what a scheduler lists, in the same way: the API server's own
// time, and what decoding takes.
func (c *crowd) listTime(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.Now()
	typed := informers.NewSharedInformerFactory(c.Client, 0)
	untyped := dynamicinformer.NewDynamicSharedInformerFactory(c.Dynamic, 0)
	synced := []cache.InformerSynced{
		typed.Core().V1().Pods().Informer().HasSynced, typed.Core().V1().Nodes().Informer().HasSynced,
		untyped.ForResource(podGroups).Informer().HasSynced,
	}
	typed.Start(ctx.Done())
	untyped.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return 0, ctx.Err()
	}
	took := time.Since(begin)
	cancel()
	typed.Shutdown()
	untyped.Shutdown()
	return took, nil
}
