package gang

import (
	"context"
	"fmt"
	"maps"
	"slices"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Profile makes a profile of the core ask this package whether a placement holds enough of a gang. A profile asks nobody
// but the plugin with the name of the one that ours replaces, and without an answer it takes any part of a gang for enough:
// roles would count for nothing, and members without a quorum would hold their nodes in Permit.
func Profile(core framework.Framework) framework.Framework { return profile{core} }

type profile struct{ framework.Framework }

// RunPlacementFeasiblePlugins implements framework.Framework.
func (profile) RunPlacementFeasiblePlugins(_ context.Context, placement fwk.PlacementCycleState, info fwk.PodGroupInfo, progress framework.PlacementProgress) *fwk.Status {
	return placementFeasible(placement, info, progress)
}

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
		return fwk.NewStatus(fwk.Wait, fmt.Sprintf("%d of %d members fit so far", progress.Scheduled, need))
	}
	if !isTried {
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
