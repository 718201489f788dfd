package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
)

const (
	// deletesAtOnce is how many members of a gang are deleted side by side.
	deletesAtOnce = 16
	// restartTries is how often a gang is tried to be deleted before it is left as it is.
	restartTries = 5
	// restartedReason is what events and conditions say of a gang that is made anew.
	restartedReason = "GangRestarted"
)

// mender restarts gangs whose repair failed, where the administrator wants that: it deletes what is left of them, and their controllers
// make them anew. The ledger says which ones, and places none of their members meanwhile.
type mender struct {
	ledger *ledger.Ledger
	client kubernetes.Interface
	events events.EventRecorder // set before run
	queue  workqueue.TypedRateLimitingInterface[gang.Key]
}

func newMender(l *ledger.Ledger, client kubernetes.Interface) *mender {
	return &mender{ledger: l, client: client, queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[gang.Key](time.Second, time.Minute))}
}

// run deletes until the context is done.
func (m *mender) run(ctx context.Context) {
	go func() {
		<-ctx.Done()
		m.queue.ShutDown()
	}()
	for m.next(ctx) {
	}
}

func (m *mender) next(ctx context.Context) bool {
	key, isDown := m.queue.Get()
	if isDown {
		return false
	}
	defer m.queue.Done(key)
	err := m.restart(ctx, key)
	switch {
	case err == nil || ctx.Err() != nil:
		m.queue.Forget(key)
	case m.queue.NumRequeues(key) < restartTries-1:
		m.queue.AddRateLimited(key)
	default:
		klog.FromContext(ctx).Error(err, "A gang cannot be deleted to be made anew, leaving it as it is", "dialect", key.Dialect, "podGroup", klog.KRef(key.Namespace, key.Name))
		m.queue.Forget(key)
		m.ledger.AbandonRestart(key)
	}
	return true
}

// restart deletes the members of a gang that hold nodes, unless it has become whole.
func (m *mender) restart(ctx context.Context, key gang.Key) error {
	pods, ok := m.ledger.ToRestart(key)
	if !ok {
		return nil
	}
	if state, _ := m.ledger.State(key); state.Object != nil && m.queue.NumRequeues(key) == 0 {
		m.events.Eventf(state.Object, nil, v1.EventTypeWarning, restartedReason, "Repairing", "%s", state.Progress.Repair)
	}
	klog.FromContext(ctx).Info("Deleting what is left of a gang, so that its controller makes it anew",
		"dialect", key.Dialect, "podGroup", klog.KRef(key.Namespace, key.Name), "pods", len(pods))
	var mu sync.Mutex
	var errs []error
	workqueue.ParallelizeUntil(ctx, deletesAtOnce, len(pods), func(i int) {
		if err := m.delete(ctx, pods[i]); err != nil {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		}
	})
	return errors.Join(errs...)
}

// delete deletes this pod, and no other one of its name. The condition before it is for controllers that count no failure then, as a
// Job with a podFailurePolicy may.
func (m *mender) delete(ctx context.Context, pod *v1.Pod) error {
	pods := m.client.CoreV1().Pods(pod.Namespace)
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID},
		"status": map[string]any{"conditions": []v1.PodCondition{{
			Type: v1.DisruptionTarget, Status: v1.ConditionTrue, LastTransitionTime: metav1.Now(),
			Reason: restartedReason, Message: "its gang lost members that nobody replaced, and is made anew",
		}}},
	})
	if err == nil {
		_, err = pods.Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	}
	if err == nil {
		err = pods.Delete(ctx, pod.Name, *metav1.NewPreconditionDeleteOptions(string(pod.UID)))
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // it is gone
	}
	return err
}

// refusedAnd returns who is to be tried again when there is room: a member of each gang that was refused, and pods from which places
// were kept.
func refusedAnd(l *ledger.Ledger) func() map[string]*v1.Pod {
	return func() map[string]*v1.Pod {
		pods := l.Refused()
		maps.Copy(pods, l.Places().TurnedAway())
		return pods
	}
}

// followPlaces tells the waker of places that are given up, until the context is done.
func followPlaces(ctx context.Context, freed <-chan struct{}, hasRoom func()) {
	for {
		select {
		case <-freed:
			hasRoom()
		case <-ctx.Done():
			return
		}
	}
}
