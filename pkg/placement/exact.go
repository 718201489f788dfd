package placement

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
)

// exact finds the best plan of all, by dynamic programming up the tree. A state is how many members of each class a domain
// has taken so far; a domain's table holds the least cost of each state that its nodes can reach. Since the cost of a plan
// is a sum over the domains that it touches, tables add up: a domain's children are merged one after the other.
//
// A node offers its maximal fillings only: to place fewer members somewhere is never cheaper than to place those that are
// not needed nowhere. States are therefore capped at what is wanted.
//
// Steps: for each merge the states of the one side times those of the other. For one class that is at most
// members × min(members, slots) per node and domain.
type exact struct {
	v       *view
	depth   int // of the domains to search
	costs   packing
	wanted  []int // by class
	strides []int // of a class in the number of a state
	left    int   // steps
	kinds   map[string]*nodeKind
	asked   []fabric.Resource // by any class
	key     []byte            // memory of one
	// isExhausted is true once there were too few steps.
	isExhausted bool

	// The merge in progress, by state.
	cost   []uint64
	stamps []int32
	stamp  int32
	prev   []int32
	took   []int32
}

// choice is one thing that a child of a domain can do.
type choice struct {
	state int32
	cost  []uint64
	fill  []int // by class, of a node
}

// table is what a domain can do: its children merged in order.
type table struct {
	depth, domain int
	kinds         []alike // instead of children
	steps         []step
	choices       []choice // after the last step, state 0 included
}

// step is one merge: the states that are reachable after it, and how.
type step struct {
	depth, domain int    // of the child
	child         *table // nil for a node
	kind, count   int    // instead of a child: so many nodes of a kind
	offers        []choice
	states        []int32
	prev, took    []int32 // by index into states: the state before, and the index of the child's choice; -1 for none
}

// alike are nodes of one domain that are alike for one class, and how many members each takes.
type alike struct {
	nodes []int
	fits  int
}

// nodeKind is what nodes can do that are alike for the problem.
type nodeKind struct {
	offers []choice
	number int
	// count is how many of them are merged into a table already: more than there are members are of no use.
	table *table
	count int
}

// filling is how many members of each class a node takes at most.
type filling struct {
	node int
	fill []int
}

// newExact returns a search inside domains of a depth, one after the other; nil if the states alone exceed the bound.
func newExact(v *view, depth int, wanted []int, work int) *exact {
	x := &exact{v: v, depth: depth, costs: v.newPacking(depth), wanted: wanted, strides: make([]int, len(wanted)), left: work}
	size := 1
	for i, n := range wanted {
		x.strides[i] = size
		if size > work/(n+1) {
			return nil
		}
		size *= n + 1
	}
	x.cost, x.stamps = make([]uint64, size*x.costs.words), make([]int32, size)
	x.prev, x.took = make([]int32, size), make([]int32, size)
	x.kinds, x.asked = map[string]*nodeKind{}, v.asked()
	return x
}

// solve returns the best plan inside one domain, and how many members it places: of the plans that suffice, the cheapest of
// those that place most. nil if there is none, or if the bound was met: then x.isExhausted is true.
func (x *exact) solve(domain int, suffices func(placed []int) bool) (fillings []filling, worth int) {
	t := x.table(x.depth, domain)
	if x.isExhausted {
		return nil, 0
	}
	var best *choice
	for i := range t.choices {
		c := &t.choices[i]
		placed := x.placed(c.state)
		n := sum(placed)
		if n < worth || !suffices(placed) {
			continue
		}
		if best == nil || n > worth || slices.Compare(c.cost, best.cost) < 0 {
			best, worth = c, n
		}
	}
	if best == nil {
		return nil, 0
	}
	return t.trace(best.state, nil), worth
}

// placed returns a state's members by class.
func (x *exact) placed(state int32) []int {
	out := make([]int, len(x.wanted))
	for i, n := range x.wanted {
		out[i] = int(state) / x.strides[i] % (n + 1)
	}
	return out
}

// table works a domain out.
func (x *exact) table(depth, domain int) *table {
	v := x.v
	t := &table{depth: depth, domain: domain, choices: []choice{{cost: make([]uint64, x.costs.words)}}}
	if depth == v.nodes {
		t.merge(x, step{depth: depth, domain: domain, offers: x.fillings(t, domain)})
		for i := range t.choices { // whoever asked touches the node
			clear(t.choices[i].cost)
		}
	} else if depth == v.nodes-1 && len(x.wanted) == 1 && v.stands == nil && v.problem.Slice.Depth != v.nodes {
		t.mergeKinds(x)
	} else {
		first, last := v.within(depth+1, depth, domain)
		for child := first; child < last && !x.isExhausted; child++ {
			if s := x.child(t, depth+1, child); len(s.offers) > 0 {
				t.merge(x, s)
			}
		}
	}
	if s := v.problem.Slice; s.Size > 1 && s.Depth == depth {
		t.cutToSlices(s.Size)
	}
	return t
}

// child returns what a child of a table's domain can do, with what it costs to touch it.
func (x *exact) child(t *table, depth, domain int) step {
	v := x.v
	s := step{depth: depth, domain: domain}
	if depth == v.nodes && v.problem.Slice.Depth != v.nodes {
		s.offers = x.fillings(t, domain)
		return s
	}
	if !x.hasRoom(depth, domain) {
		return s
	}
	s.child = x.table(depth, domain)
	for _, c := range s.child.choices {
		if c.state != 0 {
			x.costs.touch(v, c.cost, depth, domain) // the child's table is not asked for costs again
			s.offers = append(s.offers, c)
		}
	}
	return s
}

func (x *exact) hasRoom(depth, domain int) bool {
	for class := range x.wanted {
		if x.v.usable(class, depth, domain) > 0 {
			return true
		}
	}
	return false
}

// merge adds a child to what was merged before it. Where costs are equal the earlier children win.
func (t *table) merge(x *exact, s step) {
	words := x.costs.words
	x.left -= len(t.choices) * (1 + len(s.offers))
	if x.isExhausted = x.isExhausted || x.left < 0; x.isExhausted {
		return
	}
	x.stamp++
	put := func(state, prev, took int32, a, b []uint64) {
		have := x.cost[int(state)*words:][:words]
		if x.stamps[state] != x.stamp {
			x.stamps[state] = x.stamp
			s.states = append(s.states, state)
		} else if !isLess(a, b, have) {
			return
		}
		for i := range have {
			have[i] = a[i] + b[i]
		}
		x.prev[state], x.took[state] = prev, took
	}
	nothing := make([]uint64, words)
	for i := range t.choices {
		put(t.choices[i].state, t.choices[i].state, -1, t.choices[i].cost, nothing)
	}
	for i := range t.choices {
		for j := range s.offers {
			put(x.add(t.choices[i].state, s.offers[j].state), t.choices[i].state, int32(j), t.choices[i].cost, s.offers[j].cost)
		}
	}
	s.prev, s.took = make([]int32, len(s.states)), make([]int32, len(s.states))
	costs := make([]uint64, len(s.states)*words)
	t.choices = make([]choice, len(s.states))
	for i, state := range s.states {
		s.prev[i], s.took[i] = x.prev[state], x.took[state]
		t.choices[i] = choice{state: state, cost: costs[i*words:][:words:words]}
		copy(t.choices[i].cost, x.cost[int(state)*words:])
	}
	t.steps = append(t.steps, s)
}

// mergeKinds merges the nodes of a domain of the narrowest level for one class: of nodes that are alike so many at once that
// every number of them is a sum.
func (t *table) mergeKinds(x *exact) {
	items, need := x.v.items(x.v.nodes, []int{t.domain}), int64(x.wanted[0])
	if need == 0 {
		return
	}
	kinds := kindsOf(items, need)
	t.kinds = make([]alike, len(kinds))
	for i, k := range kinds {
		t.kinds[i] = alike{domainsOf(items, k.items), int(k.room)}
	}
	for _, part := range split(kinds, need) {
		offer := x.filling(t.kinds[part.kind].nodes[0], []int{int(part.room)})
		for i := range offer.cost {
			offer.cost[i] *= uint64(part.count)
		}
		if t.merge(x, step{kind: part.kind, count: int(part.count), offers: []choice{offer}}); x.isExhausted {
			return
		}
	}
}

// traceKinds returns the first nodes of each kind, as many as lead to a state.
func (t *table) traceKinds(state int32, out []filling) []filling {
	counts := make([]int, len(t.kinds))
	for i := len(t.steps) - 1; i >= 0; i-- {
		s := &t.steps[i]
		at := slices.Index(s.states, state)
		if s.took[at] >= 0 {
			counts[s.kind] += s.count
		}
		state = s.prev[at]
	}
	from := len(out)
	for i, k := range t.kinds {
		for _, node := range k.nodes[:counts[i]] {
			out = append(out, filling{node, []int{k.fits}})
		}
	}
	slices.SortFunc(out[from:], func(a, b filling) int { return cmp.Compare(a.node, b.node) })
	return out
}

// isLess is true if a+b is less than c.
func isLess(a, b, c []uint64) bool {
	for i := range c {
		if sum := a[i] + b[i]; sum != c[i] {
			return sum < c[i]
		}
	}
	return false
}

// add returns the state of both, capped at what is wanted.
func (x *exact) add(a, b int32) int32 {
	if len(x.wanted) == 1 {
		return min(a+b, int32(x.wanted[0]))
	}
	out := int32(0)
	for i, n := range x.wanted {
		stride := int32(x.strides[i])
		digit := min(a/stride%int32(n+1)+b/stride%int32(n+1), int32(n))
		out += digit * stride
	}
	return out
}

// cutToSlices leaves whole slices only: for each number of slices the cheapest way to have that many.
func (t *table) cutToSlices(size int) {
	s := step{depth: t.depth, domain: t.domain}
	var choices []choice
	for i, c := range t.choices {
		cut := c.state - c.state%int32(size)
		at := slices.Index(s.states, cut)
		if at < 0 {
			s.states, s.prev, s.took = append(s.states, cut), append(s.prev, c.state), append(s.took, -1)
			choices = append(choices, choice{state: cut, cost: c.cost})
			continue
		}
		if slices.Compare(c.cost, choices[at].cost) < 0 {
			s.prev[at], choices[at].cost = t.choices[i].state, c.cost
		}
	}
	t.choices, t.steps = choices, append(t.steps, s)
}

// trace returns the nodes that lead to a state, in ascending order.
func (t *table) trace(state int32, out []filling) []filling {
	if t.kinds != nil {
		return t.traceKinds(state, out)
	}
	taken := make([]func([]filling) []filling, 0, len(t.steps))
	for i := len(t.steps) - 1; i >= 0; i-- {
		s := &t.steps[i]
		at := slices.Index(s.states, state)
		if took := s.took[at]; took >= 0 {
			offer := s.offers[took]
			taken = append(taken, func(out []filling) []filling {
				if s.child != nil {
					return s.child.trace(offer.state, out)
				}
				return append(out, filling{s.domain, offer.fill})
			})
		}
		state = s.prev[at]
	}
	for _, f := range slices.Backward(taken) {
		out = f(out)
	}
	return out
}

// fillings returns the maximal ways to fill a node, each with what it costs to touch the node; none if the table has nodes
// enough that are like it.
func (x *exact) fillings(t *table, node int) []choice {
	if len(x.wanted) > 1 {
		k := x.kind(node)
		if k.table != t {
			k.table, k.count = t, 0
		}
		if k.count++; k.count > sum(x.wanted) {
			return nil
		}
		return k.offers
	}
	fits := min(int(x.v.classes[0].rooms[node]), x.wanted[0])
	if fits == 0 {
		return nil
	}
	return []choice{x.filling(node, []int{fits})}
}

// kind returns the kind of a node, for which several classes are worked out once.
func (x *exact) kind(node int) *nodeKind {
	v := x.v
	key := x.key[:0]
	for class := range v.classes {
		key = binary.AppendVarint(key, int64(v.classes[class].slots[node]))
	}
	for _, resource := range x.asked {
		key = binary.AppendVarint(key, v.fabric.Free(node, resource))
	}
	key = strconv.AppendBool(key, v.isWhole(v.nodes, node))
	key = strconv.AppendBool(key, v.standsIn(v.nodes, node))
	x.key = key
	k, ok := x.kinds[string(key)]
	if !ok {
		k = &nodeKind{number: len(x.kinds)}
		x.fill(node, make([]int, len(x.wanted)), 0, &k.offers)
		x.kinds[string(key)] = k
	}
	return k
}

func (x *exact) filling(node int, fill []int) choice {
	c := choice{cost: make([]uint64, x.costs.words), fill: slices.Clone(fill)}
	for i, n := range fill {
		c.state += int32(n * x.strides[i])
	}
	x.costs.touch(x.v, c.cost, x.v.nodes, node)
	return c
}

// fill tries all numbers of members of the classes from class on, beside what fill holds of those before it.
func (x *exact) fill(node int, fill []int, class int, out *[]choice) {
	if x.isExhausted {
		return
	}
	fits := min(x.v.fitsBeside(node, fill[:class], class), x.wanted[class])
	if class == len(fill)-1 {
		x.left -= len(fill) * len(fill) // that is how many requests isMaximal compares
		x.isExhausted = x.isExhausted || x.left < 0
		fill[class] = fits
		if slices.Max(fill) > 0 && x.v.isMaximal(node, fill, x.wanted) {
			*out = append(*out, x.filling(node, fill))
		}
		return
	}
	for n := fits; n >= 0; n-- {
		fill[class] = n
		x.fill(node, fill, class+1, out)
	}
}
