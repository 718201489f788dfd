// Package gang is the scheduler plugin that places gangs all at once or not at all.
//
// Purpose: a thin adapter between the scheduling framework and the gangs' account (see [Account]). It replaces the core's
// GangScheduling, TopologyPlacementGenerator and PodGroupPodsCount plugins, and PrioritySort. In the order in which the
// framework calls it:
//
//	Sort.Less              half-started gangs first (after a crash), then by priority, then by age
//	PreEnqueue             a gang is tried once it can be complete; what it lacks is known to the account
//	GeneratePlacements     plans the whole gang, or refuses it, before any member is tried (by the solver, or where members
//	                       depend on each other in ways that it cannot count by a search: see search.go)
//	PreFilter, Filter      hold each member to the node of the plan, and pods of others off places that are kept for lost members
//	Reserve, Unreserve     count the roles placed in this try; give back a gang that waits in Permit when one of it goes
//	placementFeasible      enough members, and enough of each role (see [Attach])
//	PodGroupPostFilter     says why a gang that was tried did not fit
//	Permit                 holds members until the gang's quorum is reserved, then lets all go
//
// Invariants: no member goes to binding unless the quorum of its gang is reserved; nothing panics outward.
// Cost: constant per member in every method but GeneratePlacements and PodGroupPostFilter, which are called once per try
// of a gang: a plan costs what package placement says, and one look of the framework's filters at each node of the plan.
package gang

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/parking"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/internal/arguments"
)

// Name is the plugin's name in profiles and pluginConfig.
const Name = "Gang"

// Gang is the plugin; one instance per profile.
type Gang struct {
	handle        fwk.Handle
	account       Account
	hyperNodes    HyperNodes
	places        *repair.Places
	lot           *parking.Lot
	gpus          GPUs // nil if nobody knows of any
	permitTimeout time.Duration
	waiting       waitingMembers

	// What follows belongs to the scheduling loop's goroutine.
	solver   placement.Solver
	levels   levels
	clusters map[string]*cluster.Cluster // by the levels that they know; "" is the configured ones
	refusals refusals
	homes    homes
	unsure   map[gang.Key]bool // gangs to search for places: members of theirs got into each other's way

	hasGPUFilter *bool // whether the profile has the GPU plugin's, once that is known
}

var (
	_ fwk.PreEnqueuePlugin         = &Gang{}
	_ fwk.EnqueueExtensions        = &Gang{}
	_ fwk.PlacementGeneratePlugin  = &Gang{}
	_ fwk.ReservePlugin            = &Gang{}
	_ fwk.PodGroupPostFilterPlugin = &Gang{}
	_ fwk.PermitPlugin             = &Gang{}
)

// Account is what the plugin asks and tells about gangs; the ledger is one.
type Account interface {
	// Blocked returns why no member may be tried now.
	Blocked(gang.Key) gang.Waiting
	// Demand returns what the gang needs, false if its PodGroup is gone.
	Demand(gang.Key) (ledger.Demand, bool)
	// IsHalfStarted is true while fewer members than must run together hold a node, but not none.
	IsHalfStarted(gang.Key) bool
	// Refuse notes why a try failed, Accept that one succeeded.
	Refuse(gang.Key, gang.Waiting)
	Accept(gang.Key)
	// Role returns a member's role inside its gang.
	Role(gang.Key, *v1.Pod) string
	// Lot is where gangs are parked that were refused for want of room.
	Lot() *parking.Lot
	// Places are those that are kept for members that gangs have lost.
	Places() *repair.Places
}

// HyperNodes are what the cluster has of them; a hypernode.Set is one.
type HyperNodes interface {
	// Current returns the same tree until a HyperNode changes, nil while there are none.
	Current() *hypernode.Tree
}

// GPUs are what reports say of them; a gpu.Fleet is one.
type GPUs interface {
	// Refusal says why a node does not take a pod that needs this of its GPUs, "" if it does.
	Refusal(info fwk.NodeInfo, need gpu.Need) (reason string, isCurable bool)
	// IsDoubtful is true for a node that is better left alone by who can stand as well elsewhere.
	IsDoubtful(info fwk.NodeInfo) bool
	// Epoch tells how long answers hold: while it is the same they depend on the node with its pods alone.
	Epoch() uint64
}

// Factory returns what the framework builds the plugin with, once per profile.
func Factory(account Account, hyperNodes HyperNodes, gpus GPUs) frameworkruntime.PluginFactory {
	return func(ctx context.Context, object runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := arguments.Of[GangArgs](Name, object)
		if err != nil {
			return nil, err
		}
		return &Gang{
			handle:        handle,
			account:       account,
			places:        account.Places(),
			lot:           account.Lot(),
			hyperNodes:    hyperNodes,
			gpus:          gpus,
			permitTimeout: time.Duration(*args.ScheduleTimeoutSeconds) * time.Second,
			levels:        args.Topology.clusterLevels(),
			clusters:      map[string]*cluster.Cluster{},
			unsure:        map[gang.Key]bool{},
		}, nil
	}
}

// Name implements fwk.Plugin.
func (*Gang) Name() string { return Name }

// keyOf returns the gang that a pod belongs to in memory.
func keyOf(pod *v1.Pod) (gang.Key, bool) {
	if g := pod.Spec.SchedulingGroup; g != nil && g.PodGroupName != nil {
		return gang.KeyOf(pod.Namespace, *g.PodGroupName), true
	}
	return gang.Key{}, false
}

// PreEnqueue is called for each member before its gang enters the active queue.
func (g *Gang) PreEnqueue(_ context.Context, pod *v1.Pod) *fwk.Status {
	key, ok := keyOf(pod)
	if !ok {
		return nil
	}
	if why := g.account.Blocked(key); why != (gang.Waiting{}) {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, why.String())
	}
	if g.lot.Holds(key) {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "it was refused, and nothing has happened since that could help it")
	}
	if exist, need := g.known(pod); exist < need {
		// The account is ahead of the queue: the rest of the gang is about to arrive here.
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf("%s: %d of %d members are known to the queue", gang.GangIncomplete, exist, need))
	}
	return nil
}

// known returns how many members the core knows and how many it must place.
func (g *Gang) known(pod *v1.Pod) (exist, need int) {
	name := *pod.Spec.SchedulingGroup.PodGroupName
	manager := g.handle.PodGroupManager()
	group, err := manager.PodGroups().Get(pod.Namespace, name)
	if err != nil {
		return 0, 1
	}
	if group.Spec.SchedulingPolicy.Gang == nil {
		return 0, 0
	}
	state, err := manager.PodGroupStates().Get(pod.Namespace, name)
	if err != nil {
		return 0, 1
	}
	return state.AllPodsCount(), int(group.Spec.SchedulingPolicy.Gang.MinCount)
}

// Permit is called for each member of a gang that has been placed, one after the other.
func (g *Gang) Permit(_ context.Context, _ fwk.CycleState, pod *v1.Pod, _ string) (*fwk.Status, time.Duration) {
	key, ok := keyOf(pod)
	if !ok {
		return nil, 0
	}
	manager := g.handle.PodGroupManager()
	group, err := manager.PodGroups().Get(pod.Namespace, *pod.Spec.SchedulingGroup.PodGroupName)
	if err != nil {
		return fwk.NewStatus(fwk.Unschedulable, fmt.Sprintf("%s: the PodGroup was deleted while its members were placed", gang.GangNotFound)), 0
	}
	if group.Spec.SchedulingPolicy.Gang == nil {
		return nil, 0
	}
	state, err := manager.PodGroupStates().Get(pod.Namespace, group.Name)
	if err != nil {
		return fwk.AsStatus(err), 0
	}
	if need := int(group.Spec.SchedulingPolicy.Gang.MinCount); state.ScheduledPodsCount() < need {
		g.waiting.add(key, pod.UID)
		return fwk.NewStatus(fwk.Wait, fmt.Sprintf("%d of %d members are reserved", state.ScheduledPodsCount(), need)), g.timeout(key)
	}
	for _, uid := range g.waiting.take(key) {
		if member := g.handle.GetWaitingPod(uid); member != nil {
			member.Allow(Name)
		}
	}
	g.account.Accept(key)
	delete(g.unsure, key)
	return nil, 0
}

func (g *Gang) timeout(key gang.Key) time.Duration {
	if demand, ok := g.account.Demand(key); ok && demand.Group.ScheduleTimeout > 0 {
		return demand.Group.ScheduleTimeout
	}
	return g.permitTimeout
}

// Unreserve is called when a member that was reserved does not get bound. If it waited in Permit, the others that wait with
// it go back too: without it there is no quorum, and what they hold is of use to somebody else.
func (g *Gang) Unreserve(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) {
	if !state.IsPodGroupSchedulingCycle() {
		g.lot.HasRoom()
	}
	key, ok := keyOf(pod)
	if !ok {
		return
	}
	if state.IsPodGroupSchedulingCycle() {
		g.countRole(state, pod, -1)
		return
	}
	if !g.waiting.has(key, pod.UID) {
		return
	}
	members := g.waiting.take(key)
	why := gang.Waiting{Reason: gang.PermitTimeout, Sentence: fmt.Sprintf("%d members were reserved, but not enough others to start within %s", len(members), g.timeout(key))}
	g.account.Refuse(key, why)
	for _, uid := range members {
		if member := g.handle.GetWaitingPod(uid); member != nil {
			member.Reject(Name, why.String())
		}
	}
}
