package gang

import (
	"cmp"
	"context"
	"fmt"
	"maps"
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

// maxOrders bounds in how many orders the parts of a gang are tried in one domain.
const maxOrders = 4

// planParts plans a gang part by part, each as the solver does with a whole gang, all inside one domain of the gang's own
// level: the largest members first, since small ones find a place in what is left. Parts are not weighed against each other:
// what it may miss are gangs whose parts fit only if one of them stands less tightly than it could, in none of the orders
// that are tried.
func (g *Gang) planParts(ctx context.Context, t *try, p *problem, parts []part) []*fwk.Placement {
	if t.refused = needOfParts(t, parts); t.refused != (gang.Waiting{}) {
		return nil
	}
	if !g.canFit(t, p) { // whatever the parts wish
		return nil
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(b.largest(), a.largest()) })
	last := gang.Waiting{Reason: gang.TopologyTooNarrow, Sentence: "no domain holds all sub-groups together"}
	for _, d := range g.solver.Candidates(p.cluster.Fabric(), p.Problem) {
		if d.Depth != p.Required {
			continue // a narrower one is inside of one that comes later
		}
		for i := range min(len(parts), maxOrders) {
			order := slices.Concat(parts[i:], parts[:i])
			placements, why := g.planInside(ctx, t, p, order, placement.Inside{Depth: d.Depth, Domain: d.Domain})
			if why == (gang.Waiting{}) {
				return placements
			}
			if i == 0 {
				last = why // in the domain with the most room, which comes last
			}
		}
	}
	t.refused = last
	return nil
}

// planInside plans all parts inside one domain, each beside those before it.
func (g *Gang) planInside(ctx context.Context, t *try, whole *problem, parts []part, inside placement.Inside) ([]*fwk.Placement, gang.Waiting) {
	c := whole.cluster
	defer c.Release()
	planned, placed := make(plan), 0
	nodes := map[int]bool{}
	for _, part := range parts {
		p := newProblem(klog.FromContext(ctx), c, part.classes, part.need, nil)
		if complaint := p.wish(part.wish); complaint != "" {
			return nil, gang.Waiting{Reason: gang.GangInvalid, Sentence: part.prefix() + complaint}
		}
		p.Required, p.Inside = max(p.Required, inside.Depth), inside
		p.standBeside(part.standing)
		solution, why := g.solve(ctx, p)
		if why != (gang.Waiting{}) {
			if part.need == 0 {
				continue
			}
			return nil, gang.Waiting{Reason: why.Reason, Sentence: part.prefix() + why.Sentence}
		}
		p.pin(solution, planned)
		for _, to := range solution.Places {
			c.Reserve(to.Node, p.Classes[to.Class].Request, to.Members)
			nodes[to.Node] = true
			placed += to.Members
		}
	}
	if placed < t.need {
		return nil, gang.Waiting{Reason: gang.Fragmented, Sentence: fmt.Sprintf("%d members find a place in their sub-groups, %d must", placed, t.need)}
	}
	t.plan = planned
	out := &fwk.Placement{Name: whole.domainName(inside.Depth, inside.Domain)}
	for _, node := range slices.Sorted(maps.Keys(nodes)) {
		out.Nodes = append(out.Nodes, c.Info(node))
	}
	return []*fwk.Placement{out}, gang.Waiting{}
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
