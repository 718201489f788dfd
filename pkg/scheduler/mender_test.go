package scheduler

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano"
)

// lostOne is a ledger in which a gang of three has lost a member for good, and a mender that is told so.
func lostOne(t *testing.T) (*mender, *fake.Clientset, *events.FakeRecorder) {
	t.Helper()
	client, recorder := fake.NewClientset(), events.NewFakeRecorder(10)
	l := ledger.New(dialects(), []string{"phalanx"}, func(gang.Key) {})
	m := newMender(l, client)
	t.Cleanup(m.queue.ShutDown)
	m.events = recorder
	clk := testclock.NewFakeClock(time.Unix(1000, 0))
	l.Repair(repair.Options{Clock: clk, Policies: map[string]repair.Policy{"phalanx": {Timeout: time.Minute, Restart: true}}, Restart: m.queue.Add})
	go l.RunRepairs(t.Context())
	require.NoError(t, l.GroupStore(volcano.New()).Add(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "PodGroup",
		"metadata": map[string]any{"name": "train", "namespace": "ns"}, "spec": map[string]any{"minMember": int64(3)},
	}}))
	for i := range 3 {
		require.NoError(t, l.PodStore().Add(running(i)))
	}
	require.NoError(t, l.PodStore().Delete(running(1)))
	require.Eventually(t, clk.HasWaiters, time.Minute, time.Millisecond)
	clk.Step(time.Minute)
	require.Eventually(t, func() bool { return m.queue.Len() == 1 }, time.Minute, time.Millisecond)
	return m, client, recorder
}

func running(i int) *v1.Pod {
	name := fmt.Sprint("train-", i)
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), Annotations: map[string]string{"scheduling.k8s.io/group-name": "train"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "Job", Name: "train", Controller: ptr.To(true)}}},
		Spec:   v1.PodSpec{SchedulerName: "phalanx", NodeName: "n"},
		Status: v1.PodStatus{Phase: v1.PodRunning},
	}
}

// deleted is the pods that were asked to be deleted, by name and UID.
func deleted(client *fake.Clientset) map[string]string {
	pods := map[string]string{}
	for _, action := range client.Actions() {
		if deletion, ok := action.(clienttesting.DeleteActionImpl); ok {
			pods[deletion.Name] = string(ptr.Deref(deletion.DeleteOptions.Preconditions.UID, ""))
		}
	}
	return pods
}

func TestWhatIsLeftOfAGangIsDeletedOnce(t *testing.T) {
	m, client, recorder := lostOne(t)
	var mu sync.Mutex
	var told []string
	client.PrependReactor("patch", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch := action.(clienttesting.PatchAction)
		assert.Contains(t, string(patch.GetPatch()), `"type":"DisruptionTarget","status":"True"`)
		assert.Contains(t, string(patch.GetPatch()), fmt.Sprintf(`{"uid":%q}`, patch.GetName()))
		mu.Lock()
		defer mu.Unlock()
		told = append(told, patch.GetName())
		return true, &v1.Pod{}, nil
	})
	client.PrependReactor("delete", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, nil })
	require.True(t, m.next(t.Context()))
	require.Equal(t, map[string]string{"train-0": "train-0", "train-2": "train-2"}, deleted(client), "each by its UID")
	require.ElementsMatch(t, []string{"train-0", "train-2"}, told)
	require.Equal(t, "Warning GangRestarted 1 of 3 members is missing; the others are deleted, so that their controller makes the gang anew", <-recorder.Events)
	require.Zero(t, m.queue.Len())
}

func TestAPodThatIsGoneAlreadyIsNoFailure(t *testing.T) {
	m, client, _ := lostOne(t)
	pods := schema.GroupResource{Resource: "pods"}
	client.PrependReactor("patch", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.(clienttesting.PatchAction).GetName() == "train-0" {
			return true, nil, apierrors.NewNotFound(pods, "train-0")
		}
		return true, &v1.Pod{}, nil
	})
	client.PrependReactor("delete", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewConflict(pods, "train-2", errors.New("another UID"))
	})
	key := gang.Key{Dialect: "volcano", Namespace: "ns", Name: "train"}
	require.NoError(t, m.restart(t.Context(), key))
}

func TestAGangThatBecameWholeIsLeftAlone(t *testing.T) {
	m, client, recorder := lostOne(t)
	require.NoError(t, m.ledger.PodStore().Add(running(1)))
	require.True(t, m.next(t.Context()))
	require.Empty(t, deleted(client))
	require.Empty(t, recorder.Events)
}

func TestAGangThatCannotBeDeletedIsLeftAsItIsInTheEnd(t *testing.T) {
	m, client, recorder := lostOne(t)
	client.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, &v1.Pod{}, nil })
	client.PrependReactor("delete", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("forbidden")
	})
	key := gang.Key{Dialect: "volcano", Namespace: "ns", Name: "train"}
	for range restartTries {
		require.NotEqual(t, gang.Waiting{}, m.ledger.Blocked(key))
		if m.queue.Len() == 0 { // its backoff need not be waited for
			m.queue.Add(key)
		}
		require.True(t, m.next(t.Context()))
	}
	state, _ := m.ledger.State(key)
	require.Equal(t, gang.GivenUp, state.Progress.Repair.Phase)
	require.Len(t, recorder.Events, 1)
}

func TestWhoFoundAPlaceKeptIsTriedAgainWithTheGangs(t *testing.T) {
	l := ledger.New(dialects(), []string{"phalanx"}, func(gang.Key) {})
	tried := refusedAnd(l)
	require.Empty(t, tried())
	l.Places().TurnAway(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "single"}})
	require.Contains(t, tried(), "ns/single")
	require.Empty(t, tried(), "once: if it finds another place kept it is noted again")

	place := repair.NewPlace(gang.Key{Name: "train"}, running(0), "", 0, time.Unix(0, 0))
	l.Places().Add(place)
	hasRoom := make(chan struct{})
	go followPlaces(t.Context(), l.Places().Freed(), func() { close(hasRoom) })
	l.Places().Remove(place)
	<-hasRoom
}
