package gang

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

// plan plans a gang: it fills in the try's plan or says in refused why there is none, and returns where the framework is to
// place members.
func (g *Gang) plan(ctx context.Context, state fwk.PodGroupCycleState, t *try, info fwk.PodGroupInfo, nodes []fwk.NodeInfo) []*fwk.Placement {
	wishes := []gang.Wish{t.demand.Wish}
	for _, rule := range t.demand.SubGroups {
		wishes = append(wishes, rule.Wish)
	}
	c := g.clusterFor(wishes, nodes)
	g.holdKept(c, t)
	defer g.tellKept(klog.FromContext(ctx), t, c)
	standing := g.standing(info)
	if foes := g.foes(info.GetNamespace()); slices.ContainsFunc(wishes, func(w gang.Wish) bool { return w.SliceSize > 0 }) {
		defer t.lookAgain(info.GetUnscheduledPods(), foes)
		t.classes = classesOf(info.GetUnscheduledPods(), g.roleIn(t))
	} else {
		t.classes = classesOf(info.GetUnscheduledPods(), g.roleIn(t), foes...)
		if t.foes = append(foes, meantAmong(t.classes)...); len(t.foes) > len(foes) {
			t.classes = classesOf(info.GetUnscheduledPods(), g.roleIn(t), t.foes...)
		}
	}
	for _, class := range t.classes {
		if _, complaint := gpu.NeedOf(class.pod(), t.group); complaint != "" {
			t.refused = gang.Waiting{Reason: gang.GangInvalid, Sentence: complaint}
			return nil
		}
	}
	if len(standing) == 0 && !t.demand.HasSucceeded { // what a gang needs to start it need not find again for a late member
		if t.refused = shortOfMinResources(t.demand.Group.MinResources, c, nodes); t.refused != (gang.Waiting{}) {
			return nil
		}
	}
	parts := g.partsOf(t, info.GetUnscheduledPods(), standing)
	wish := t.demand.Wish
	if wish.SliceSize > 0 && len(t.demand.SubGroups) > 0 {
		t.refused = gang.Waiting{Reason: gang.GangInvalid, Sentence: fmt.Sprintf("%s: a gang with sub-groups cannot stand in slices as a whole", wish.Slice.Source)}
		return nil
	}
	if parts != nil { // slices are parts then, or wished for by them
		wish.SliceSize, wish.Slice = 0, gang.Level{}
	}
	isSearched := g.unsure[t.key] || dependsOnSiblings(t.classes, t.group) || !t.share(parts, nodes)
	p := newProblem(klog.FromContext(ctx), c, t.classes, t.need, t.perRole)
	g.closeNodes(t, p)
	if complaint := p.wish(wish); complaint != "" {
		t.refused = gang.Waiting{Reason: gang.GangInvalid, Sentence: complaint}
		return nil
	}
	p.standBeside(standing)
	isOpen := t.demand.Wish.IsZero() && parts == nil && len(g.places.Of(t.key)) == 0 && !slices.ContainsFunc(t.classes, func(c class) bool { return c.hasGPUs() })
	switch {
	case isOpen && !g.unsure[t.key]:
		return g.anywhere(t, p, nodes)
	case isSearched:
		return g.searched(ctx, state, t, p, parts, standing)
	case parts != nil:
		return g.planParts(ctx, state, t, p, parts, standing)
	}
	return g.planWhole(ctx, t, p)
}

// planWhole plans a gang whose members have no wishes but those of the whole.
func (g *Gang) planWhole(ctx context.Context, t *try, p *problem) []*fwk.Placement {
	if len(p.Beside) > 0 {
		if back, solution, ok := g.planReturn(ctx, t, p); ok {
			return back.pinned(t, solution)
		}
	}
	asked := p.fingerprint()
	if t.refused = g.refusals.of(t.key, asked); t.refused != (gang.Waiting{}) {
		t.isSure = true
		return nil
	}
	var solution placement.Plan
	if solution, t.refused = g.solve(ctx, p); t.refused != (gang.Waiting{}) {
		if !slices.Contains(p.isOwn, true) { // the filters, which may change their minds for reasons of their own, had no part in it
			g.refusals.remember(t.key, asked, t.refused)
			t.isSure = true
		}
		return nil
	}
	return p.pinned(t, solution)
}

// pinned makes a solution the try's plan.
func (p *problem) pinned(t *try, solution placement.Plan) []*fwk.Placement {
	t.plan = make(plan, p.members())
	p.pin(solution, t.plan)
	return []*fwk.Placement{placementOn(p.cluster, p.domainName(solution.Depth, solution.Domain), solution.Nodes())}
}

// clusterFor returns the picture of the cluster that knows the levels of all wishes, brought up to date.
func (g *Gang) clusterFor(wishes []gang.Wish, nodes []fwk.NodeInfo) *cluster.Cluster {
	wanted, key, hyperNodes := []cluster.Level(g.levels), "", g.hyperNodes.Current()
	if slices.ContainsFunc(wishes, func(w gang.Wish) bool { return len(g.levels.foreign(w, hyperNodes)) > 0 }) {
		wanted, hyperNodes = g.levels.of(wishes), nil
		for _, level := range wanted {
			key += level.NodeLabel + "\n"
		}
	}
	c, ok := g.clusters[key]
	if !ok {
		if len(g.clusters) > maxForeign { // the configured one among them
			configured := g.clusters[""]
			clear(g.clusters)
			g.clusters[""] = cmp.Or(configured, cluster.New(g.levels))
			g.refusals = refusals{} // which tell pictures apart by where they are in memory
		}
		c = cluster.New(wanted)
		g.clusters[key] = c
	}
	c.StandIn(hyperNodes)
	c.Update(nodes)
	return c
}

// maxForeign bounds how many pictures there are of the cluster by levels that are not configured.
const maxForeign = 4

// wish puts what the gang wishes of the fabric into the solver's words. complaint says what is wrong with it.
func (p *problem) wish(w gang.Wish) (complaint string) {
	if p.Required, complaint = depth(p.cluster, w.Required); complaint != "" {
		return complaint
	}
	// A preferred level needs no word of its own: the fewest domains of every level are what the solver looks for. It must
	// exist, though.
	if _, complaint = depth(p.cluster, w.Preferred); complaint != "" || w.SliceSize == 0 {
		return complaint
	}
	p.Slice.Size = int(w.SliceSize)
	if p.Slice.Depth, complaint = depth(p.cluster, w.Slice); complaint != "" {
		return complaint
	}
	members := p.members()
	switch {
	case p.Slice.Depth < p.Required:
		return fmt.Sprintf("%s is a broader level than %s", w.Slice.Source, w.Required.Source)
	case len(p.classes) > 1:
		return fmt.Sprintf("%s: members that ask for different things cannot stand in slices", w.Slice.Source)
	case members%p.Slice.Size != 0:
		return fmt.Sprintf("%s: %d members are no whole number of slices of %d", w.Slice.Source, members, p.Slice.Size)
	}
	p.Minimum += (p.Slice.Size - p.Minimum%p.Slice.Size) % p.Slice.Size // a slice starts as a whole
	return ""
}

func (p *problem) members() int {
	sum := 0
	for i := range p.classes {
		sum += len(p.classes[i].members)
	}
	return sum
}

// placementOn is nodes, in any order and as often as they come, for the framework.
func placementOn(c *cluster.Cluster, name string, nodes []int) *fwk.Placement {
	slices.Sort(nodes)
	out := &fwk.Placement{Name: name}
	for _, node := range slices.Compact(nodes) {
		out.Nodes = append(out.Nodes, c.Info(node))
	}
	return out
}

// domainName is for logs: "rack r1 in b2".
func (p *problem) domainName(depth, domain int) string {
	tree := p.cluster.Fabric().Tree()
	if depth > tree.Depth() {
		return tree.LevelName(depth) + " " + tree.Node(domain)
	}
	path := tree.Path(depth, domain)
	slices.Reverse(path)
	return strings.TrimSpace(tree.LevelName(depth) + " " + strings.Join(path, " in "))
}

// anywhere leaves the choice of nodes to the framework's scores, after a look whether there can be a place at all.
func (g *Gang) anywhere(t *try, p *problem, nodes []fwk.NodeInfo) []*fwk.Placement {
	if !g.canFit(t, p) {
		return nil
	}
	t.isOpen = true
	return []*fwk.Placement{{Name: "cluster", Nodes: nodes}}
}

// canFit refuses the try if the solver knows that there is no place, whatever filters say besides.
func (g *Gang) canFit(t *try, p *problem) bool {
	_, refusal := g.solveOnce(p)
	if refusal == nil || !refusal.IsProven { // a search that found nothing, and was not exhaustive
		return true
	}
	t.refused = p.waiting(refusal)
	return false
}

// standing returns the members of the gang that run or are about to, by name.
func (g *Gang) standing(info fwk.PodGroupInfo) []*v1.Pod {
	scheduled, err := g.scheduledPods(info)
	if err != nil {
		return nil
	}
	out := slices.DeleteFunc(slices.Clone(scheduled), func(pod *v1.Pod) bool { return pod.DeletionTimestamp != nil })
	slices.SortFunc(out, func(a, b *v1.Pod) int { return strings.Compare(a.Name, b.Name) }) // the core keeps members in a map
	return out
}

// standBeside tells the solver where members of the gang run.
func (p *problem) standBeside(standing []*v1.Pod) {
	for _, pod := range standing {
		if number, ok := p.cluster.Fabric().Number(pod.Spec.NodeName); ok {
			p.Beside = append(p.Beside, number)
		}
	}
	slices.Sort(p.Beside)
	p.Beside = slices.Compact(p.Beside)
}
