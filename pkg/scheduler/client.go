package scheduler

import (
	"context"
	"encoding/json"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	schedulingclient "k8s.io/client-go/kubernetes/typed/scheduling/v1beta1"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/profile"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
)

// guardedClient is the client that the core writes through. It passes everything on but what the scribe writes: the
// PodScheduled condition of members that wait, and the status of PodGroups that exist in this process only.
type guardedClient struct {
	kubernetes.Interface
	ledger *ledger.Ledger
}

func (c guardedClient) CoreV1() corev1client.CoreV1Interface {
	return guardedCore{c.Interface.CoreV1(), c.ledger}
}

func (c guardedClient) SchedulingV1beta1() schedulingclient.SchedulingV1beta1Interface {
	return guardedScheduling{c.Interface.SchedulingV1beta1()}
}

type guardedCore struct {
	corev1client.CoreV1Interface
	ledger *ledger.Ledger
}

func (c guardedCore) Pods(namespace string) corev1client.PodInterface {
	return guardedPods{c.CoreV1Interface.Pods(namespace), c.ledger, namespace}
}

type guardedPods struct {
	corev1client.PodInterface
	ledger    *ledger.Ledger
	namespace string
}

// Patch leaves out the PodScheduled condition of a member, and the whole request if nothing else is in it.
func (p guardedPods) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (*v1.Pod, error) {
	if key, isMember := p.ledger.MemberOf(types.NamespacedName{Namespace: p.namespace, Name: name}); isMember && len(subresources) == 1 && subresources[0] == "status" {
		rest, err := p.withoutWait(key, data)
		if err != nil {
			return nil, err
		}
		if rest == nil {
			return &v1.Pod{}, nil
		}
		data = rest
	}
	return p.PodInterface.Patch(ctx, name, kind, data, options, subresources...)
}

// withoutWait returns the patch without its PodScheduled condition, nil if nothing remains. An error of the scheduler is no
// refusal that the plugin saw, so it is noted here.
func (p guardedPods) withoutWait(key gang.Key, data []byte) ([]byte, error) {
	var patch map[string]any
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, err
	}
	status, ok := patch["status"].(map[string]any)
	if !ok {
		return data, nil
	}
	conditions, _ := status["conditions"].([]any)
	kept := make([]any, 0, len(conditions))
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] != string(v1.PodScheduled) {
			kept = append(kept, c)
			continue
		}
		if condition["reason"] == v1.PodReasonSchedulerError {
			message, _ := condition["message"].(string)
			p.ledger.Refuse(key, gang.Waiting{Reason: gang.SchedulerError, Sentence: message})
		}
	}
	if len(kept) == len(conditions) {
		return data, nil
	}
	delete(status, "$setElementOrder/conditions") // it lists what is left out
	if len(kept) > 0 {
		status["conditions"] = kept
	} else {
		delete(status, "conditions")
	}
	if len(status) == 0 {
		return nil, nil
	}
	return json.Marshal(patch)
}

type guardedScheduling struct {
	schedulingclient.SchedulingV1beta1Interface
}

func (c guardedScheduling) PodGroups(namespace string) schedulingclient.PodGroupInterface {
	return guardedPodGroups{c.SchedulingV1beta1Interface.PodGroups(namespace), namespace}
}

type guardedPodGroups struct {
	schedulingclient.PodGroupInterface
	namespace string
}

// Patch passes on what is meant for Kubernetes' own PodGroups. The others exist in memory only.
func (p guardedPodGroups) Patch(ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (*schedulingv1beta1.PodGroup, error) {
	if gang.KeyOf(p.namespace, name).Dialect != gang.NativeName {
		return &schedulingv1beta1.PodGroup{}, nil
	}
	return p.PodGroupInterface.Patch(ctx, name, kind, data, options, subresources...)
}

// guardedRecorders returns recorders that leave out the core's FailedScheduling events about members: one for each try and
// member, where the scribe writes one for each change of a gang's reason.
func guardedRecorders(broadcaster events.EventBroadcasterAdapter, l *ledger.Ledger) profile.RecorderFactory { //nolint:staticcheck // what upstream's Config holds
	return func(name string) events.EventRecorderLogger {
		return guardedRecorder{broadcaster.NewRecorder(name), l}
	}
}

type guardedRecorder struct {
	events.EventRecorderLogger
	ledger *ledger.Ledger
}

func (r guardedRecorder) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	if pod, ok := regarding.(*v1.Pod); ok && reason == "FailedScheduling" {
		if _, isMember := r.ledger.MemberOf(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}); isMember {
			return
		}
	}
	r.EventRecorderLogger.Eventf(regarding, related, kind, reason, action, note, args...)
}

func (r guardedRecorder) WithLogger(logger klog.Logger) events.EventRecorderLogger {
	return guardedRecorder{r.EventRecorderLogger.WithLogger(logger), r.ledger}
}
