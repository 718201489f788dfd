package scheduler

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
)

// told is an events.EventRecorder that keeps what is told.
type told struct{ events []string }

func (r *told) Eventf(regarding, _ runtime.Object, kind, reason, _, note string, args ...any) {
	ref := regarding.(*v1.ObjectReference)
	r.events = append(r.events, fmt.Sprintf("%s %s/%s %s: %s", kind, ref.Kind, ref.Name, reason, fmt.Sprintf(note, args...)))
}

func (r *told) AnnotatedEventf(regarding, related runtime.Object, _ map[string]string, kind, reason, action, note string, args ...any) {
	r.Eventf(regarding, related, kind, reason, action, note, args...)
}

// rack is a HyperNode of tier 1 with all nodes.
func rack(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": name, "uid": name},
		"spec": map[string]any{"tier": int64(1), "members": []any{map[string]any{
			"type": "Node", "selector": map[string]any{"labelMatch": map[string]any{}},
		}}},
	}}
}

func TestAChangeOfHyperNodesWakesGangsAndIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, recorder, wakes := hypernode.NewSet(), &told{}, 0
		nodes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
		require.NoError(t, nodes.Add(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}))
		s := &surveyor{set, corelisters.NewNodeLister(nodes), recorder, func() { wakes++ }, clock.RealClock{}}
		go s.run(t.Context())
		synctest.Wait()
		require.Zero(t, wakes)

		require.NoError(t, set.Add(rack("a")))
		time.Sleep(time.Minute)
		require.Equal(t, 1, wakes)
		require.Empty(t, recorder.events, "nothing is wrong")

		for range 2 { // the same again is no change
			require.NoError(t, set.Add(rack("b")))
			time.Sleep(time.Minute)
		}
		require.Equal(t, 2, wakes)
		require.Equal(t, []string{`Warning HyperNode/b HyperNodeInvalid: node "n1" is in "a" already`}, recorder.events)

		require.NoError(t, set.Add(rack("c")))
		time.Sleep(time.Minute)
		require.Equal(t, 3, wakes)
		require.Equal(t, []string{`Warning HyperNode/c HyperNodeInvalid: node "n1" is in "a" already`}, recorder.events[1:], "b was told")

		require.NoError(t, set.Delete(rack("a")))
		time.Sleep(time.Minute)
		require.Equal(t, 4, wakes)
		require.Equal(t, []string{`Warning HyperNode/c HyperNodeInvalid: node "n1" is in "b" already`}, recorder.events[2:])
	})
}
