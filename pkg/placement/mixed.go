package placement

import (
	"cmp"
	"slices"
)

// beside places members of one class beside those that run already, where too many domains are in play for the exact
// search: in the narrowest domain around those that run which has room for all that the widest one holds.
func (s *Solver) beside(domains []int) ([]Place, bool) {
	v := &s.view
	need := v.most(domains)
	for depth := v.nodes; depth >= v.problem.Required; depth-- {
		for domain := range v.count(depth) {
			if v.stands[depth][domain] && v.usable(0, depth, domain) >= need {
				return v.fillNodes(s.tightest(0, depth, domain, depth, need), need), true
			}
		}
	}
	return nil, false
}

// mixed places members of several classes, class by class, where there are too many for the exact search. It tries the
// narrowest domains first, and in each the classes in several orders.
func (s *Solver) mixed(domains []int) ([]Place, bool) {
	v := &s.view
	for _, wanted := range v.wishes() {
		for depth := v.nodes; depth >= v.problem.Required; depth-- {
			tries := maxTries
			for _, domain := range v.holders(depth, domains, wanted) {
				if depth > v.problem.Required {
					if tries--; tries < 0 {
						break
					}
				}
				for _, order := range v.orders(depth, domain, wanted) {
					if fillings := s.classByClass(depth, domain, order, wanted); fillings != nil {
						return v.fill(fillings, wanted), true
					}
				}
			}
		}
	}
	return nil, false
}

// maxTries bounds how many domains of one depth are tried before broader ones are; of the required depth all are.
const maxTries = 16

// wishes returns how many members of each class to try for: all, then those that must be placed, distributed over the
// classes from the first to the last, and from the last to the first.
func (v *view) wishes() [][]int {
	all := make([]int, len(v.classes))
	least := make([]int, len(v.classes))
	for i, c := range v.problem.Classes {
		all[i], least[i] = v.classes[i].wants, c.Minimum
	}
	spread := func(order []int) []int {
		out := slices.Clone(least)
		for _, class := range order {
			out[class] += max(0, min(all[class]-out[class], v.problem.Minimum-sum(out)))
		}
		return out
	}
	order := make([]int, len(v.classes))
	for i := range order {
		order[i] = i
	}
	out := [][]int{all, spread(order)}
	slices.Reverse(order)
	out = append(out, spread(order))
	return slices.CompactFunc(out, slices.Equal[[]int])
}

// holders returns the domains of a depth inside the candidates that hold each class alone, the tightest first.
func (v *view) holders(depth int, candidates, wanted []int) []int {
	var out []int
	for i := range v.count(depth) {
		first, last := v.span(depth, i)
		if first == last {
			continue
		}
		_, isInside := slices.BinarySearch(candidates, v.of(v.problem.Required, first))
		holds := isInside && (v.stands == nil || v.stands[depth][i])
		for class, n := range wanted {
			holds = holds && v.sum(class, depth, i) >= int64(n)
		}
		if holds {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int { return v.compareSlots(0, depth, a, b) })
	return out
}

// orders returns the orders in which classes are tried: the scarcest first, then its rotations, then the reverse.
func (v *view) orders(depth, domain int, wanted []int) [][]int {
	order := make([]int, len(wanted))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(v.sum(a, depth, domain)*int64(wanted[b]), v.sum(b, depth, domain)*int64(wanted[a]))
	})
	out := [][]int{}
	for i := range order {
		out = append(out, slices.Concat(order[i:], order[:i]))
	}
	if len(order) > 2 {
		reversed := slices.Clone(order)
		slices.Reverse(reversed)
		out = append(out, reversed)
	}
	return out
}

// classByClass fills a domain with one class after the other: first the nodes that the classes before it touched, which costs
// nothing more, then the tightest of the others. nil if a class does not fit.
func (s *Solver) classByClass(depth, domain int, order, wanted []int) []filling {
	v := &s.view
	first, last := v.span(depth, domain)
	fills := map[int][]int{} // by node
	rest := &Solver{Work: s.Work}
	for _, class := range order {
		left := wanted[class]
		for node := first; node < last && left > 0; node++ {
			if fill, ok := fills[node]; ok {
				n := v.fitsInto(node, fill, class, left)
				fill[class] += n
				left -= n
			}
		}
		if left == 0 {
			continue
		}
		nodes := rest.untouched(v, class, depth, domain, fills, left)
		if nodes == nil {
			return nil
		}
		for _, node := range nodes {
			fill := make([]int, len(wanted))
			fill[class] = min(left, int(v.classes[class].slots[node]))
			left -= fill[class]
			fills[node] = fill
		}
	}
	var out []filling
	for node := first; node < last; node++ {
		if fill, ok := fills[node]; ok {
			out = append(out, filling{node, fill})
		}
	}
	return out
}

// untouched returns the tightest nodes that hold need members of a class of another view, other than those with a filling.
func (s *Solver) untouched(other *view, class, depth, domain int, fills map[int][]int, need int) []int {
	v := &s.view
	v.fabric, v.tree, v.nodes, v.wholes, v.stands = other.fabric, other.tree, other.nodes, other.wholes, nil
	v.problem = Problem{Classes: other.problem.Classes[class : class+1]}
	v.classes = grow(v.classes, 1)
	r := &v.classes[0]
	r.own = resize(r.own, len(other.classes[class].slots))
	copy(r.own, other.classes[class].slots)
	for node := range fills {
		r.own[node] = 0
	}
	r.slots = r.own
	r.sums = v.sumUp(r.sums, r.slots)
	r.usable = r.sums
	return s.tightest(0, depth, domain, depth, int64(need))
}

// fitsInto returns how many members of a class, at most limit, fit on a node beside a filling.
func (v *view) fitsInto(node int, fill []int, class, limit int) int {
	more := slices.Clone(fill)
	for n := range limit {
		if more[class]++; !v.fits(node, more) {
			return n
		}
	}
	return limit
}
