package gang

import (
	"context"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// EventsToRegister returns what can end the wait of a gang that PreEnqueue holds back:
//
//   - a member arrives: the one that completes the gang;
//   - a PodGroup comes or changes: the account shows it anew when it ceases to block its gang for whatever reason.
//
// A gang that was tried and refused is not held back: the core tries it again after a backoff.
//
// Each event is narrowed to one member of the gang that it can help, or to nothing, so that it costs the same however many
// gangs wait.
func (g *Gang) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{
			Event:             fwk.ClusterEvent{Resource: fwk.UnscheduledPod, ActionType: fwk.Add},
			PreQueueingHintFn: g.whoIsCompletedBy,
			QueueingHintFn:    g.isCompletedBy,
		},
		{
			Event:             fwk.ClusterEvent{Resource: fwk.PodGroup, ActionType: fwk.Add | fwk.Update},
			PreQueueingHintFn: g.whoIsFreedBy,
			QueueingHintFn:    g.isFreedBy,
		},
	}, nil
}

// whoIsCompletedBy is called once for each pod that arrives.
func (g *Gang) whoIsCompletedBy(_ klog.Logger, _, object any) (fwk.PreQueueingHintResult, error) {
	pod, ok := object.(*v1.Pod)
	if !ok || !g.completes(pod) {
		return fwk.PreQueueingHintResult{}, nil
	}
	return fwk.PreQueueingHintResult{Pods: []types.NamespacedName{{Namespace: pod.Namespace, Name: pod.Name}}}, nil
}

// isCompletedBy is called for a waiting member and a pod that arrived.
func (g *Gang) isCompletedBy(_ klog.Logger, waiting *v1.Pod, _, object any) (fwk.QueueingHint, error) {
	arrived, ok := object.(*v1.Pod)
	if !ok {
		return fwk.QueueSkip, nil
	}
	if a, isMember := keyOf(arrived); isMember {
		if b, _ := keyOf(waiting); a == b && g.completes(arrived) {
			return fwk.Queue, nil
		}
	}
	return fwk.QueueSkip, nil
}

func (g *Gang) completes(pod *v1.Pod) bool {
	key, ok := keyOf(pod)
	if !ok || g.account.Blocked(key) != (gang.Waiting{}) {
		return false
	}
	exist, need := g.known(pod)
	return exist >= need
}

// whoIsFreedBy is called once for each PodGroup that comes or changes.
func (g *Gang) whoIsFreedBy(_ klog.Logger, _, object any) (fwk.PreQueueingHintResult, error) {
	group, ok := object.(*schedulingv1beta1.PodGroup)
	if !ok || g.account.Blocked(gang.KeyOf(group.Namespace, group.Name)) != (gang.Waiting{}) {
		return fwk.PreQueueingHintResult{}, nil
	}
	state, err := g.handle.PodGroupManager().PodGroupStates().Get(group.Namespace, group.Name)
	if err != nil {
		return fwk.PreQueueingHintResult{}, nil // it has no members yet
	}
	for _, pod := range state.UnscheduledPods() {
		// Any member stands for its gang, which is queued as a whole.
		return fwk.PreQueueingHintResult{Pods: []types.NamespacedName{{Namespace: pod.Namespace, Name: pod.Name}}}, nil
	}
	return fwk.PreQueueingHintResult{}, nil
}

// isFreedBy is called for a waiting member and a PodGroup that came or changed.
func (g *Gang) isFreedBy(_ klog.Logger, waiting *v1.Pod, _, object any) (fwk.QueueingHint, error) {
	group, ok := object.(*schedulingv1beta1.PodGroup)
	if !ok {
		return fwk.QueueSkip, nil
	}
	key, isMember := keyOf(waiting)
	if isMember && key == gang.KeyOf(group.Namespace, group.Name) && g.account.Blocked(key) == (gang.Waiting{}) {
		return fwk.Queue, nil
	}
	return fwk.QueueSkip, nil
}
