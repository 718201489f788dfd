// Package history records what the API server says happened to pods, nodes and PodGroups, so that a run can be judged by that
// alone when it is over.
//
// Purpose: faults are played between the scheduler and the API server, and on both of them. The recorder has a connection of its
// own and is asked afterwards: what it missed it knows.
//
// Invariants: events are in the order of their resource versions, which are revisions of the one etcd below and so order all
// resources among each other. Where a watch cannot go on, since the API server was restarted and remembers no history, the recorder
// lists anew and takes the difference for the events: what came and went in between is lost, and counted in [Recorder.Gaps].
//
// Cost: every version of every object is kept.
package history

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// The resources that are recorded.
var (
	Pods  = v1.SchemeGroupVersion.WithResource("pods")
	Nodes = v1.SchemeGroupVersion.WithResource("nodes")
)

// retry is how long the recorder waits after an error. Nobody else is to be spared.
const retry = 50 * time.Millisecond

// Event is a version of an object, or its end.
type Event struct {
	Version  uint64
	At       time.Time // when it was learned of
	Kind     watch.EventType
	Resource schema.GroupVersionResource
	Object   *unstructured.Unstructured
}

// String is one line.
func (e Event) String() string {
	text := fmt.Sprintf("%s %d %s %s.%s %s/%s", e.At.Format("15:04:05.000"), e.Version, e.Kind, e.Resource.Resource, e.Resource.Group,
		e.Object.GetNamespace(), e.Object.GetName())
	for _, path := range [][]string{{"spec", "nodeName"}, {"status", "phase"}, {"spec", "minMember"}} {
		if value, ok, _ := unstructured.NestedFieldNoCopy(e.Object.Object, path...); ok {
			text += fmt.Sprintf(" %s=%v", path[len(path)-1], value)
		}
	}
	return text
}

// Recorder records until it is stopped.
type Recorder struct {
	client dynamic.Interface
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	events  []Event
	gaps    int
	latest  map[schema.GroupVersionResource]map[string]*unstructured.Unstructured // by namespace/name
	changed chan struct{}                                                         // closed at the next event
}

// Record starts to record pods, nodes and the resources of PodGroups, all of which must be served.
func Record(client dynamic.Interface, groups ...schema.GroupVersionResource) *Recorder {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Recorder{client: client, stop: cancel, latest: map[schema.GroupVersionResource]map[string]*unstructured.Unstructured{}, changed: make(chan struct{})}
	for _, resource := range append([]schema.GroupVersionResource{Pods, Nodes}, groups...) {
		r.latest[resource] = map[string]*unstructured.Unstructured{}
		r.done.Go(func() { r.follow(ctx, resource) })
	}
	return r
}

// Stop ends the recording.
func (r *Recorder) Stop() {
	r.stop()
	r.done.Wait()
}

// Events returns what was recorded, in order.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := slices.Clone(r.events)
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.Version, b.Version) })
	return events
}

// Gaps is how often the recorder had to list anew.
func (r *Recorder) Gaps() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gaps
}

// Latest returns the objects of a resource that exist, to be read only.
func (r *Recorder) Latest(resource schema.GroupVersionResource) []*unstructured.Unstructured {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.latest[resource]))
}

// Changed is closed at the next event.
func (r *Recorder) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// CatchUp waits until the recorder knows all that the API server does. It takes that nothing else happens meanwhile.
func (r *Recorder) CatchUp(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for resource := range r.latest {
		group.Go(func() error {
			return wait.PollUntilContextCancel(ctx, retry, true, func(ctx context.Context) (bool, error) {
				list, err := r.client.Resource(resource).List(ctx, metav1.ListOptions{})
				return err == nil && r.knows(resource, list), nil
			})
		})
	}
	return group.Wait()
}

func (r *Recorder) knows(resource schema.GroupVersionResource, list *unstructured.UnstructuredList) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(list.Items) != len(r.latest[resource]) {
		return false
	}
	return !slices.ContainsFunc(list.Items, func(object unstructured.Unstructured) bool {
		known := r.latest[resource][keyOf(&object)]
		return known == nil || known.GetResourceVersion() != object.GetResourceVersion()
	})
}

func keyOf(object *unstructured.Unstructured) string {
	return object.GetNamespace() + "/" + object.GetName()
}

// follow lists and watches a resource until the context is done.
func (r *Recorder) follow(ctx context.Context, resource schema.GroupVersionResource) {
	isFirst := true
	for ctx.Err() == nil {
		list, err := r.client.Resource(resource).List(ctx, metav1.ListOptions{})
		if err != nil {
			pause(ctx)
			continue
		}
		r.replace(resource, list, isFirst)
		isFirst = false
		version := list.GetResourceVersion()
		for version != "" && ctx.Err() == nil {
			version = r.watch(ctx, resource, version)
		}
	}
}

// watch records what comes after a version, and returns the version to go on from when the watch ends: "" if there is none.
func (r *Recorder) watch(ctx context.Context, resource schema.GroupVersionResource, version string) string {
	w, err := r.client.Resource(resource).Watch(ctx, metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true})
	if isForgotten(err) {
		return ""
	}
	if err != nil {
		pause(ctx)
		return version
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		object, ok := e.Object.(*unstructured.Unstructured)
		if e.Type == watch.Error || !ok {
			if isForgotten(apierrors.FromObject(e.Object)) {
				return ""
			}
			return version
		}
		version = object.GetResourceVersion()
		if e.Type != watch.Bookmark {
			r.add(Event{At: time.Now(), Kind: e.Type, Resource: resource, Object: object})
		}
	}
	return version
}

// isForgotten is true if the API server does not remember the version any more.
func isForgotten(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }

// replace records the difference between what was known and what is.
func (r *Recorder) replace(resource schema.GroupVersionResource, list *unstructured.UnstructuredList, isFirst bool) {
	now := time.Now()
	isThere := map[string]bool{}
	r.mu.Lock()
	before := maps.Clone(r.latest[resource])
	if !isFirst {
		r.gaps++
	}
	r.mu.Unlock()
	for i := range list.Items {
		object := &list.Items[i]
		isThere[keyOf(object)] = true
		old, isKnown := before[keyOf(object)]
		switch {
		case !isKnown:
			r.add(Event{At: now, Kind: watch.Added, Resource: resource, Object: object})
		case old.GetResourceVersion() != object.GetResourceVersion():
			r.add(Event{At: now, Kind: watch.Modified, Resource: resource, Object: object})
		}
	}
	for key, old := range before {
		if !isThere[key] {
			gone := old.DeepCopy()
			gone.SetResourceVersion(list.GetResourceVersion())
			r.add(Event{At: now, Kind: watch.Deleted, Resource: resource, Object: gone})
		}
	}
}

func (r *Recorder) add(e Event) {
	e.Version, _ = strconv.ParseUint(e.Object.GetResourceVersion(), 10, 64)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	if e.Kind == watch.Deleted {
		delete(r.latest[e.Resource], keyOf(e.Object))
	} else {
		r.latest[e.Resource][keyOf(e.Object)] = e.Object
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

func pause(ctx context.Context) {
	select {
	case <-time.After(retry):
	case <-ctx.Done():
	}
}
