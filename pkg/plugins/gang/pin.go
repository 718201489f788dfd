package gang

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
)

var (
	_ fwk.PreFilterPlugin = &Gang{}
	_ fwk.FilterPlugin    = &Gang{}
	_ fwk.SignPlugin      = &Gang{}
)

// planOf returns the plan of the try that a member is looked at in, nil if there is none.
func planOf(state fwk.CycleState) plan {
	if !state.IsPodGroupSchedulingCycle() {
		return nil
	}
	if t, ok := tryOf(state.GetPodGroupSchedulingCycle()); ok {
		return t.plan
	}
	return nil
}

// PreFilter is called for each pod. For a member of a gang that has a plan the one node of the plan is looked at, no other.
func (g *Gang) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	plan := planOf(state)
	if plan == nil {
		if !g.places.Any() {
			return nil, fwk.NewStatus(fwk.Skip)
		}
		state.Write(askingKey, askingOf(pod))
		return nil, nil
	}
	place, ok := plan[pod.UID]
	if !ok {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "the gang's plan has no place for this member")
	}
	return &fwk.PreFilterResult{NodeNames: sets.New(place.node)}, nil
}

// PreFilterExtensions implements fwk.PreFilterPlugin: a plan does not depend on single pods.
func (*Gang) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter is called for each node that a pod is tried on, if anything is planned for the pod or kept from others. A nominated node,
// or a hint from an earlier pod, may bring in another one than the plan's.
func (g *Gang) Filter(_ context.Context, state fwk.CycleState, pod *v1.Pod, info fwk.NodeInfo) *fwk.Status {
	if place, ok := planOf(state)[pod.UID]; ok && place.node != info.Node().Name {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "the gang's plan has another node for this member")
	}
	data, err := state.Read(askingKey)
	if err != nil {
		return nil
	}
	asking := data.(*asking)
	refusal := g.refusalFor(asking, info)
	if _, isMember := keyOf(pod); refusal != nil && !isMember { // gangs that were refused are known to the account
		g.places.TurnAway(pod)
	}
	return refusal
}

// SignPod is called for each pod: what was found for one member says nothing about another, their plan does. Nor does it of pods of
// different priorities while places are kept.
func (g *Gang) SignPod(_ context.Context, pod *v1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	if g.places.Any() {
		return nil, fwk.NewStatus(fwk.Unschedulable, "places are kept for lost members of gangs")
	}
	if _, ok := keyOf(pod); ok {
		return nil, fwk.NewStatus(fwk.Unschedulable, "members of gangs are planned together")
	}
	return nil, nil
}
