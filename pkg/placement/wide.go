package placement

// maxCompared bounds how many domains that need equally few children are compared: the tightest
// (TestOnlyTheTightestDomainsAreCompared).
const maxCompared = 16

// tightestWide chooses among domains of one depth that hold the gang each, none of whose narrower domains does: those that
// need the fewest children, of these the one with the cheapest plan.
func (s *Solver) tightestWide(depth int, domains []int, need int64) []int {
	v := &s.view
	candidates := v.withFewestChildren(depth, domains, need)
	candidates = candidates[:min(len(candidates), maxCompared)]
	work := s.left / len(candidates)
	var best []int
	var bestCost Cost
	for _, domain := range candidates {
		nodes := s.inside(depth, domain, need, work)
		if cost := v.cost(nodes); best == nil || cost.Compare(bestCost) < 0 {
			best, bestCost = nodes, cost
		}
	}
	return best
}

// inside returns the nodes to touch in one domain that holds the gang.
func (s *Solver) inside(depth, domain int, need int64, work int) []int {
	if s.view.steps(depth, domain, need, int64(work)) <= int64(work) {
		if x := newExact(&s.view, []int{int(need)}, work); x != nil {
			fillings := x.solve(depth, []int{domain}, func(placed []int) bool { return int64(placed[0]) >= need })
			s.left -= work - max(0, x.left)
			if !x.isExhausted {
				return nodesOf(fillings)
			}
		}
	}
	return s.levelByLevel(depth, domain, need)
}

func nodesOf(fillings []filling) []int {
	out := make([]int, len(fillings))
	for i, f := range fillings {
		out[i] = f.node
	}
	return out
}

// steps estimates what the exact search inside a domain would take: any number above enough if it is more than that.
func (v *view) steps(depth, domain int, need, enough int64) int64 {
	own := min(need, v.sum(0, depth, domain)) + 1
	if own > enough {
		return own
	}
	first, last := v.within(depth+1, depth, domain)
	if depth+1 == v.nodes {
		return own * int64(last-first) * 2
	}
	total := int64(0)
	for i := first; i < last && total <= enough; i++ {
		if room := min(need, v.sum(0, depth+1, i)); room > 0 {
			total += own*(room+1) + v.steps(depth+1, i, need, enough)
		}
	}
	return total
}

// levelByLevel chooses the fewest and tightest children, of these the fewest and tightest children, down to the nodes. It
// does not see that other children, as few and less tight, might need fewer of their own (TestWhatLevelByLevelMisses).
func (s *Solver) levelByLevel(depth, domain int, need int64) []int {
	v := &s.view
	pool := []int{domain}
	for depth++; ; depth++ {
		items := v.items(depth, pool)
		pool = domainsOf(items, s.cover(items, need))
		switch {
		case depth == v.nodes:
			return pool
		case v.problem.Slice.Size > 1 && depth == v.problem.Slice.Depth:
			return s.sliceBySlice(depth, pool, need)
		}
	}
}

// sliceBySlice fills domains of the slices' depth one after the other, each as tightly as can be.
func (s *Solver) sliceBySlice(depth int, domains []int, need int64) []int {
	var out []int
	for _, domain := range domains {
		take := min(need, s.view.usable(0, depth, domain))
		out = append(out, s.tightest(depth, domain, depth, take)...)
		need -= take
	}
	return out
}
