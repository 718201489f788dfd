package gang

import (
	"context"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	core "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// schedulePod is how the core finds a node for one pod.
type schedulePod = func(ctx context.Context, profile framework.Framework, state fwk.CycleState, podInfo *framework.QueuedPodInfo) (core.ScheduleResult, error)

// quickly answers at once for members whose node is planned and whose class the filters have judged on that node already.
// What the filters' preparation left in the class's state is handed to each member, for the plugins that reserve and bind.
// Extenders are no filters: where there are any, nothing is quick.
func quickly(next schedulePod, hasExtenders bool) schedulePod {
	return func(ctx context.Context, profile framework.Framework, state fwk.CycleState, podInfo *framework.QueuedPodInfo) (core.ScheduleResult, error) {
		if !hasExtenders && state.IsPodGroupSchedulingCycle() {
			if t, ok := tryOf(state.GetPodGroupSchedulingCycle()); ok {
				if place, isPlanned := t.plan[podInfo.Pod.UID]; isPlanned && place.judged != nil {
					place.judged.handTo(state)
					place.judged.weigh(podInfo)
					return core.ScheduleResult{SuggestedHost: place.node, EvaluatedNodes: 1, FeasibleNodes: 1}, nil
				}
			}
		}
		return next(ctx, profile, state, podInfo)
	}
}

// isQuick is true for pods that plugins have nothing of their own to prepare, reserve or bind for but what is the same for
// all pods of their class.
func isQuick(pod *v1.Pod) bool {
	if len(pod.Spec.ResourceClaims) > 0 {
		return false
	}
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i].VolumeSource; v.PersistentVolumeClaim != nil || v.Ephemeral != nil || v.CSI != nil {
			return false
		}
	}
	return true
}

// recorder is a state that remembers what was written into it.
type recorder struct {
	fwk.CycleState
	written []entry
	weighed *framework.PodInfo // of a member of the class, once one was asked for what it requests
}

type entry struct {
	key  fwk.StateKey
	data fwk.StateData
}

// Write implements fwk.CycleState.
func (r *recorder) Write(key fwk.StateKey, data fwk.StateData) {
	r.CycleState.Write(key, data)
	r.written = append(r.written, entry{key, data})
}

// handTo writes the same into another state.
func (r *recorder) handTo(state fwk.CycleState) {
	for _, e := range r.written {
		state.Write(e.key, e.data.Clone())
	}
	state.SetSkipFilterPlugins(r.GetSkipFilterPlugins())
}

// weigh tells a member's request as that of others of its class. The core would calculate it anew for each of them when it puts them
// on their nodes: that was two thirds of the memory that a decision took (docs/benchmarks.md).
func (r *recorder) weigh(member *framework.QueuedPodInfo) {
	status := &member.Pod.Status
	if len(status.ContainerStatuses)+len(status.InitContainerStatuses) > 0 || status.Resources != nil {
		return // they may say something else than the spec, by which members are alike
	}
	if r.weighed == nil {
		member.CalculateResource() // which it keeps
		r.weighed = member.PodInfo
		return
	}
	own := member.PodInfo
	shared := *r.weighed
	shared.Pod = own.Pod
	shared.RequiredAffinityTerms, shared.RequiredAntiAffinityTerms = own.RequiredAffinityTerms, own.RequiredAntiAffinityTerms
	shared.PreferredAffinityTerms, shared.PreferredAntiAffinityTerms = own.PreferredAffinityTerms, own.PreferredAntiAffinityTerms
	member.PodInfo = &shared
}
