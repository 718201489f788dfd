package gang

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"github.com/phalanx-scheduler/phalanx/pkg/explain"
	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/parking"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// try is what the plugin remembers of one try to place a gang. The scheduler works on one gang at a time, in one goroutine.
type try struct {
	key     gang.Key
	group   *schedulingv1beta1.PodGroup
	demand  ledger.Demand
	foes    []labels.Selector // by which members are told apart: of pods that run and mind some of them, and of siblings
	classes []class
	need    int            // members that must be placed in this try
	perRole map[string]int // members of a role that must be placed in this try
	plan    plan           // nil if the framework's filters and scores choose the nodes
	isOpen  bool           // they do
	hasPlan bool           // a placement of this try holds the gang: those after it are not looked at
	reached int            // the most members that were placed at once
	refused gang.Waiting
	kept    []*repair.Place                   // from this gang, for others
	closed  map[closing]*placement.Exclusions // see closeNodes
	began   parking.Moment                    // before it looked at the cluster
	isSure  bool                              // it would be refused again while nothing happens that could help
	isEarly bool                              // the queue handed over fewer members than must be placed: the others are on their way to it
}

// Clone implements fwk.StateData. The framework clones states for simulations, which share the try.
func (t *try) Clone() fwk.StateData { return t }

// rolesPlaced counts the members placed by role, in one placement.
type rolesPlaced map[string]int

// Clone implements fwk.StateData.
func (r rolesPlaced) Clone() fwk.StateData { return maps.Clone(r) }

const (
	tryKey   fwk.StateKey = Name + "/try"
	rolesKey fwk.StateKey = Name + "/roles"
)

type reader interface {
	Read(fwk.StateKey) (fwk.StateData, error)
}

func tryOf(state reader) (*try, bool) {
	data, err := state.Read(tryKey)
	if err != nil {
		return nil, false
	}
	t, ok := data.(*try)
	return t, ok
}

// GeneratePlacements is called once per try, before any member is looked at. It plans the whole gang at once, and returns the
// plan's nodes as the only placement; or it refuses the gang, and no member is looked at.
func (g *Gang) GeneratePlacements(ctx context.Context, state fwk.PodGroupCycleState, info fwk.PodGroupInfo, parent *fwk.Placement) (_ *fwk.GeneratePlacementsResult, status *fwk.Status) {
	t := &try{key: gang.KeyOf(info.GetNamespace(), info.GetName()), group: info.GetPodGroup(), began: g.lot.Now()}
	defer func() {
		if r := recover(); r != nil {
			status = g.survive(ctx, t, r)
		}
	}()
	if status := g.takeStock(t, info); !status.IsSuccess() {
		return nil, status
	}
	state.Write(tryKey, t)
	if t.isEarly {
		return nil, fwk.NewStatus(fwk.Unschedulable)
	}
	placements := g.plan(ctx, state, t, info, parent.Nodes)
	if t.refused != (gang.Waiting{}) {
		return nil, fwk.NewStatus(fwk.Unschedulable) // PodGroupPostFilter, which comes next, says why
	}
	g.homes.remember(t)
	g.measureSpan(t)
	return &fwk.GeneratePlacementsResult{Placements: placements}, nil
}

// survive turns a panic into the refusal of the gang that met it: others are planned as if nothing had happened. What the
// plugin knew of the cluster is forgotten, for it may be half written.
func (g *Gang) survive(ctx context.Context, t *try, cause any) *fwk.Status {
	klog.FromContext(ctx).Error(nil, "Planning a gang panicked", "gang", t.key.String(), "panic", cause, "stack", string(debug.Stack()))
	g.solver, g.refusals = placement.Solver{}, refusals{}
	clear(g.clusters)
	t.plan, t.refused = nil, gang.Waiting{Reason: gang.SchedulerError, Sentence: fmt.Sprintf("planning the gang panicked: %v", cause)}
	return fwk.NewStatus(fwk.Unschedulable)
}

// takeStock fills in what the gang still needs.
func (g *Gang) takeStock(t *try, info fwk.PodGroupInfo) *fwk.Status {
	var ok bool
	if t.demand, ok = g.account.Demand(t.key); !ok {
		return fwk.NewStatus(fwk.Unschedulable, fmt.Sprintf("%s: the PodGroup was deleted", gang.GangNotFound))
	}
	scheduled, err := g.scheduledPods(info)
	if err != nil {
		return fwk.AsStatus(err)
	}
	t.need = max(1, minCount(info)-len(scheduled))
	if len(t.demand.Group.MinPerRole) > 0 {
		t.perRole = g.openRoles(t.key, t.demand.Group.MinPerRole, t.demand.SucceededPerRole, scheduled)
	}
	t.isEarly = len(info.GetUnscheduledPods()) < t.need
	return nil
}

func minCount(info fwk.PodGroupInfo) int {
	if group := info.GetPodGroup(); group != nil && group.Spec.SchedulingPolicy.Gang != nil {
		return int(group.Spec.SchedulingPolicy.Gang.MinCount)
	}
	return 1
}

func (g *Gang) scheduledPods(info fwk.PodGroupInfo) ([]*v1.Pod, error) {
	state, err := g.handle.SnapshotSharedLister().PodGroupStates().Get(info.GetNamespace(), info.GetName())
	if err != nil {
		return nil, fmt.Errorf("state of PodGroup %s/%s: %w", info.GetNamespace(), info.GetName(), err)
	}
	return state.ScheduledPods(), nil
}

// openRoles returns how many members of each role are missing still.
func (g *Gang) openRoles(key gang.Key, minimum map[string]int32, succeeded map[string]int, scheduled []*v1.Pod) map[string]int {
	open := make(map[string]int, len(minimum))
	for role, count := range minimum {
		open[role] = int(count) - succeeded[role]
	}
	for _, pod := range scheduled {
		if pod.DeletionTimestamp == nil {
			open[g.account.Role(key, pod)]--
		}
	}
	maps.DeleteFunc(open, func(_ string, count int) bool { return count <= 0 })
	return open
}

// Reserve is called for each member that found a node, in the simulation of a try and again when it is carried out.
func (g *Gang) Reserve(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) *fwk.Status {
	if state.IsPodGroupSchedulingCycle() {
		g.countRole(state, pod, 1)
	}
	return nil
}

// countRole counts a member for its role in one placement, where that matters to anybody.
func (g *Gang) countRole(state fwk.CycleState, pod *v1.Pod, by int) {
	placement := state.GetPlacementCycleState()
	if placement == nil {
		return
	}
	t, ok := tryOf(placement.GetPodGroupSchedulingCycle())
	if !ok || len(t.perRole) == 0 {
		return
	}
	roles := rolesIn(placement)
	roles[g.account.Role(t.key, pod)] += by
	placement.Write(rolesKey, roles)
}

func rolesIn(placement fwk.PlacementCycleState) rolesPlaced {
	if data, err := placement.Read(rolesKey); err == nil {
		if roles, ok := data.(rolesPlaced); ok {
			return roles
		}
	}
	return rolesPlaced{}
}

// PodGroupPostFilter is called when a try failed. It makes room for nobody yet: it tells the account why, in the words that
// the gang's members will show.
func (g *Gang) PodGroupPostFilter(ctx context.Context, state fwk.PodGroupCycleState, info fwk.PodGroupInfo, _ fwk.PodGroupSchedulingFunc) (*fwk.PodGroupPostFilterResult, *fwk.Status) {
	why := gang.Waiting{Reason: gang.GangNotFound, Sentence: "the PodGroup was deleted"}
	if t, ok := tryOf(state); ok {
		if t.isEarly { // a moment of the queue, which is no reason of the gang's
			return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf("%s: not all members are known to the queue", gang.GangIncomplete))
		}
		if why = t.refused; why == (gang.Waiting{}) {
			why = g.explain(ctx, t)
			g.doubt(ctx, t, info)
		}
	}
	// The core's plugin for devices comes next. It takes it for an error if it saw no member in this try: none was tried, or
	// another plugin turned all away before.
	code := fwk.UnschedulableAndUnresolvable
	if _, err := state.Read(names.DynamicResources); err == nil {
		code = fwk.Unschedulable
	}
	key := gang.KeyOf(info.GetNamespace(), info.GetName())
	g.account.Refuse(key, why)
	if t, ok := tryOf(state); ok && t.isSure {
		g.lot.Park(key, t.began)
	}
	return nil, fwk.NewStatus(code, why.String())
}

// maxUnsure bounds the gangs that are remembered for their plan's failure.
const maxUnsure = 1000

// doubt remembers that members got into each other's way in a manner that the solver does not see, or that the framework did
// not look ahead for: they are tried again at once, and searched for places one by one.
func (g *Gang) doubt(ctx context.Context, t *try, info fwk.PodGroupInfo) {
	if g.unsure[t.key] || t.plan == nil && !t.isOpen {
		return
	}
	if len(g.unsure) >= maxUnsure {
		clear(g.unsure)
	}
	g.unsure[t.key] = true
	if pods := info.GetUnscheduledPods(); len(pods) > 0 {
		g.handle.Activate(klog.FromContext(ctx), map[string]*v1.Pod{pods[0].Namespace + "/" + pods[0].Name: pods[0]})
	}
}

// explain finds out why a gang that fits as far as the solver knows found no place: nodes that no member may use, or members
// that take from each other what the solver does not see.
func (g *Gang) explain(ctx context.Context, t *try) gang.Waiting {
	nodes, err := g.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return gang.Waiting{Reason: gang.SchedulerError, Sentence: err.Error()}
	}
	fewest := len(nodes)
	for _, c := range t.classes {
		feasible, reasons := g.feasible(ctx, c.pod(), nodes)
		if feasible == 0 {
			return gang.Waiting{Reason: gang.NodesRejected, Sentence: fmt.Sprintf("no node admits %s: %s", explain.Plural(int64(len(c.members)), "member"), counted(reasons))}
		}
		fewest = min(fewest, feasible)
	}
	if level := t.demand.Wish.Required; level != (gang.Level{}) {
		return gang.Waiting{Reason: gang.TopologyTooNarrow, Sentence: fmt.Sprintf("no domain holds the gang: %s", level.Source)}
	}
	return gang.Waiting{Reason: gang.Fragmented, Sentence: fmt.Sprintf("%d members fit together, %d more must; alone each fits on %s",
		t.reached, max(1, t.need-t.reached), explain.Plural(int64(fewest), "node"))}
}

// feasible runs the profile's own filters for one pod over all nodes.
func (g *Gang) feasible(ctx context.Context, pod *v1.Pod, nodes []fwk.NodeInfo) (count int, reasons map[string]int) {
	reasons = map[string]int{}
	runner, ok := g.handle.(filterRunner)
	if !ok {
		return len(nodes), reasons
	}
	state := framework.NewCycleState()
	result, status, _ := runner.RunPreFilterPlugins(ctx, state, pod)
	if !status.IsSuccess() {
		reasons[status.Message()] = len(nodes)
		return 0, reasons
	}
	for _, node := range nodes {
		if result != nil && result.NodeNames != nil && !result.NodeNames.Has(node.Node().Name) {
			reasons["not selected"]++
			continue
		}
		if status := runner.RunFilterPluginsWithNominatedPods(ctx, state, pod, node); status.IsSuccess() {
			count++
		} else {
			reasons[status.Message()]++
		}
	}
	return count, reasons
}

func counted(reasons map[string]int) string {
	parts := make([]string, 0, len(reasons))
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		parts = append(parts, fmt.Sprintf("%d %s", reasons[why], why))
	}
	return strings.Join(parts, ", ")
}
