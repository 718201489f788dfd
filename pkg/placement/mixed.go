package placement

import (
	"cmp"
	"slices"
)

// beside places members of one class beside those that run already, where too many domains are in play for the exact
// search: in the narrowest domain around those that run which has room for all that the widest one holds. Inside it, what
// they touch already is not preferred (TestWhatBesideMisses).
func (s *Solver) beside(domains []int) ([]Place, bool) {
	v := &s.view
	need := v.most(domains)
	for depth := v.nodes; depth >= v.problem.Required; depth-- {
		first, last := v.within(depth, 0, 0)
		for domain := first; domain < last; domain++ {
			if v.isAround(depth, domain) && v.usable(0, depth, domain) >= need {
				return v.fillNodes(s.tightest(depth, domain, depth, need), need), true
			}
		}
	}
	return nil, false
}

// mixed places members of several classes where there are too many for one exact search. It tries the narrowest domains
// first, in each a small exact search for all members, and where that takes too long, or fewer members must do, the classes one
// by one in several orders. What need not be placed is then added to what must.
//
// It may refuse what fits (TestWhatClassByClassRefuses), and place fewer members, or dearer, than could be.
func (s *Solver) mixed(domains []int) ([]Place, bool) {
	v := &s.view
	for i, wanted := range v.wishes() {
		for depth := v.nodes; depth >= v.problem.Required; depth-- {
			holders := v.holders(depth, domains, wanted)
			if depth > v.problem.Required {
				holders = holders[:min(len(holders), maxTries)]
			}
			for _, domain := range holders {
				if i == 0 {
					fillings, isSure := s.small(depth, domain, wanted)
					if fillings != nil {
						return v.fill(fillings, wanted), true
					}
					if isSure {
						continue
					}
				}
				for _, order := range v.orders(depth, domain, wanted) {
					if m := s.classByClass(depth, domain, order, wanted); m != nil {
						m.addWhatFits(depth, domain, order)
						return v.fill(m.fillings(), m.placed), true
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
	order := make([]int, len(v.classes))
	for i, c := range v.problem.Classes {
		all[i], least[i], order[i] = v.classes[i].wants, max(0, c.Minimum), i
	}
	spread := func(order []int) []int {
		out := slices.Clone(least)
		for _, class := range order {
			out[class] += max(0, min(all[class]-out[class], max(1, v.problem.Minimum)-sum(out)))
		}
		return out
	}
	out := [][]int{all, spread(order)}
	slices.Reverse(order)
	out = append(out, spread(order))
	return slices.CompactFunc(out, slices.Equal[[]int])
}

// holders returns the domains of a depth inside the candidates that hold each class alone, the tightest first.
func (v *view) holders(depth int, candidates, wanted []int) []int {
	var out []int
	first, last := v.within(depth, 0, 0)
	for i := first; i < last; i++ {
		node, end := v.span(depth, i)
		if node == end {
			continue
		}
		_, isInside := slices.BinarySearch(candidates, v.of(v.problem.Required, node))
		holds := isInside && v.isAround(depth, i)
		for class, n := range wanted {
			holds = holds && v.sum(class, depth, i) >= int64(n)
		}
		if holds {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int {
		return cmp.Or(v.compareSlots(depth, a, b), v.compareWholes(depth, a, b))
	})
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

// small looks for the best way to place all members of all classes in one domain, with a share of the steps. Without one isSure
// tells whether there is none.
func (s *Solver) small(depth, domain int, wanted []int) (fillings []filling, isSure bool) {
	steps := s.left / maxTries
	x := newExact(&s.view, depth, wanted, steps)
	if x == nil {
		return nil, false
	}
	fillings, _ = x.solve(domain, isAll(wanted))
	s.left -= steps - max(0, x.left)
	return fillings, !x.isExhausted
}

// mix is a domain that is filled with one class after the other.
type mix struct {
	v      *view
	alone  *Solver // sees one class on the nodes that none has touched
	fills  map[int][]int
	placed []int
}

// classByClass fills a domain with so many members of each class, in this order; nil if a class does not fit.
func (s *Solver) classByClass(depth, domain int, order, wanted []int) *mix {
	if s.alone == nil {
		s.alone = &Solver{}
	}
	m := &mix{v: &s.view, alone: s.alone, fills: map[int][]int{}, placed: make([]int, len(wanted))}
	steps := s.left / maxTries
	m.alone.left = steps
	defer func() { s.left -= steps - m.alone.left }()
	for _, class := range order {
		if m.add(class, depth, domain, wanted[class]); m.placed[class] < wanted[class] {
			return nil
		}
	}
	return m
}

// addWhatFits places as many of the members that need no place as it finds one for: inside the domain, then around it.
func (m *mix) addWhatFits(depth, domain int, order []int) {
	for {
		for _, class := range order {
			m.add(class, depth, domain, m.v.classes[class].wants-m.placed[class])
		}
		if depth == m.v.problem.Required {
			return
		}
		domain = m.v.parent(depth, domain)
		depth--
	}
}

// add places members of a class, at most so many: first on the nodes that others touched, which costs nothing more, then on
// the tightest of the rest.
func (m *mix) add(class, depth, domain, left int) {
	put := func(node, fits int) {
		n := min(left, fits)
		m.fills[node][class] += n
		m.placed[class] += n
		left -= n
	}
	first, last := m.v.span(depth, domain)
	for node := first; node < last && left > 0; node++ {
		if fill, ok := m.fills[node]; ok {
			put(node, m.v.fitsBeside(node, fill, class)-fill[class])
		}
	}
	if left <= 0 {
		return
	}
	for _, node := range m.untouched(class, depth, domain, left) {
		m.fills[node] = make([]int, len(m.placed))
		put(node, int(m.v.classes[class].slots[node]))
	}
}

// untouched returns the tightest nodes without a filling that hold so many members of a class, or as many as there are.
func (m *mix) untouched(class, depth, domain, most int) []int {
	v := &m.alone.view
	v.fabric, v.tree, v.nodes, v.wholes = m.v.fabric, m.v.tree, m.v.nodes, m.v.wholes
	v.first, v.last = m.v.first, m.v.last
	v.problem = Problem{Classes: m.v.problem.Classes[class : class+1]}
	v.classes = grow(v.classes, 1)
	r := &v.classes[0]
	r.own = resize(r.own, v.tree.Len())
	first, last := v.span(depth, domain)
	copy(r.own[first:last], m.v.classes[class].slots[first:last])
	for node := range m.fills {
		r.own[node] = 0
	}
	r.slots, r.rooms = r.own, r.own
	r.sums = v.sumUp(r.sums, r.slots, depth, domain)
	r.usable = r.sums
	need := min(int64(most), v.sum(0, depth, domain))
	if need == 0 {
		return nil
	}
	return m.alone.tightest(depth, domain, depth, need)
}

// fillings returns what was placed, in the order of the nodes.
func (m *mix) fillings() []filling {
	out := make([]filling, 0, len(m.fills))
	for node, fill := range m.fills {
		out = append(out, filling{node, fill})
	}
	slices.SortFunc(out, func(a, b filling) int { return cmp.Compare(a.node, b.node) })
	return out
}
