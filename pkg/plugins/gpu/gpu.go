// Package gpu is the scheduler plugin that looks at the GPUs behind the counter: are they healthy, are they as the pod wishes,
// how will the pod's be linked, and what stays whole of what is not its own.
//
// Purpose: a thin adapter between the scheduling framework and package offer, which knows all rules. It looks at every pod that
// asks for whole GPUs (nvidia.com/gpu), gang or not; MIG instances and shared GPUs have resource names of their own, and pods
// that ask for these never come here. In the order in which the framework calls it:
//
//	PreFilter        what the pod needs; a wrong annotation ends the try, with the sentence that names it
//	Filter           turns away nodes where a GPU that the pod could get is not fit for it
//	Score            prefers nodes by merits and the weights of [GPUArgs]
//	hints            which changes of nodes, pods and groups may help a pod that was turned away
//
// The GPUs are also a matter of the [Fleet], which all profiles share: it keeps what was read of nodes, listens to the
// reporters' Leases, and tells nodes about bad reports.
//
// What Filter answers depends on nothing but the node with its pods, whether its report is stale, and the pod's [Need]: what
// its containers request, and what annotations of it or its PodGroup say. So one member may be asked for all of its class, as
// package gang does, if the members of a class have equal Needs: isAlike there compares containers, and [WishOf] the rest.
// GPUs that are promised to a pod whose status does not show them yet are read off the node, too: there is no Reserve here,
// and nothing to be lost in a restart.
//
// Invariants: no node ever gets more pods by what is said here than by the counter alone; a node without a report is judged as
// if this plugin were not there, but for wishes; that a report goes stale closes no node. Nothing panics outward.
// Cost: per pod and node one walk over the node's GPUs, and one over its pods if they changed. Nothing grows with the number of
// nodes or the size of a gang.
package gpu

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/internal/arguments"
)

// Name is the plugin's name in profiles and pluginConfig.
const Name = "GPU"

// ScoreWeight is what the plugin's score counts for among those of others, unless a profile says otherwise: more than that of
// the core's plugins that spread pods over nodes, less than what users prefer by affinities together.
const ScoreWeight = 5

// GPU is the plugin; one instance per profile.
type GPU struct {
	handle  fwk.Handle
	fleet   *Fleet
	weights weights
}

var (
	_ fwk.PreFilterPlugin   = &GPU{}
	_ fwk.FilterPlugin      = &GPU{}
	_ fwk.PreScorePlugin    = &GPU{}
	_ fwk.ScorePlugin       = &GPU{}
	_ fwk.SignPlugin        = &GPU{}
	_ fwk.EnqueueExtensions = &GPU{}
)

// Factory returns what the framework builds the plugin with, once per profile.
func Factory(fleet *Fleet) frameworkruntime.PluginFactory {
	return func(_ context.Context, object runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := arguments.Of[GPUArgs](Name, object)
		if err != nil {
			return nil, err
		}
		if err := fleet.settle(args); err != nil {
			return nil, fmt.Errorf("pluginConfig of %s in profile %s: %w", Name, handle.ProfileName(), err)
		}
		return &GPU{handle: handle, fleet: fleet, weights: args.Weights.values()}, nil
	}
}

// Name implements fwk.Plugin.
func (*GPU) Name() string { return Name }

const needKey fwk.StateKey = Name + "/need"

// needState is what a pod needs, for the rest of its try.
type needState struct{ Need }

// Clone implements fwk.StateData. It is never changed.
func (s *needState) Clone() fwk.StateData { return s }

func needIn(state fwk.CycleState) (Need, error) {
	data, err := state.Read(needKey)
	if err != nil {
		return Need{}, err
	}
	s, ok := data.(*needState)
	if !ok {
		return Need{}, fmt.Errorf("want a need under %s, got %T", needKey, data)
	}
	return s.Need, nil
}

// PreFilter is called once for each pod, and once for each class of a gang's members.
func (g *GPU) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	if pod.Spec.NodeName != "" { // it has its GPUs, and is here for another resource
		return nil, fwk.NewStatus(fwk.Skip)
	}
	need, complaint := NeedOf(pod, g.groupOf(pod))
	switch {
	case need.IsZero():
		return nil, fwk.NewStatus(fwk.Skip)
	case complaint != "":
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, complaint)
	}
	state.Write(needKey, &needState{need})
	return nil, nil
}

// PreFilterExtensions implements fwk.PreFilterPlugin: Filter reads the node that it is given, and prepares nothing of it.
func (*GPU) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// groupOf returns the PodGroup of a pod, nil if it has none.
func (g *GPU) groupOf(pod *v1.Pod) *schedulingv1beta1.PodGroup {
	s := pod.Spec.SchedulingGroup
	if s == nil || s.PodGroupName == nil {
		return nil
	}
	group, err := g.handle.PodGroupManager().PodGroups().Get(pod.Namespace, *s.PodGroupName)
	if err != nil { // it was deleted: the Gang plugin says so
		return nil
	}
	return group
}

// Filter is called for each node, from several goroutines at a time.
func (g *GPU) Filter(_ context.Context, state fwk.CycleState, _ *v1.Pod, info fwk.NodeInfo) *fwk.Status {
	need, err := needIn(state)
	if err != nil {
		return fwk.AsStatus(err)
	}
	reason, isCurable := g.fleet.Refusal(info, need)
	switch {
	case reason == "":
		return nil
	case isCurable:
		return fwk.NewStatus(fwk.Unschedulable, reason)
	}
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason)
}

// PreScore is called once for each pod that fits on several nodes.
func (g *GPU) PreScore(_ context.Context, state fwk.CycleState, _ *v1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	if _, err := needIn(state); err != nil {
		return fwk.NewStatus(fwk.Skip)
	}
	return nil
}

// Score is called for each node that fits, from several goroutines at a time.
func (g *GPU) Score(_ context.Context, state fwk.CycleState, _ *v1.Pod, info fwk.NodeInfo) (int64, *fwk.Status) {
	need, err := needIn(state)
	if err != nil {
		return 0, fwk.AsStatus(err)
	}
	return g.weights.score(g.fleet.merits(info, need)), nil
}

// ScoreExtensions implements fwk.ScorePlugin: scores are from 0 to 100 as they are.
func (*GPU) ScoreExtensions() fwk.ScoreExtensions { return nil }

// SignPod is called for each pod that enters the queue: pods with one signature have one answer from each node.
func (g *GPU) SignPod(_ context.Context, pod *v1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	need, complaint := NeedOf(pod, g.groupOf(pod))
	switch {
	case need.IsZero():
		return nil, nil
	case complaint != "":
		return nil, fwk.NewStatus(fwk.Unschedulable, complaint)
	}
	return []fwk.SignFragment{{Key: signKey, Value: need}}, nil
}

const signKey = "v1.Pod.Annotations.GPUNeed()"
