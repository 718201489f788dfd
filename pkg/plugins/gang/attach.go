package gang

import (
	"context"
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	core "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Attach puts our answers where the core asks nobody, or asks more than it needs to. It is called once, after the core was
// built and before it runs.
//
//   - Whether a placement holds enough of a gang the core asks only the plugin with the name of the one that ours replaces,
//     and without an answer it takes any part of a gang for enough: roles would count for nothing, and members without a
//     quorum would hold their nodes in Permit.
//   - For each member of a plan the core would run all filters again that [Gang.GeneratePlacements] has asked already, once
//     per class and node: see quick.go.
//   - While a member waits in Permit the core writes into its status on which node it is expected. Members of a gang wait
//     there for no longer than it takes to reserve the others, and that write would double the load on the API server.
func Attach(sched *core.Scheduler) {
	for name, p := range sched.Profiles {
		sched.Profiles[name] = profile{p}
	}
	sched.SchedulePod = quickly(sched.SchedulePod, len(sched.Extenders) > 0)
}

type profile struct{ framework.Framework }

// WillWaitOnPermit implements framework.Framework.
func (p profile) WillWaitOnPermit(ctx context.Context, pod *v1.Pod) bool {
	if _, isMember := keyOf(pod); isMember {
		return false
	}
	return p.Framework.WillWaitOnPermit(ctx, pod)
}

// RunPlacementFeasiblePlugins implements framework.Framework.
func (profile) RunPlacementFeasiblePlugins(_ context.Context, placement fwk.PlacementCycleState, info fwk.PodGroupInfo, progress framework.PlacementProgress) *fwk.Status {
	return placementFeasible(placement, info, progress)
}

var undecided = fwk.NewStatus(fwk.Wait, "not all members were looked at")

// placementFeasible is called before the first member of a try and after each.
func placementFeasible(placement fwk.PlacementCycleState, info fwk.PodGroupInfo, progress framework.PlacementProgress) *fwk.Status {
	need := minCount(info)
	t, isTried := tryOf(placement.GetPodGroupSchedulingCycle())
	if isTried {
		if t.hasPlan { // better placements come first
			return fwk.NewStatus(fwk.Unschedulable, "a placement before this one holds the gang")
		}
		t.reached = max(t.reached, progress.Scheduled)
	}
	if progress.Scheduled+progress.Remaining < need {
		return fwk.NewStatus(fwk.Unschedulable, fmt.Sprintf("%d of %d members fit", progress.Scheduled, need))
	}
	if progress.Scheduled < need {
		if progress.Remaining > 0 { // nobody reads what is said between two members
			return undecided
		}
		return fwk.NewStatus(fwk.Wait, fmt.Sprintf("%d of %d members fit so far", progress.Scheduled, need))
	}
	if !isTried {
		return nil
	}
	if len(t.perRole) == 0 {
		t.hasPlan = progress.Remaining == 0
		return nil
	}
	roles := rolesIn(placement)
	for _, role := range slices.Sorted(maps.Keys(t.perRole)) {
		if roles[role] < t.perRole[role] {
			return fwk.NewStatus(fwk.Wait, fmt.Sprintf("%d of %d members of role %q fit so far", roles[role], t.perRole[role], role))
		}
	}
	t.hasPlan = progress.Remaining == 0
	return nil
}
