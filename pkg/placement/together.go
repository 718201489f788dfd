package placement

import (
	"encoding/binary"
	"slices"
)

// together places members of several classes, or beside those that run, at the least cost. isBest is true if the search was
// exact: then without fillings there is no plan.
func (s *Solver) together(domains []int) (fillings []filling, isBest bool) {
	v := &s.view
	wanted := v.wanted()
	if !v.isDrawn {
		if fillings, isBest = s.narrowest(domains, wanted); fillings != nil {
			return fillings, isBest
		}
	}
	s.left = s.work()
	return s.asManyAsFit(domains, wanted, func(_ int, placed []int) bool { return v.suffices(placed) })
}

// asManyAsFit places as many members as it can in one of these domains of the required depth, so that they suffice.
func (s *Solver) asManyAsFit(domains, wanted []int, suffices func(domain int, placed []int) bool) (best []filling, isBest bool) {
	v := &s.view
	steps := int64(0)
	for _, domain := range domains {
		steps += v.steps(v.problem.Required, domain, wanted, int64(s.left))
	}
	if steps > int64(s.left) {
		return nil, false
	}
	x := newExact(v, v.problem.Required, wanted, s.left)
	if x == nil {
		return nil, false
	}
	most, bestCost := 0, Cost{}
	for _, domain := range domains {
		fillings, n := x.solve(domain, func(placed []int) bool { return suffices(domain, placed) })
		if x.isExhausted {
			return nil, false
		}
		if fillings == nil || n < most {
			continue
		}
		if cost := v.cost(nodesOf(fillings)); n > most || cost.Compare(bestCost) < 0 {
			best, bestCost, most = fillings, cost, n
		}
	}
	return best, true
}

// narrowest places all members in the narrowest domain that holds them. A plan costs the more the more domains it touches, the
// broadest before all else: so once a domain of some depth holds the gang, no plan that needs more than one of that depth can
// be better, and broader ones need not be searched. isBest is true if the search was exact.
func (s *Solver) narrowest(domains, wanted []int) (best []filling, isBest bool) {
	v := &s.view
	from, r := v.nodes, s.relax(wanted)
	if r != nil {
		nodes, isBest := r.nodesIn(0, 0, v.problem.Required)
		if nodes == nil {
			return nil, true
		}
		if fillings := v.fillOneByOne(nodes, wanted); fillings != nil {
			return fillings, isBest // if others may be better, a search for them would take too long
		}
		from, _ = v.around(nodes)
	}
	for depth := from; depth >= v.problem.Required; depth-- {
		if fillings, isBest := s.tightestTogether(depth, domains, wanted, r); fillings != nil || !isBest {
			return fillings, isBest
		}
	}
	return nil, true
}

// fillOneByOne gives all members places on these nodes, one class after the other in several orders; nil if it finds none.
func (v *view) fillOneByOne(nodes, wanted []int) []filling {
	for _, order := range v.orders(0, 0, wanted) {
		if fillings, placed := v.fillInOrder(order, nodes, wanted); sum(placed) == sum(wanted) {
			return fillings
		}
	}
	return nil
}

// fillInOrder gives members places on nodes, one class after the other, and counts those of each that have one.
func (v *view) fillInOrder(order, nodes, wanted []int) (fillings []filling, placed []int) {
	placed, fillings = make([]int, len(wanted)), make([]filling, len(nodes))
	fills := make([]int, len(nodes)*len(wanted))
	for i, node := range nodes {
		fillings[i] = filling{node, fills[i*len(wanted):][:len(wanted)]}
	}
	for _, class := range order {
		for i := 0; i < len(fillings) && placed[class] < wanted[class]; i++ {
			f := fillings[i]
			f.fill[class] = min(wanted[class]-placed[class], v.fitsBeside(f.node, f.fill, class))
			placed[class] += f.fill[class]
		}
	}
	return fillings, placed
}

// bounded is a domain with a bound of what a plan in it costs.
type bounded struct {
	domain int
	least  Cost  // nothing if it is not known
	nodes  []int // that cost so much, and would be the best if they held the members
}

// tightestTogether chooses among the domains of one depth the one with the cheapest plan for all members. Domains are searched
// in the order of what a plan costs at least, until that is more than a plan that was found; those whose nodes are alike are
// searched once. isBest is true if no plan can be better, and no domain that was not searched holds the members.
func (s *Solver) tightestTogether(depth int, domains, wanted []int, r *relaxation) (best []filling, isBest bool) {
	v := &s.view
	holders := s.bound(depth, v.holders(depth, domains, wanted), r)
	if len(holders) == 0 {
		return nil, true
	}
	x := newExact(v, depth, wanted, s.left)
	if x == nil {
		return nil, false
	}
	defer func() { s.left = max(0, x.left) }()
	isBest = true
	var bestCost Cost
	seen := map[string]bool{}
	for _, h := range holders {
		if best != nil && h.least.Compare(bestCost) >= 0 {
			break
		}
		key := x.likeness(h.domain)
		if seen[key] {
			continue
		}
		seen[key] = key != ""
		fillings, isExact := x.inside(h)
		if isBest = isBest && isExact; fillings == nil {
			continue
		}
		if cost := v.cost(nodesOf(fillings)); best == nil || cost.Compare(bestCost) < 0 {
			best, bestCost = fillings, cost
		}
	}
	return best, isBest
}

// inside places all members in a domain. isExact is false if the search would take too long.
func (x *exact) inside(b bounded) (fillings []filling, isExact bool) {
	if b.nodes != nil {
		if fillings = x.v.fillOneByOne(b.nodes, x.wanted); fillings != nil {
			return fillings, true
		}
	}
	if x.isExhausted || x.v.steps(x.depth, b.domain, x.wanted, int64(x.left)) > int64(x.left) {
		return nil, false
	}
	fillings, _ = x.solve(b.domain, isAll(x.wanted))
	return fillings, !x.isExhausted
}

// bound sorts domains that may hold a gang by what a plan costs at least, and leaves out those that cannot hold it.
func (s *Solver) bound(depth int, domains []int, r *relaxation) []bounded {
	var out []bounded
	for _, domain := range domains {
		b := bounded{domain: domain}
		if r != nil {
			nodes, isBest := r.nodesIn(depth, domain, depth)
			if nodes == nil {
				continue
			}
			if isBest {
				b.least, b.nodes = s.view.cost(nodes), nodes
			}
		}
		out = append(out, b)
	}
	slices.SortStableFunc(out, func(a, b bounded) int { return a.least.Compare(b.least) })
	return out
}

// likeness is the same for domains of the narrowest level whose nodes are alike in any order, "" for others.
func (x *exact) likeness(domain int) string {
	v := x.v
	if x.depth != v.nodes-1 {
		return ""
	}
	first, last := v.span(x.depth, domain)
	counts := []uint64{}
	for node := first; node < last; node++ {
		k := x.kind(node)
		for len(counts) <= k.number {
			counts = append(counts, 0)
		}
		counts[k.number]++
	}
	like := []byte{}
	for kind, n := range counts {
		if n > 0 {
			like = binary.AppendUvarint(binary.AppendUvarint(like, uint64(kind)), n)
		}
	}
	return string(like)
}

// isAll returns whether all wanted members are placed.
func isAll(wanted []int) func(placed []int) bool {
	all := sum(wanted)
	return func(placed []int) bool { return sum(placed) == all }
}
