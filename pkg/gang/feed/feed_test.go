package feed_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/feed"
)

func newPods() *feed.Feed[*v1.Pod] {
	return feed.New(func(items []*v1.Pod, version string) runtime.Object {
		list := &v1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: version}}
		for _, item := range items {
			list.Items = append(list.Items, *item)
		}
		return list
	})
}

func pod(name, node string) *v1.Pod {
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: v1.PodSpec{NodeName: node}}
}

func key(name string) types.NamespacedName { return types.NamespacedName{Namespace: "ns", Name: name} }

func next(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	select {
	case event := <-w.ResultChan():
		return event
	case <-time.After(10 * time.Second):
		require.Fail(t, "no event came")
		return watch.Event{}
	}
}

func TestAWatchOpenedAtAListsVersionMissesNothing(t *testing.T) {
	f := newPods()
	f.Ready()
	f.Set(pod("a", ""))
	lw := f.ListerWatcher().(cache.ListerWatcherWithContext)
	list, err := lw.ListWithContext(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.(*v1.PodList).Items, 1)

	f.Set(pod("b", ""))
	f.Set(pod("a", "node"))
	f.Delete(key("b"))
	f.Delete(key("never there"))

	w, err := lw.WatchWithContext(t.Context(), metav1.ListOptions{ResourceVersion: list.(*v1.PodList).ResourceVersion})
	require.NoError(t, err)
	defer w.Stop()
	last := uint64(0)
	for _, want := range []struct {
		kind watch.EventType
		name string
	}{{watch.Added, "b"}, {watch.Modified, "a"}, {watch.Deleted, "b"}} {
		event := next(t, w)
		require.Equal(t, want.kind, event.Type)
		require.Equal(t, want.name, event.Object.(*v1.Pod).Name)
		version, err := strconv.ParseUint(event.Object.(*v1.Pod).ResourceVersion, 10, 64)
		require.NoError(t, err)
		require.Greater(t, version, last, "versions only grow")
		last = version
	}
}

func TestAListWaitsUntilTheFeedIsReady(t *testing.T) {
	f := newPods()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.ListerWatcher().(cache.ListerWatcherWithContext).ListWithContext(ctx, metav1.ListOptions{})
	require.ErrorIs(t, err, context.Canceled)
	f.Ready()
	f.Ready()
	_, err = f.ListerWatcher().(cache.ListerWatcherWithContext).ListWithContext(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
}

func TestAWatchThatComesTooLateIsToldToListAgain(t *testing.T) {
	f := newPods()
	f.Ready()
	for i := range 40000 {
		f.Set(pod(fmt.Sprint(i%10), ""))
	}
	_, err := f.ListerWatcher().(cache.ListerWatcherWithContext).WatchWithContext(t.Context(), metav1.ListOptions{ResourceVersion: "2"})
	require.True(t, apierrors.IsResourceExpired(err), "got %v", err)
	_, err = f.ListerWatcher().(cache.ListerWatcherWithContext).WatchWithContext(t.Context(), metav1.ListOptions{ResourceVersion: "soon"})
	require.True(t, apierrors.IsBadRequest(err), "got %v", err)
}

func TestAnInformerSeesWhatTheFeedHolds(t *testing.T) {
	f := newPods()
	informer := cache.NewSharedIndexInformer(f.ListerWatcher(), &v1.Pod{}, 0, cache.Indexers{})
	go informer.RunWithContext(t.Context())
	f.Set(pod("before", ""))
	f.Ready()
	for i := range 2000 {
		f.Set(pod(fmt.Sprint(i), ""))
		if i%3 == 0 {
			f.Delete(key(fmt.Sprint(i)))
		}
	}
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		return len(informer.GetStore().List()) == len(f.Keys()), nil
	})
	require.NoError(t, err)
	require.Len(t, f.Keys(), 1+2000-667)
}
