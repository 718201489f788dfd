package placement

import "slices"

// maxCompared bounds how many domains that need equally few children are compared: the tightest.
const maxCompared = 16

// tightestWide chooses among domains of one depth that hold the gang each, none of whose narrower domains does: those that
// need the fewest children, of these the one with the cheapest plan.
func (s *Solver) tightestWide(class, depth int, domains []int, need int64) []int {
	v := &s.view
	var candidates []int
	fewest := int(need) + 1
	for _, domain := range domains {
		if n := v.fewestChildren(class, depth, domain, need, fewest); n <= fewest {
			if n < fewest {
				fewest, candidates = n, candidates[:0]
			}
			candidates = append(candidates, domain)
		}
	}
	if len(candidates) > maxCompared {
		slices.SortStableFunc(candidates, func(a, b int) int { return v.compareSlots(class, depth, a, b) })
		candidates = candidates[:maxCompared]
	}
	work := s.work() / len(candidates)
	var best []int
	var bestCost Cost
	for _, domain := range candidates {
		nodes := s.inside(class, depth, domain, need, work)
		if cost := v.cost(class, nodes); best == nil || cost.Compare(bestCost) < 0 {
			best, bestCost = nodes, cost
		}
	}
	return best
}

// inside returns the nodes to touch in one domain that holds the gang.
func (s *Solver) inside(class, depth, domain int, need int64, work int) []int {
	if class == 0 && len(s.view.classes) == 1 && s.view.steps(depth, domain, need) <= int64(work) {
		if x := newExact(&s.view, []int{int(need)}, work); x != nil {
			fillings := x.solve(depth, []int{domain}, func(placed []int) bool { return int64(placed[0]) >= need })
			if !x.empty {
				return nodesOf(fillings)
			}
		}
	}
	return s.levelByLevel(class, depth, domain, need)
}

func nodesOf(fillings []filling) []int {
	out := make([]int, len(fillings))
	for i, f := range fillings {
		out[i] = f.node
	}
	return out
}

// steps estimates what the exact search inside a domain would take.
func (v *view) steps(depth, domain int, need int64) int64 {
	own := min(need, v.sum(0, depth, domain)) + 1
	first, last := v.within(depth+1, depth, domain)
	if depth+1 == v.nodes {
		return own * int64(last-first) * 2
	}
	total := int64(0)
	for i := first; i < last; i++ {
		if room := min(need, v.sum(0, depth+1, i)); room > 0 {
			total += own*(room+1) + v.steps(depth+1, i, need)
		}
	}
	return total
}

// levelByLevel chooses the fewest and tightest children, of these the fewest and tightest children, down to the nodes. It
// does not see that other children, as few and less tight, might need fewer of their own (TestWhatLevelByLevelMisses).
func (s *Solver) levelByLevel(class, depth, domain int, need int64) []int {
	v := &s.view
	pool := []int{domain}
	for depth++; ; depth++ {
		items := v.items(class, depth, pool)
		pool = domainsOf(items, cover(items, need, s.work()))
		switch {
		case depth == v.nodes:
			return pool
		case v.problem.Slice.Size > 1 && depth == v.problem.Slice.Depth:
			return s.sliceBySlice(class, depth, pool, need)
		}
	}
}

// sliceBySlice fills domains of the slices' depth one after the other, each as tightly as can be.
func (s *Solver) sliceBySlice(class, depth int, domains []int, need int64) []int {
	var out []int
	for _, domain := range domains {
		take := min(need, s.view.usable(class, depth, domain))
		out = append(out, s.tightest(class, depth, domain, depth, take)...)
		need -= take
	}
	return out
}
