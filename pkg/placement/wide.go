package placement

// maxCompared bounds how many domains that need equally few children are compared: the tightest
// (TestOnlyTheTightestDomainsAreCompared).
const maxCompared = 16

// tightestWide chooses among domains of one depth that hold the gang each, none of whose narrower domains does: those that
// need the fewest children, of these the one with the cheapest plan.
func (s *Solver) tightestWide(depth int, domains []int, need int64) []int {
	v := &s.view
	candidates := v.withFewestChildren(depth, domains, need)
	if len(candidates) > maxCompared {
		candidates, s.isBest = candidates[:maxCompared], false
	}
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
	if s.view.steps(depth, domain, []int{int(need)}, int64(work)) <= int64(work) {
		if x := newExact(&s.view, depth, []int{int(need)}, work); x != nil {
			fillings, _ := x.solve(domain, func(placed []int) bool { return int64(placed[0]) >= need })
			s.left -= work - max(0, x.left)
			if !x.isExhausted {
				return nodesOf(fillings)
			}
		}
	}
	s.isBest = false
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
func (v *view) steps(depth, domain int, wanted []int, enough int64) int64 {
	own := v.states(depth, domain, wanted, enough)
	if own > enough || depth == v.nodes {
		return own
	}
	first, last := v.within(depth+1, depth, domain)
	if depth+1 == v.nodes {
		return own * int64(last-first) * int64(1+len(wanted))
	}
	total := int64(0)
	for i := first; i < last && total <= enough; i++ {
		if states := v.states(depth+1, i, wanted, enough); states > 1 {
			total += own*states + v.steps(depth+1, i, wanted, enough)
		}
	}
	return total
}

// states bounds in how many numbers of members of each class a domain can be filled: any number above enough if it is more
// than that.
func (v *view) states(depth, domain int, wanted []int, enough int64) int64 {
	states := int64(1)
	for class, n := range wanted {
		if states *= min(int64(n), v.usable(class, depth, domain)) + 1; states > enough {
			return states
		}
	}
	return states
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
