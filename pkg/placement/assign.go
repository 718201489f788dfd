package placement

import "slices"

// place gives the members places; ok is false if there are none for those that must have one.
func (s *Solver) place() (places []Place, ok bool) {
	v := &s.view
	domains := v.candidates()
	if len(domains) == 0 {
		return nil, false
	}
	if len(v.classes) == 1 && !v.isDrawn {
		need := v.most(domains)
		return v.fillNodes(s.tightest(0, 0, v.problem.Required, need), need), true
	}
	fillings, isBest := s.together(domains)
	switch {
	case fillings != nil:
		return v.fill(fillings, v.wanted()), true
	case isBest:
		return nil, false
	}
	s.left = s.work()
	if len(v.classes) == 1 {
		return s.beside(domains)
	}
	return s.mixed(domains)
}

// wanted returns how many members to place at most, by class.
func (v *view) wanted() []int {
	wanted := make([]int, len(v.classes))
	for i := range v.classes {
		wanted[i] = v.classes[i].wants
	}
	return wanted
}

// candidates returns the domains of the required depth that hold what must be placed of each class, looked at alone.
func (v *view) candidates() []int {
	var out []int
	placed := make([]int, len(v.classes))
	first, last := v.within(v.problem.Required, 0, 0)
	for i := first; i < last; i++ {
		if !v.isCandidate(i) {
			continue // members of the gang run elsewhere
		}
		for class := range v.classes {
			placed[class] = int(min(int64(v.classes[class].wants), v.usable(class, v.problem.Required, i)))
		}
		if v.suffices(placed) {
			out = append(out, i)
		}
	}
	return out
}

// suffices is true if these are all the members, by class, that must be placed.
func (v *view) suffices(placed []int) bool {
	for class, c := range v.problem.Classes {
		if placed[class] < c.Minimum {
			return false
		}
	}
	return sum(placed) >= max(1, v.problem.Minimum)
}

// most returns how many members of the only class fit into one of the domains.
func (v *view) most(domains []int) int64 {
	most := int64(0)
	for _, domain := range domains {
		most = max(most, v.usable(0, v.problem.Required, domain))
	}
	return min(most, int64(v.classes[0].wants))
}

// fillNodes gives need members of the only class places on nodes, in order, each filled before the next.
func (v *view) fillNodes(nodes []int, need int64) []Place {
	fillings := make([]filling, len(nodes))
	for i, node := range nodes {
		fillings[i] = filling{node, []int{int(min(need, int64(v.classes[0].slots[node])))}}
	}
	return v.fill(fillings, []int{int(need)})
}

// fill gives members places on nodes, in order, each filled before the next, as far as it does not split a slice.
func (v *view) fill(fillings []filling, wanted []int) []Place {
	left := slices.Clone(wanted)
	var places []Place
	for i := 0; i < len(fillings); {
		group, room := v.sliceMates(fillings[i:], left)
		for _, f := range group {
			for class, n := range f.fill {
				n = min(n, left[class], room)
				if n > 0 {
					places = append(places, Place{f.node, class, n})
					left[class] -= n
					room -= n
				}
			}
		}
		i += len(group)
	}
	return places
}

// sliceMates returns the nodes that come first and share a domain in which slices must be whole, and how many members they
// take; all nodes without slices.
func (v *view) sliceMates(fillings []filling, left []int) (group []filling, room int) {
	slice := v.problem.Slice
	if slice.Size <= 1 {
		return fillings, sum(left)
	}
	domain := v.of(slice.Depth, fillings[0].node)
	for len(group) < len(fillings) && v.of(slice.Depth, fillings[len(group)].node) == domain {
		room += fillings[len(group)].fill[0]
		group = fillings[:len(group)+1]
	}
	return group, room - room%slice.Size
}

// plan makes a plan of places.
func (v *view) plan(places []Place) Plan {
	var nodes []int
	for _, p := range places {
		if len(nodes) == 0 || nodes[len(nodes)-1] != p.Node {
			nodes = append(nodes, p.Node)
		}
	}
	plan := Plan{Places: places, Cost: v.cost(nodes)}
	plan.Depth, plan.Domain = v.around(append(nodes, v.problem.Beside...))
	return plan
}

// around returns the narrowest domain that all of these nodes stand in.
func (v *view) around(nodes []int) (depth, domain int) {
	for depth := v.nodes; depth > 0; depth-- {
		domain := v.of(depth, nodes[0])
		if !slices.ContainsFunc(nodes, func(node int) bool { return v.of(depth, node) != domain }) {
			return depth, domain
		}
	}
	return 0, 0
}
