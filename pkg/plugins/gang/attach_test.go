package gang

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// expectant is a profile in which every pod waits in Permit.
type expectant struct{ framework.Framework }

func (expectant) WillWaitOnPermit(context.Context, *v1.Pod) bool { return true }

func TestMembersInPermitAreNotWrittenAbout(t *testing.T) {
	p := profile{expectant{}}
	require.False(t, p.WillWaitOnPermit(t.Context(), gangMember(0)))
	require.True(t, p.WillWaitOnPermit(t.Context(), podWith("single", nil)), "of others the framework decides")
}

func TestAPlacementHoldsEnoughOfAGang(t *testing.T) {
	type counts = map[string]int
	for name, c := range map[string]struct {
		try               *try
		placed            counts
		scheduled, remain int
		code              fwk.Code
		hasPlan           bool
	}{
		"before the first member":                {&try{}, nil, 0, 4, fwk.Wait, false},
		"too few so far":                         {&try{}, nil, 2, 1, fwk.Wait, false},
		"the minimum, and more to come":          {&try{}, nil, 3, 1, fwk.Success, false},
		"all":                                    {&try{}, nil, 4, 0, fwk.Success, true},
		"the minimum out of reach":               {&try{}, nil, 1, 1, fwk.Unschedulable, false},
		"the minimum without enough of a role":   {&try{perRole: counts{"ps": 2}}, counts{"ps": 1, "worker": 3}, 4, 0, fwk.Wait, false},
		"the minimum with enough of each role":   {&try{perRole: counts{"ps": 1, "worker": 2}}, counts{"ps": 1, "worker": 2}, 3, 0, fwk.Success, true},
		"after a placement that holds the gang":  {&try{hasPlan: true}, nil, 0, 4, fwk.Unschedulable, true},
		"a gang that nobody tries, its minimum":  {nil, nil, 3, 1, fwk.Success, false},
		"a gang that nobody tries, too few then": {nil, nil, 2, 0, fwk.Unschedulable, false},
	} {
		t.Run(name, func(t *testing.T) {
			whole, placement := framework.NewCycleState(), framework.NewCycleState()
			if c.try != nil {
				whole.Write(tryKey, c.try)
			}
			placement.SetPodGroupSchedulingCycle(whole)
			placement.Write(rolesKey, rolesPlaced(c.placed))
			info := &framework.PodGroupInfo{PodGroup: &schedulingv1beta1.PodGroup{Spec: schedulingv1beta1.PodGroupSpec{
				SchedulingPolicy: schedulingv1beta1.PodGroupSchedulingPolicy{Gang: &schedulingv1beta1.GangSchedulingPolicy{MinCount: 3}}}}}
			status := profile{}.RunPlacementFeasiblePlugins(t.Context(), placement, info, framework.PlacementProgress{Scheduled: c.scheduled, Remaining: c.remain})
			require.Equal(t, c.code, status.Code(), status.Message())
			if c.try != nil {
				require.Equal(t, c.hasPlan, c.try.hasPlan)
			}
		})
	}
}
