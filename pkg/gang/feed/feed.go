// Package feed serves objects that exist only in this process as if an API server listed and watched them.
//
// Purpose: the scheduler's core reads its pods and PodGroups through informers. Ours come out of a translation, from
// several APIs at once, so no resource version of any server fits them; a Feed gives them versions of its own.
// Invariants: versions only grow; a watch opened at the version of a list misses nothing, or is told with 410 Gone that it
// came too late and lists again; an object handed in is never changed afterwards. Cost: one lock and one append per
// change; the log of changes is bounded.
package feed

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// logLength is how many changes a Feed remembers for a watch that opens after a list. An informer opens its watch right
// after its list, so this is the number of changes that may happen between two calls in one goroutine.
const logLength = 16384

// Object is what a Feed serves: the pointer type of an API object.
type Object interface {
	runtime.Object
	metav1.Object
}

// Feed serves the objects of one type. Build it with [New].
type Feed[T Object] struct {
	newList func(items []T, version string) runtime.Object
	ready   chan struct{}
	once    sync.Once

	mu       sync.Mutex
	version  uint64
	objects  map[types.NamespacedName]T
	log      []change
	dropped  uint64 // the version of the last change that fell out of the log
	watchers map[*watcher]struct{}
}

type change struct {
	version uint64
	event   watch.Event
}

// New returns an empty Feed. newList builds the list object that the type's informer expects.
func New[T Object](newList func(items []T, version string) runtime.Object) *Feed[T] {
	return &Feed[T]{
		newList:  newList,
		ready:    make(chan struct{}),
		version:  1, // 0 means "anything" to a reflector
		objects:  map[types.NamespacedName]T{},
		watchers: map[*watcher]struct{}{},
	}
}

// Ready lets lists answer. Until it is called they block, as those of an API server do while it starts.
func (f *Feed[T]) Ready() { f.once.Do(func() { close(f.ready) }) }

// Set adds or replaces an object. It stamps the object with the next version, so the caller hands in an object of its own.
func (f *Feed[T]) Set(object T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
	event := watch.Event{Type: watch.Modified, Object: object}
	if _, ok := f.objects[key]; !ok {
		event.Type = watch.Added
	}
	f.version++
	object.SetResourceVersion(strconv.FormatUint(f.version, 10))
	f.objects[key] = object
	f.publish(event)
}

// Get returns the object as it was last set.
func (f *Feed[T]) Get(key types.NamespacedName) (T, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	object, ok := f.objects[key]
	return object, ok
}

// Keys names all objects, in no order.
func (f *Feed[T]) Keys() []types.NamespacedName {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.objects))
}

// Delete removes an object; it does nothing if there is none.
func (f *Feed[T]) Delete(key types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	object, ok := f.objects[key]
	if !ok {
		return
	}
	delete(f.objects, key)
	f.version++
	// A deletion carries a version of its own; the object that was set stays as its readers know it.
	last := object.DeepCopyObject().(T)
	last.SetResourceVersion(strconv.FormatUint(f.version, 10))
	f.publish(watch.Event{Type: watch.Deleted, Object: last})
}

// publish appends to the log and wakes the watchers. The lock is held.
func (f *Feed[T]) publish(event watch.Event) {
	if len(f.log) >= logLength {
		half := len(f.log) / 2
		f.dropped = f.log[half-1].version
		f.log = append(f.log[:0], f.log[half:]...)
	}
	f.log = append(f.log, change{f.version, event})
	for w := range f.watchers {
		w.push(event)
	}
}

// ListerWatcher is what an informer reads from.
func (f *Feed[T]) ListerWatcher() cache.ListerWatcher {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
			return f.list(ctx)
		},
		WatchFuncWithContext: func(_ context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return f.watch(options.ResourceVersion)
		},
	}
	return cache.ToListWatcherWithWatchListSemantics(lw, plainListAndWatch{})
}

// plainListAndWatch tells reflectors to list and then watch, not to ask for a watch that begins with the list.
type plainListAndWatch struct{}

func (plainListAndWatch) IsWatchListSemanticsUnSupported() bool { return true }

func (f *Feed[T]) list(ctx context.Context) (runtime.Object, error) {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	items := make([]T, 0, len(f.objects))
	for _, object := range f.objects {
		items = append(items, object)
	}
	return f.newList(items, strconv.FormatUint(f.version, 10)), nil
}

func (f *Feed[T]) watch(from string) (watch.Interface, error) {
	since, err := strconv.ParseUint(from, 10, 64)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion %q: %v", from, err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if since < f.dropped {
		return nil, apierrors.NewResourceExpired(fmt.Sprintf("version %d is older than the log, which begins after %d", since, f.dropped))
	}
	w := newWatcher(func(w *watcher) {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, w)
	})
	for _, c := range f.log {
		if c.version > since {
			w.push(c.event)
		}
	}
	f.watchers[w] = struct{}{}
	go w.run()
	return w, nil
}

// watcher hands events to one reader in order, without ever holding up the writer.
type watcher struct {
	result chan watch.Event
	done   chan struct{}
	wake   chan struct{}
	forget func(*watcher)
	once   sync.Once

	mu    sync.Mutex
	queue []watch.Event
}

func newWatcher(forget func(*watcher)) *watcher {
	return &watcher{result: make(chan watch.Event), done: make(chan struct{}), wake: make(chan struct{}, 1), forget: forget}
}

func (w *watcher) push(event watch.Event) {
	w.mu.Lock()
	w.queue = append(w.queue, event)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) run() {
	defer close(w.result)
	for {
		w.mu.Lock()
		batch := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, event := range batch {
			select {
			case w.result <- event:
			case <-w.done:
				return
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-w.wake:
		case <-w.done:
			return
		}
	}
}

// ResultChan implements watch.Interface.
func (w *watcher) ResultChan() <-chan watch.Event { return w.result }

// Stop implements watch.Interface.
func (w *watcher) Stop() {
	w.once.Do(func() {
		w.forget(w)
		close(w.done)
	})
}
