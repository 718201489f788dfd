package gang

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// Members that depend on one another by more than what they take from a node (spread constraints, affinity among siblings,
// claims of their own, devices) are searched for places one by one, with the framework's own filters and reservations, in the
// framework's own snapshot. What the core does for such a gang is the first way down of this search: it takes the first node
// that will do for each member and never looks back. The search goes back and tries the next.
//
//	             ┌────────────────────── undo, next node ◄──────────────┐
//	next member ─┴► filters ─► assume, reserve ─► next member ─► … ─► no node left
//	                                                            └──► enough: the plan
//
// It is exhaustive, but for two bounds: maxLooks, and that members of one class are taken for alike, and so are nodes with the
// same labels, taints, free resources and pods. What it misses by the first is shown by TestTheSearchGivesUp.

// maxLooks bounds how often the filters look at a node for a member before the search gives up; the first way down of each
// domain is free. Some hundred milliseconds.
const maxLooks = 50_000

// nodesPerLook is how many nodes the filters' preparation for a member goes over in the time of one look.
const nodesPerLook = 50

// simulator is what the search needs of the framework besides its filters; it hands out itself.
type simulator interface {
	filterRunner
	RunReservePluginsReserve(ctx context.Context, state fwk.CycleState, pod *v1.Pod, node string) *fwk.Status
	RunReservePluginsUnreserve(ctx context.Context, state fwk.CycleState, pod *v1.Pod, node string)
}

// draft is the snapshot in which members are assumed; the last one is forgotten first.
type draft interface {
	AssumePod(*framework.PodInfo) error
	ForgetPod(klog.Logger, *v1.Pod) error
}

// outcome is what became of a way that the search went.
type outcome int

const (
	deadEnd outcome = iota
	found
	gaveUp
)

// search is one search for places.
type search struct {
	t         *try
	p         *problem
	simulator simulator
	draft     draft
	state     fwk.PlacementCycleState
	rows      []*row
	// isOrdered is true if a member may find a place only after one of another row has.
	isOrdered bool

	looks   int // left
	turns   int // how often the search went back
	dead    map[string]bool
	alike   alike
	assumed map[types.UID]bool // members that are placed
	undo    []func()           // by member that is placed
	most    int                // members placed at once, ever
	err     error
	plan    plan
	chosen  []int // the plan's nodes
}

// searched plans a gang member by member, in the domains that the solver proposes, the narrowest and tightest first.
func (g *Gang) searched(ctx context.Context, state fwk.PodGroupCycleState, t *try, p *problem, parts []part, standing []*v1.Pod) []*fwk.Placement {
	if !g.canFit(t, p) {
		return nil
	}
	s := &search{t: t, p: p, looks: maxLooks, assumed: map[types.UID]bool{}, alike: alike{kinds: map[string]int{}, of: map[int]int{}}}
	var canSimulate, canDraft bool
	s.simulator, canSimulate = g.handle.(simulator)
	s.draft, canDraft = g.handle.SnapshotSharedLister().(draft)
	if !canSimulate || !canDraft {
		t.refused = gang.Waiting{Reason: gang.SchedulerError, Sentence: "the framework lends nobody its snapshot"}
		return nil
	}
	if t.refused = s.lineUp(klog.FromContext(ctx), parts, standing); t.refused != (gang.Waiting{}) {
		return nil
	}
	placementState := framework.NewCycleState()
	placementState.SetPodGroupSchedulingCycle(state)
	s.state = placementState
	defer p.cluster.Release()
	defer s.unwind(0) // whatever happens, others find the snapshot as it was
	isProven := true
	for _, d := range g.solver.Candidates(p.cluster.Fabric(), p.Problem) {
		switch s.in(ctx, d) {
		case found:
			t.plan = s.plan
			return []*fwk.Placement{placementOn(p.cluster, p.domainName(d.Depth, d.Domain), s.chosen)}
		case gaveUp:
			isProven = false
		}
		if s.err != nil {
			t.refused = gang.Waiting{Reason: gang.SchedulerError, Sentence: s.err.Error()}
			return nil
		}
	}
	t.reached = s.most
	if t.refused = g.explain(ctx, t); !isProven && t.refused.Reason != gang.NodesRejected {
		t.refused.Sentence += "; not every way was tried"
	}
	return nil
}

// in searches one domain. The plan is set if places are found.
func (s *search) in(ctx context.Context, d placement.Candidate) outcome {
	s.turns, s.dead = 0, map[string]bool{}
	for i, r := range s.rows {
		if i == 0 || r.pool != s.rows[i-1].pool {
			r.pool.open(s.p.cluster, d)
		}
	}
	if !s.isOrdered && len(s.rows) > 1 { // who has the least choice comes first
		s.weigh(ctx, d.Last-d.First)
		slices.SortStableFunc(s.rows, func(a, b *row) int { return cmp.Compare(a.choice, b.choice) })
	}
	return s.descend(ctx)
}

// descend places one more member, and all after it.
func (s *search) descend(ctx context.Context) outcome {
	s.most = max(s.most, len(s.undo))
	if s.err != nil || len(s.dead) > 0 && s.dead[s.signature()] {
		return deadEnd
	}
	hasMoved := false
	for _, r := range s.rows {
		if r.isClosed || r.isComplete() {
			continue
		}
		before := s.turns
		if way := s.place(ctx, r); way != deadEnd {
			return way
		}
		hasMoved = hasMoved || s.turns > before
		if s.isOrdered {
			continue
		}
		// The rest of this row may have to stay out for the sake of others.
		r.isClosed = true
		way := deadEnd
		if s.canBeEnough() {
			way = s.descend(ctx)
		}
		r.isClosed = false
		if way == deadEnd {
			s.note()
		}
		return way
	}
	if !hasMoved && s.isEnough() {
		s.write()
		return found
	}
	s.note()
	return deadEnd
}

// note remembers that there is no way on from here. Every dead end has cost a look, which bounds them.
func (s *search) note() { s.dead[s.signature()] = true }

// place tries the next member of a row on one node after the other.
func (s *search) place(ctx context.Context, r *row) outcome {
	pod := r.members[len(r.placed)]
	state, allowed, ok := s.prepare(ctx, pod)
	if !ok {
		return deadEnd
	}
	for _, node := range s.order(r) {
		if s.looks < 0 && s.turns > 0 {
			return gaveUp
		}
		if !s.admits(ctx, pod, state, allowed, node) {
			continue
		}
		if !s.take(ctx, r, state, node) {
			continue
		}
		way := s.descend(ctx)
		s.unwind(len(s.undo) - 1)
		if way != deadEnd || s.err != nil {
			return way
		}
		s.turns++
		if !isQuick(pod) { // what plugins reserve by may remember the node before
			if state, allowed, ok = s.prepare(ctx, pod); !ok {
				return deadEnd
			}
		}
	}
	return deadEnd
}

// prepare runs the filters' preparation for a member as things stand.
func (s *search) prepare(ctx context.Context, pod *v1.Pod) (_ *recorder, allowed *fwk.PreFilterResult, ok bool) {
	state := framework.NewCycleState()
	state.SetPodGroupSchedulingCycle(s.state.GetPodGroupSchedulingCycle())
	state.SetPlacementCycleState(s.state)
	r := &recorder{CycleState: state}
	s.looks -= 1 + s.p.cluster.Fabric().Len()/nodesPerLook
	allowed, status, _ := s.simulator.RunPreFilterPlugins(ctx, r, pod)
	if !status.IsSuccess() {
		s.fail(status)
		return nil, nil, false
	}
	return r, allowed, true
}

// admits is true if the filters take a member on a node as things stand.
func (s *search) admits(ctx context.Context, pod *v1.Pod, state *recorder, allowed *fwk.PreFilterResult, node int) bool {
	info := s.p.cluster.Info(node)
	if !allowed.AllNodes() && !allowed.NodeNames.Has(info.Node().Name) {
		return false
	}
	s.looks--
	status := s.simulator.RunFilterPluginsWithNominatedPods(ctx, state, pod, info)
	s.fail(status)
	return status.IsSuccess()
}

// fail remembers an error, which is no refusal.
func (s *search) fail(status *fwk.Status) {
	if !status.IsSuccess() && !status.IsRejected() && s.err == nil {
		s.err = status.AsError()
	}
}

// take puts the next member of a row on a node, as the core would.
func (s *search) take(ctx context.Context, r *row, state *recorder, node int) bool {
	logger, name := klog.FromContext(ctx), s.p.cluster.Fabric().Tree().Node(node)
	pod := r.members[len(r.placed)].DeepCopy()
	pod.Spec.NodeName = name
	info, err := framework.NewPodInfo(pod)
	if err == nil {
		err = s.draft.AssumePod(info)
	}
	if err != nil {
		s.err = err
		return false
	}
	release := func() {
		s.simulator.RunReservePluginsUnreserve(ctx, state, pod, name)
		if err := s.draft.ForgetPod(logger, pod); err != nil && s.err == nil {
			s.err = fmt.Errorf("take back pod %s/%s from node %s: %w", pod.Namespace, pod.Name, name, err)
		}
	}
	if status := s.simulator.RunReservePluginsReserve(ctx, state, pod, name); !status.IsSuccess() {
		s.fail(status)
		release()
		return false
	}
	s.p.cluster.Reserve(node, r.pool.request, 1)
	s.assumed[pod.UID] = true
	r.placed = append(r.placed, placed{node, state})
	r.bond.where = append(r.bond.where, node)
	s.undo = append(s.undo, func() {
		r.placed = r.placed[:len(r.placed)-1]
		r.bond.where = r.bond.where[:len(r.bond.where)-1]
		s.p.cluster.Reserve(node, r.pool.request, -1)
		delete(s.assumed, pod.UID)
		release()
	})
	return true
}

// unwind takes back all members but so many, the last one first.
func (s *search) unwind(placed int) {
	for last := len(s.undo) - 1; last >= placed; last-- {
		undo := s.undo[last]
		s.undo = s.undo[:last]
		undo()
	}
}

// write makes what is placed the plan.
func (s *search) write() {
	s.plan = plan{}
	for _, r := range s.rows {
		for i, at := range r.placed {
			s.chosen = append(s.chosen, at.node)
			s.plan[r.members[i].UID] = place{s.p.cluster.Fabric().Tree().Node(at.node), at.state}
		}
	}
}

// signature is the same for ways that lead to the same: as many members of each row on nodes that are alike, whoever came first.
func (s *search) signature() string {
	on := map[int][]int{} // by node: members by row
	for i, r := range s.rows {
		for _, at := range r.placed {
			if on[at.node] == nil {
				on[at.node] = make([]int, len(s.rows))
			}
			on[at.node][i]++
		}
	}
	parts := make([]string, 0, len(on)+len(s.rows))
	for node, members := range on {
		parts = append(parts, fmt.Sprint(s.looksOf(node), members))
	}
	for i, r := range s.rows {
		if r.isClosed {
			parts = append(parts, fmt.Sprint("closed ", i))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// isEnough is true if all are placed that must be, and what must be whole is.
func (s *search) isEnough() bool {
	return s.suffices(func(r *row) int { return len(r.placed) })
}

// canBeEnough is true as long as nobody who is left out must be placed.
func (s *search) canBeEnough() bool {
	return s.suffices(func(r *row) int {
		if r.isClosed {
			return len(r.placed)
		}
		return len(r.members)
	})
}

func (s *search) suffices(count func(*row) int) bool {
	all, ofRole, ofBond := 0, map[string]int{}, map[*bond]int{}
	for _, r := range s.rows {
		n := count(r)
		all += n
		ofRole[r.role] += n
		ofBond[r.bond] += n
	}
	for role, minimum := range s.t.perRole {
		if ofRole[role] < minimum {
			return false
		}
	}
	for b, n := range ofBond {
		if n < b.need || b.isWhole && n > 0 && n < b.size {
			return false
		}
	}
	return all >= s.t.need
}
