package harness

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
)

const roundRobinName = "RoundRobin"

// roundRobin is the ceiling: it decides nothing. Each pod goes to the next node, and a gang is tried when it is complete.
// What is left is what nobody who schedules through this core and this API server can be rid of.
type roundRobin struct {
	handle fwk.Handle
	next   int // the core places one pod at a time
}

var (
	_ fwk.PreEnqueuePlugin  = &roundRobin{}
	_ fwk.EnqueueExtensions = &roundRobin{}
	_ fwk.PreFilterPlugin   = &roundRobin{}
)

func newRoundRobin(_ context.Context, _ runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
	return &roundRobin{handle: handle}, nil
}

func (*roundRobin) Name() string { return roundRobinName }

// PreEnqueue holds a gang back until all of it is there, as every contender does.
func (r *roundRobin) PreEnqueue(_ context.Context, pod *v1.Pod) *fwk.Status {
	if !r.isComplete(pod) {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "incomplete")
	}
	return nil
}

// EventsToRegister has the last member, and no other, wake its gang.
func (r *roundRobin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{{
		Event: fwk.ClusterEvent{Resource: fwk.UnscheduledPod, ActionType: fwk.Add},
		PreQueueingHintFn: func(_ klog.Logger, _, object any) (fwk.PreQueueingHintResult, error) {
			pod, ok := object.(*v1.Pod)
			if !ok || !r.isComplete(pod) {
				return fwk.PreQueueingHintResult{}, nil
			}
			return fwk.PreQueueingHintResult{Pods: []types.NamespacedName{{Namespace: pod.Namespace, Name: pod.Name}}}, nil
		},
	}}, nil
}

func (r *roundRobin) isComplete(pod *v1.Pod) bool {
	if pod.Spec.SchedulingGroup == nil {
		return true
	}
	name := *pod.Spec.SchedulingGroup.PodGroupName
	group, err := r.handle.PodGroupManager().PodGroups().Get(pod.Namespace, name)
	if err != nil {
		return false
	}
	state, err := r.handle.PodGroupManager().PodGroupStates().Get(pod.Namespace, name)
	return err == nil && state.AllPodsCount() >= int(group.Spec.SchedulingPolicy.Gang.MinCount)
}

// PreFilter names the next node.
func (r *roundRobin) PreFilter(_ context.Context, _ fwk.CycleState, _ *v1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	node := nodes[r.next%len(nodes)].Node().Name
	r.next++
	return &fwk.PreFilterResult{NodeNames: sets.New(node)}, nil
}

func (*roundRobin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }
