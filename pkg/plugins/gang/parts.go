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

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// part is a sub-group of a gang with a wish of its own, or the members that are in none.
type part struct {
	name     string // `sub-group "decode"`, "" for those in none
	rule     int    // -1 for those in none
	pods     []*v1.Pod
	standing []*v1.Pod
	wish     gang.Wish
	need     int // members that must be placed
	classes  []class
}

const (
	// maxOrders bounds in how many orders the parts of a gang are tried in one domain.
	maxOrders = 4
	// maxMoves bounds how often in a try a part is moved to another domain of its level, for the sake of those after it.
	maxMoves = 256
)

// planParts plans a gang part by part. A small gang that finds no place that way is searched for places member by member.
func (g *Gang) planParts(ctx context.Context, state fwk.PodGroupCycleState, t *try, p *problem, parts []part, standing []*v1.Pod) []*fwk.Placement {
	if t.refused = needOfParts(t, parts); t.refused != (gang.Waiting{}) {
		return nil
	}
	asked := fingerprintOf(p, parts)
	if t.refused = g.refusals.of(t.key, asked); t.refused != (gang.Waiting{}) {
		t.isSure = true
		return nil
	}
	placements, isFinal := g.arrange(ctx, t, p, parts)
	members := 0
	for i := range parts {
		members += len(parts[i].pods)
	}
	if why := t.refused; isAboutRoom(why) && members <= maxSearched {
		if placements = g.searched(ctx, state, t, p, parts, standing); placements == nil {
			t.refused = why // which says more
		}
	}
	if isFinal && t.refused != (gang.Waiting{}) {
		g.refusals.remember(t.key, asked, t.refused)
		t.isSure = true
	}
	return placements
}

// maxSearched bounds the members of a gang that are searched for places one by one where parts planned one after the other
// found none.
const maxSearched = 64

// isAboutRoom is true for refusals that another way to place the members might spare.
func isAboutRoom(why gang.Waiting) bool {
	switch why.Reason {
	case gang.InsufficientGPUs, gang.InsufficientResources, gang.Fragmented, gang.TopologyTooNarrow, gang.NodesRejected:
		return true
	}
	return false
}

// arrange plans a gang part by part, each as the solver does with a whole gang, all inside one domain of the gang's own
// level: the largest members first, since small ones find a place in what is left. Where a part finds no place, those before
// it are moved, each to the other domains of its level. What that may miss are gangs whose parts fit only if one of them stands
// otherwise inside its domain than it would alone, or after more moves than are made: TestWhatPartsMiss. isFinal is true if the
// framework's filters, which may change their minds for reasons of their own, had no part in a refusal.
func (g *Gang) arrange(ctx context.Context, t *try, p *problem, parts []part) (_ []*fwk.Placement, isFinal bool) {
	if !g.canFit(t, p) { // whatever the parts wish
		return nil, true
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(b.largest(), a.largest()) })
	last := gang.Waiting{Reason: gang.TopologyTooNarrow, Sentence: "no domain holds all sub-groups together"}
	moves, isOwn := maxMoves, false
	defer p.cluster.Release()
	for _, d := range g.solver.Candidates(p.cluster.Fabric(), p.Problem) {
		if d.Depth != p.Required {
			continue // a narrower one is inside of one that comes later
		}
		for i := range min(len(parts), maxOrders) {
			a := arrangement{
				gang: g, t: t, cluster: p.cluster, parts: slices.Concat(parts[i:], parts[:i]),
				inside: placement.Inside{Depth: d.Depth, Domain: d.Domain}, moves: &moves, isOwn: &isOwn,
			}
			why := a.place(ctx, 0)
			if why == (gang.Waiting{}) {
				return a.pinned(p.domainName(d.Depth, d.Domain)), false
			}
			if i == 0 {
				last = why // in the domain with the most room, which comes last
			}
		}
	}
	t.refused = last
	return nil, !isOwn
}

// fingerprintOf is the same for the same parts with the same wishes, as [problem.fingerprint] is for the whole.
func fingerprintOf(whole *problem, parts []part) string {
	var b strings.Builder
	b.WriteString(whole.fingerprint())
	for i := range parts {
		p := &parts[i]
		fmt.Fprintf(&b, " %d %q %+v %d", p.rule, p.name, p.wish, p.need)
		for _, c := range p.classes {
			fmt.Fprintf(&b, " %v %v", requestOf(whole.cluster, &c), len(c.members))
		}
		for _, pod := range p.standing {
			fmt.Fprintf(&b, " %s", pod.Spec.NodeName)
		}
	}
	return b.String()
}

// arrangement is the parts of a gang in one domain, as far as they have found a place there.
type arrangement struct {
	gang    *Gang
	t       *try
	cluster *cluster.Cluster
	parts   []part
	inside  placement.Inside
	moves   *int  // left
	isOwn   *bool // filters had a part in what was refused: see [Gang.planWhole]
	placed  int
	chosen  []arranged
}

// arranged is a part that has a place.
type arranged struct {
	problem  *problem
	solution placement.Plan
}

// place finds places for a part and for all after it, each beside those before it.
func (a *arrangement) place(ctx context.Context, i int) gang.Waiting {
	if i == len(a.parts) {
		if a.placed < a.t.need {
			return gang.Waiting{Reason: gang.Fragmented, Sentence: fmt.Sprintf("%d members find a place in their sub-groups, %d must", a.placed, a.t.need)}
		}
		return gang.Waiting{}
	}
	part := &a.parts[i]
	p, why := a.problem(ctx, part)
	if why != (gang.Waiting{}) {
		return why
	}
	solution, why := a.gang.solve(ctx, p)
	*a.isOwn = *a.isOwn || slices.Contains(p.isOwn, true)
	if why != (gang.Waiting{}) {
		if part.need == 0 {
			return a.place(ctx, i+1)
		}
		return gang.Waiting{Reason: why.Reason, Sentence: part.prefix() + why.Sentence}
	}
	if why = a.with(ctx, i, p, solution); why == (gang.Waiting{}) {
		return why
	}
	if p.Required <= a.inside.Depth || len(p.Beside) > 0 {
		return why // there is but one domain for it
	}
	for _, d := range a.gang.solver.Candidates(a.cluster.Fabric(), p.Problem) {
		if d.Depth != p.Required || len(solution.Places) > 0 && d.First <= solution.Places[0].Node && solution.Places[0].Node < d.Last {
			continue
		}
		if *a.moves--; *a.moves < 0 {
			return why
		}
		moved, _ := a.problem(ctx, part)
		moved.Inside = placement.Inside{Depth: d.Depth, Domain: d.Domain}
		solution, refused := a.gang.solve(ctx, moved)
		*a.isOwn = *a.isOwn || slices.Contains(moved.isOwn, true)
		if refused == (gang.Waiting{}) && a.with(ctx, i, moved, solution) == (gang.Waiting{}) {
			return gang.Waiting{}
		}
	}
	return why
}

// problem is a part in the solver's words.
func (a *arrangement) problem(ctx context.Context, part *part) (*problem, gang.Waiting) {
	p := newProblem(klog.FromContext(ctx), a.cluster, part.classes, part.need, nil)
	a.gang.closeNodes(a.t, p)
	if complaint := p.wish(part.wish); complaint != "" {
		return nil, gang.Waiting{Reason: gang.GangInvalid, Sentence: part.prefix() + complaint}
	}
	p.Required, p.Inside = max(p.Required, a.inside.Depth), a.inside
	p.standBeside(part.standing)
	return p, gang.Waiting{}
}

// with places the parts after one for which this solution is chosen. If they find no place the choice is taken back.
func (a *arrangement) with(ctx context.Context, i int, p *problem, solution placement.Plan) gang.Waiting {
	reserve := func(sign int) {
		for _, to := range solution.Places {
			a.cluster.Reserve(to.Node, p.Classes[to.Class].Request, sign*to.Members)
			a.placed += sign * to.Members
		}
	}
	reserve(1)
	a.chosen = append(a.chosen, arranged{p, solution})
	why := a.place(ctx, i+1)
	if why != (gang.Waiting{}) {
		a.chosen = a.chosen[:len(a.chosen)-1]
		reserve(-1)
	}
	return why
}

// pinned makes what was chosen the try's plan.
func (a *arrangement) pinned(domain string) []*fwk.Placement {
	a.t.plan = make(plan)
	var nodes []int
	for _, c := range a.chosen {
		c.problem.pin(c.solution, a.t.plan)
		nodes = append(nodes, c.solution.Nodes()...)
	}
	return []*fwk.Placement{placementOn(a.cluster, domain, nodes)}
}

func (p *part) prefix() string {
	if p.name == "" {
		return ""
	}
	return p.name + ": "
}

// largest is the most GPUs that a member asks for, or else the most CPU.
func (p *part) largest() int64 {
	gpus, cpu := int64(0), int64(0)
	for _, class := range p.classes {
		sum := int64(0)
		for name, q := range class.request {
			if cluster.IsGPU(name) {
				sum += q.Value()
			}
		}
		cpuRequest := class.request[v1.ResourceCPU]
		gpus, cpu = max(gpus, sum), max(cpu, cpuRequest.Value())
	}
	return gpus<<32 + min(cpu, 1<<32-1)
}

// partsOf splits members by the rules of their gang, in the order of the rules and of the sub-groups' keys; members in no
// sub-group come last. nil if the gang is planned as a whole.
func (g *Gang) partsOf(t *try, pods, standing []*v1.Pod) []part {
	rules, keyOf := g.partition(t, len(standing) > 0)
	if rules == nil {
		return nil
	}
	type place struct {
		rule int
		key  string
	}
	index := map[place]int{}
	var parts []part
	of := func(pod *v1.Pod) *part {
		at := place{rule: -1}
		if rule, key, ok := keyOf(pod); ok {
			at = place{rule, key}
		}
		i, ok := index[at]
		if !ok {
			i = len(parts)
			index[at] = i
			parts = append(parts, newPart(rules, at.rule, at.key))
		}
		return &parts[i]
	}
	for _, pod := range pods {
		p := of(pod)
		p.pods = append(p.pods, pod)
	}
	for _, pod := range standing {
		p := of(pod)
		p.standing = append(p.standing, pod)
	}
	parts = slices.DeleteFunc(parts, func(p part) bool { return len(p.pods) == 0 })
	slices.SortStableFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(uint(a.rule), uint(b.rule)), strings.Compare(a.name, b.name)) // -1 comes last
	})
	for i := range parts {
		parts[i].classes = classesOf(parts[i].pods, g.roleIn(t), t.foes...)
	}
	return parts
}

func (g *Gang) roleIn(t *try) func(*v1.Pod) string {
	return func(pod *v1.Pod) string { return g.account.Role(t.key, pod) }
}

// partition returns by which rules a gang's members form parts, nil if they form none, and how to tell a member's part.
// Besides the sub-groups that a gang asks for these are slices that the solver does not know as such:
//   - where members run already, each slice is a part, so that those that are missing in it join the others;
//   - where members ask for different things, slices are formed within those that ask for the same.
func (g *Gang) partition(t *try, isUnderWay bool) (rules []gang.SubGroup, keyOf func(*v1.Pod) (rule int, key string, ok bool)) {
	wish, role := t.demand.Wish, g.roleIn(t)
	switch {
	case len(t.demand.SubGroups) > 0:
		rules = t.demand.SubGroups
		return rules, func(pod *v1.Pod) (int, string, bool) { return gang.SubGroupOf(rules, pod, role(pod)) }
	case wish.SliceSize > 0 && isUnderWay:
		return []gang.SubGroup{{Name: "slice", Wish: gang.Wish{Required: wish.Slice}}}, func(pod *v1.Pod) (int, string, bool) {
			rank, ok := gang.Rank(pod)
			return 0, fmt.Sprintf("%s/%d", role(pod), rank/int(wish.SliceSize)), ok
		}
	case wish.SliceSize > 0 && len(t.classes) > 1:
		ofPod := map[types.UID]int{}
		for i, class := range t.classes {
			rules = append(rules, gang.SubGroup{Name: class.role, Wish: gang.Wish{SliceSize: wish.SliceSize, Slice: wish.Slice}})
			for _, pod := range class.members {
				ofPod[pod.UID] = i
			}
		}
		return rules, func(pod *v1.Pod) (int, string, bool) {
			rule, ok := ofPod[pod.UID]
			return rule, "", ok
		}
	}
	return nil, nil
}

func newPart(rules []gang.SubGroup, rule int, key string) part {
	if rule < 0 {
		return part{rule: rule}
	}
	name := rules[rule].Name
	if key != "" {
		name = strings.TrimPrefix(name+"/"+key, "/")
	}
	return part{name: fmt.Sprintf("sub-group %q", name), rule: rule, wish: rules[rule].Wish}
}

// needOfParts works out how many members each part must place: what the other parts cannot stand for, what its roles ask for,
// and as a whole the first sub-groups of a rule that wants so many.
func needOfParts(t *try, parts []part) gang.Waiting {
	all, ofRole := 0, map[string]int{}
	for i := range parts {
		all += len(parts[i].pods)
		for _, c := range parts[i].classes {
			ofRole[c.role] += len(c.members)
		}
	}
	whole := map[int]int{} // sub-groups of a rule that are complete, as far as their members exist
	for i := range parts {
		p := &parts[i]
		p.need = max(0, t.need-(all-len(p.pods)))
		for role, minimum := range t.perRole {
			own := membersOf(p.classes, role)
			p.need = max(p.need, min(own, minimum-(ofRole[role]-own)))
		}
		if p.rule < 0 || p.rule >= len(t.demand.SubGroups) {
			continue
		}
		rule := t.demand.SubGroups[p.rule]
		if size := int(rule.Size); size > 0 && len(p.pods)+len(p.standing) >= size && whole[p.rule] < int(rule.Minimum) {
			whole[p.rule]++
			p.need = max(p.need, size-len(p.standing))
		}
	}
	for i, rule := range t.demand.SubGroups {
		if whole[i] < int(rule.Minimum) && len(parts) > 0 && !isUnderWay(t, parts) {
			return gang.Waiting{Reason: gang.GangIncomplete, Sentence: fmt.Sprintf("%d of %d sub-groups %q have %d members", whole[i], rule.Minimum, rule.Name, rule.Size)}
		}
	}
	return gang.Waiting{}
}

// isUnderWay is true for a gang of which members run: its sub-groups were complete when it started.
func isUnderWay(t *try, parts []part) bool {
	return t.demand.HasSucceeded || slices.ContainsFunc(parts, func(p part) bool { return len(p.standing) > 0 })
}

// membersOf counts the members of a role.
func membersOf(classes []class, role string) int {
	count := 0
	for _, c := range classes {
		if c.role == role {
			count += len(c.members)
		}
	}
	return count
}
