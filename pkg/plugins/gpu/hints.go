package gpu

import (
	"context"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/claims"
)

// FreshnessEvent is what happens to a node whose report goes stale or ceases to be, for the scheduler's queue. There is no object
// that changes at that moment, so the old and the new one are the same.
var FreshnessEvent = fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.UpdateNodeAnnotation, CustomLabel: "GPUReportFreshness"}

// EventsToRegister returns what can help a pod that Filter turned away everywhere, or PreFilter at once:
//
//   - a node comes, or its report, its allocatable or its labels change: a GPU is fit that was not, or is known to be;
//   - a node's report goes stale, or is the word of a reporter that lives again;
//   - a pod shows which GPUs it holds: a bad one among them closes its node no more, and links of the others are known;
//   - a pod leaves: the GPUs of its node may be linked better, now that there are more of them;
//   - a DRA driver offers other GPUs, or a claim gives GPUs back, which the device plugin may hand out now;
//   - the pod or its PodGroup gets other annotations.
//
// That GPUs become free is the affair of the core's plugin that counts them. None of these is narrowed before it is asked about
// each pod that waits: the core would not ask other plugins about theirs.
func (g *GPU) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	on := func(resource fwk.EventResource, action fwk.ActionType, hint fwk.QueueingHintFn) fwk.ClusterEventWithHint {
		return fwk.ClusterEventWithHint{Event: fwk.ClusterEvent{Resource: resource, ActionType: action}, QueueingHintFn: hint}
	}
	nodeChanges := fwk.Add | fwk.UpdateNodeAllocatable | fwk.UpdateNodeLabel | fwk.UpdateNodeAnnotation
	return []fwk.ClusterEventWithHint{
		on(fwk.Node, nodeChanges, g.isHelpedByNode),
		on(fwk.AssignedPod, fwk.Update, g.isHelpedByPod),
		on(fwk.AssignedPod, fwk.Delete, g.isHelpedByPod),
		on(fwk.ResourceSlice, fwk.Add|fwk.Update, g.isHelpedBySlice),
		on(fwk.ResourceClaim, fwk.Update|fwk.Delete, g.isHelpedByClaim),
		on(fwk.TargetPod, fwk.Update, g.isHelpedByItself),
		on(fwk.PodGroup, fwk.Add|fwk.Update, g.isHelpedByGroup),
	}, nil
}

// needOf is what a waiting pod needs, false if no node can help it.
func (g *GPU) needOf(pod *v1.Pod) (Need, bool) {
	need, complaint := NeedOf(pod, g.groupOf(pod))
	return need, complaint == "" && !need.IsZero()
}

func hint(helps bool) (fwk.QueueingHint, error) {
	if helps {
		return fwk.Queue, nil
	}
	return fwk.QueueSkip, nil
}

// isHelpedByNode is called for a waiting pod and a node that came or changed.
func (g *GPU) isHelpedByNode(_ klog.Logger, waiting *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	node, isNode := after.(*v1.Node)
	need, isSound := g.needOf(waiting)
	if !isNode || !isSound {
		return hint(false)
	}
	read := g.fleet.readOf(node)
	old, wasThere := before.(*v1.Node)
	switch {
	case !wasThere || old == nil:
		return hint(read.HelpedByChange(nil, need))
	case old == node:
		return hint(read.HelpedByFreshness(g.fleet.pulse.IsStale(node.Name), need))
	}
	return hint(read.HelpedByChange(g.fleet.readOf(old), need))
}

// isHelpedByPod is called for a waiting pod and one that has a node and changed, or left it.
func (g *GPU) isHelpedByPod(_ klog.Logger, waiting *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	old, isPod := before.(*v1.Pod)
	if !isPod || !AsksForAny(old) {
		return hint(false)
	}
	node := g.fleet.readNamed(old.Spec.NodeName)
	need, isSound := g.needOf(waiting)
	if node == nil || !isSound {
		return hint(false)
	}
	if changed, isThere := after.(*v1.Pod); isThere && changed != nil {
		return hint(node.HelpedByShowing(old, changed, need))
	}
	return hint(node.HelpedByLeaving(need))
}

// isHelpedBySlice is called for a waiting pod and a ResourceSlice that came or changed.
func (g *GPU) isHelpedBySlice(_ klog.Logger, waiting *v1.Pod, _, after any) (fwk.QueueingHint, error) {
	slice, isSlice := after.(*resourceapi.ResourceSlice)
	if !isSlice {
		return hint(false)
	}
	return hint(g.isHelpedOn(claims.NodeOf(slice), waiting))
}

// isHelpedByClaim is called for a waiting pod and a ResourceClaim that changed or went.
func (g *GPU) isHelpedByClaim(_ klog.Logger, waiting *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	old, isClaim := before.(*resourceapi.ResourceClaim)
	if !isClaim {
		return hint(false)
	}
	var left claims.Devices
	if changed, isThere := after.(*resourceapi.ResourceClaim); isThere && changed != nil {
		left = claims.HeldBy(changed)
	}
	for node := range claims.HeldBy(old) {
		if left[node] == nil && g.isHelpedOn(node, waiting) {
			return hint(true)
		}
	}
	return hint(false)
}

// isHelpedOn is true if a node that has other GPUs to give may take a waiting pod.
func (g *GPU) isHelpedOn(name string, waiting *v1.Pod) bool {
	node := g.fleet.readNamed(name)
	need, isSound := g.needOf(waiting)
	return node != nil && isSound && node.HelpedByClaim(need)
}

// isHelpedByItself is called for a waiting pod that changed.
func (g *GPU) isHelpedByItself(_ klog.Logger, _ *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	old, wasPod := before.(*v1.Pod)
	pod, isPod := after.(*v1.Pod)
	if !wasPod || !isPod {
		return hint(false)
	}
	group := g.groupOf(pod)
	need, complaint := NeedOf(pod, group)
	oldNeed, oldComplaint := NeedOf(old, group)
	return hint(complaint == "" && (need != oldNeed || oldComplaint != ""))
}

// isHelpedByGroup is called for a waiting pod and a PodGroup that came or changed.
func (g *GPU) isHelpedByGroup(_ klog.Logger, waiting *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	group, isGroup := after.(*schedulingv1beta1.PodGroup)
	s := waiting.Spec.SchedulingGroup
	if !isGroup || s == nil || s.PodGroupName == nil || group.Namespace != waiting.Namespace || group.Name != *s.PodGroupName {
		return hint(false)
	}
	old, _ := before.(*schedulingv1beta1.PodGroup)
	need, complaint := NeedOf(waiting, group)
	oldNeed, oldComplaint := NeedOf(waiting, old)
	return hint(complaint == "" && (need != oldNeed || oldComplaint != ""))
}
