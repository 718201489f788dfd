package gang

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/explain"
	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// maxRounds bounds how often a plan is made anew because the framework's filters turn some of its nodes away. The round
// before the last asks the filters about every node, so that the last one is final.
const maxRounds = 8

// problem is one try of a gang, or of a part of it, in the solver's words.
type problem struct {
	placement.Problem
	classes []class
	cluster *cluster.Cluster
	isOwn   []bool         // by class: its exclusions are not shared with others any more
	states  []*filterState // by class, once the filters were asked

	admission string // by which nodes' objects admit which class
}

// plan is where each member goes that has a place.
type plan map[types.UID]place

// place is where a member goes.
type place struct {
	node string
	// judged is what the filters' preparation left behind, if that and their judgement hold for the member as they are.
	judged *recorder
}

// solve finds a plan that the framework's own filters agree with. refused says why there is none.
func (g *Gang) solve(ctx context.Context, p *problem) (placement.Plan, gang.Waiting) {
	for round := 0; ; round++ {
		solution, refusal := g.solveOnce(p)
		if refusal != nil {
			return placement.Plan{}, p.waiting(refusal)
		}
		if round == maxRounds {
			return solution, gang.Waiting{}
		}
		rejected, why := g.ask(ctx, p, solution, round == maxRounds-1)
		if why != (gang.Waiting{}) {
			return placement.Plan{}, why
		}
		if rejected == 0 {
			return g.spare(ctx, p, solution), gang.Waiting{}
		}
		plansRejected.Inc()
	}
}

func (g *Gang) solveOnce(p *problem) (placement.Plan, *placement.Refusal) {
	start := time.Now()
	defer func() { solveDuration.Observe(time.Since(start).Seconds()) }()
	return g.solver.Solve(p.cluster.Fabric(), p.Problem)
}

// waiting is a refusal as the gang's members show it.
func (p *problem) waiting(r *placement.Refusal) gang.Waiting {
	f := p.cluster.Fabric()
	reason := gang.Fragmented
	switch {
	case r.Kind == placement.Excluded:
		reason = gang.NodesRejected
	case r.Kind == placement.Insufficient:
		reason = insufficient(f.ResourceName(r.Scarce))
	case r.Kind == placement.TooNarrow || r.Kind == placement.Apart && r.Depth > 0:
		reason = gang.TopologyTooNarrow
	}
	return gang.Waiting{Reason: reason, Sentence: explain.Refusal(f, p.Problem, r, written).Sentence}
}

// filterState is what the framework's filters know of a class.
type filterState struct {
	state   *recorder
	allowed sets.Set[string] // nil for all nodes
}

// filterRunner is the part of framework.Framework that a fwk.Handle leaves out; the framework hands out itself.
type filterRunner interface {
	RunPreFilterPlugins(ctx context.Context, state fwk.CycleState, pod *v1.Pod) (*fwk.PreFilterResult, *fwk.Status, sets.Set[string])
	RunFilterPluginsWithNominatedPods(ctx context.Context, state fwk.CycleState, pod *v1.Pod, info fwk.NodeInfo) *fwk.Status
}

var _ filterRunner = framework.Framework(nil)

// ask has the framework's filters look at the nodes of a solution, each once per class, or at all nodes. What they turn away
// is excluded. why is set if they turn a class away whatever the node.
func (g *Gang) ask(ctx context.Context, p *problem, solution placement.Plan, all bool) (rejected int, why gang.Waiting) {
	runner, ok := g.handle.(filterRunner)
	if !ok {
		return 0, gang.Waiting{}
	}
	for i := range p.classes {
		state, status := p.filterState(ctx, runner, i)
		if !status.IsSuccess() {
			if !status.IsRejected() {
				return 0, gang.Waiting{Reason: gang.SchedulerError, Sentence: status.Message()}
			}
			return 0, gang.Waiting{Reason: gang.NodesRejected, Sentence: fmt.Sprintf("no node admits %s: %s", explain.Plural(int64(len(p.classes[i].members)), "member"), status.Message())}
		}
		var nodes []int
		if all {
			nodes = make([]int, p.cluster.Fabric().Len())
			for n := range nodes {
				nodes[n] = n
			}
		} else {
			for _, place := range solution.Places {
				if place.Class == i {
					nodes = append(nodes, place.Node)
				}
			}
		}
		for _, node := range nodes {
			if reason := p.rejection(ctx, runner, state, i, node); reason != "" {
				p.exclude(i, node, reason)
				rejected++
			}
		}
	}
	return rejected, gang.Waiting{}
}

// filterState runs the filters' preparation once per class. What it allows no node to be is excluded at once.
func (p *problem) filterState(ctx context.Context, runner filterRunner, class int) (*filterState, *fwk.Status) {
	if p.states == nil {
		p.states = make([]*filterState, len(p.classes))
	}
	if p.states[class] == nil {
		s := &filterState{state: &recorder{CycleState: framework.NewCycleState()}}
		result, status, _ := runner.RunPreFilterPlugins(ctx, s.state, p.classes[class].pod())
		if !status.IsSuccess() {
			return nil, status
		}
		if result != nil && result.NodeNames != nil {
			s.allowed = result.NodeNames
			for n := range p.cluster.Fabric().Len() {
				if !s.allowed.Has(p.cluster.Fabric().Tree().Node(n)) {
					p.exclude(class, n, "not selected")
				}
			}
		}
		p.states[class] = s
	}
	return p.states[class], nil
}

// rejection is why a node may not take a member of a class, "" if it may.
func (p *problem) rejection(ctx context.Context, runner filterRunner, s *filterState, class, node int) string {
	info := p.cluster.Info(node)
	if s.allowed != nil && !s.allowed.Has(info.Node().Name) {
		return "not selected"
	}
	status := runner.RunFilterPluginsWithNominatedPods(ctx, s.state, p.classes[class].pod(), info)
	if status.IsSuccess() {
		return ""
	}
	return cluster.Words(status.Message())
}

// exclude keeps a class off a node for the rest of the try.
func (p *problem) exclude(class, node int, reason string) {
	c := &p.Classes[class]
	if c.Excluded.By[node] != 0 {
		return
	}
	c.Excluded = cluster.Exclude(c.Excluded, p.isOwn[class], node, reason)
	p.isOwn[class] = true
}

// only keeps a class off all nodes but one.
func (p *problem) only(class, node int) {
	c := &p.Classes[class]
	by := make([]uint8, len(c.Excluded.By))
	for i := range by {
		if by[i] = c.Excluded.By[i]; i != node && by[i] == 0 {
			by[i] = 1
		}
	}
	c.Excluded = &placement.Exclusions{Reasons: slices.Clone(c.Excluded.Reasons), By: by}
	p.isOwn[class] = true
}

// newProblem puts members into the solver's words. Of them need must be placed, and of roles what perRole says.
func newProblem(logger klog.Logger, c *cluster.Cluster, classes []class, need int, perRole map[string]int) *problem {
	p := &problem{classes: classes, cluster: c, isOwn: make([]bool, len(classes))}
	p.Minimum = need
	ofRole := map[string]int{}
	for _, class := range classes {
		ofRole[class.role] += len(class.members)
	}
	for _, class := range classes {
		count := len(class.members)
		name := ""
		if len(classes) > 1 {
			name = class.role
		}
		excluded, key := c.Excluded(logger, class.pod())
		p.admission += key
		p.Classes = append(p.Classes, placement.Class{
			Name:    name,
			Request: requestOf(c, &class),
			Members: count,
			// What others of the role cannot stand for.
			Minimum:  min(count, max(0, perRole[class.role]-(ofRole[class.role]-count))),
			Excluded: excluded,
		})
	}
	lead := slices.IndexFunc(classes, func(class class) bool { return class.hasGPUs() })
	if lead > 0 { // the first class leads, and GPUs are what gangs are packed for
		p.Classes[0], p.Classes[lead] = p.Classes[lead], p.Classes[0]
		p.classes = slices.Clone(classes)
		p.classes[0], p.classes[lead] = p.classes[lead], p.classes[0]
	}
	return p
}

// requestOf is what a member of a class takes from its node.
func requestOf(c *cluster.Cluster, class *class) fabric.Request {
	request := c.Request(class.request)
	for _, s := range class.shares {
		request = append(request, fabric.Amount{Resource: c.Share(s.name), Quantity: s.amount})
	}
	return request
}

// pin writes down which member goes where: members in the order of their ranks, along the fabric.
func (p *problem) pin(solution placement.Plan, into plan) {
	next := make([]int, len(p.classes))
	for _, to := range solution.Places {
		name := p.cluster.Fabric().Tree().Node(to.Node)
		for range to.Members {
			member := p.classes[to.Class].members[next[to.Class]]
			into[member.UID] = place{name, p.judged(to.Class)}
			next[to.Class]++
		}
	}
}

// judged returns what the filters' preparation left behind for a class, nil if they were not asked or if each member needs
// its own.
func (p *problem) judged(class int) *recorder {
	if p.states == nil || p.states[class] == nil || !isQuick(p.classes[class].pod()) {
		return nil
	}
	return p.states[class].state
}
