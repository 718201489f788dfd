package placement_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// This file decides small worlds by trying everything. It shares nothing with the solver but the words of the package
// comment: no tree, no sums, no pruning. A world of n nodes costs 2^n sets of nodes, times the ways to spread members.

// world is a cluster and a gang.
type world struct {
	levels   int
	nodes    []node
	classes  []class
	minimum  int
	required int
	slice    placement.Slice
	beside   []int // into nodes
	inside   inside
}

// inside is the domain of a depth in which a node stands.
type inside struct{ depth, node int }

// node is a node with what it has free of each resource.
type node struct {
	domains []string
	free    []int
	isWhole bool
}

// class is a class with what a member asks of each resource, and the nodes that do not admit it.
type class struct {
	asks             []int
	members, minimum int
	excluded         []bool // by node; nil if none
}

func (w world) String() string {
	var b strings.Builder
	for i, n := range w.nodes {
		fmt.Fprintf(&b, "\n  %s in %v free %v", nodeName(i), n.domains, n.free)
		if n.isWhole {
			b.WriteString(" whole")
		}
		if slices.Contains(w.beside, i) {
			b.WriteString(" with members that run")
		}
		for c, class := range w.classes {
			if class.excluded != nil && class.excluded[i] {
				fmt.Fprintf(&b, " not for class %d", c)
			}
		}
	}
	for i, c := range w.classes {
		fmt.Fprintf(&b, "\n  class %d: %d to %d members that ask %v", i, c.minimum, c.members, c.asks)
	}
	fmt.Fprintf(&b, "\n  minimum %d, required depth %d of %d, slices %+v", w.minimum, w.required, w.levels+1, w.slice)
	if w.inside.depth > 0 {
		fmt.Fprintf(&b, ", inside the domain of depth %d around %s", w.inside.depth, nodeName(w.inside.node))
	}
	return b.String()
}

func nodeName(i int) string { return fmt.Sprintf("n%02d", i) }

// domain returns the first node of the domain of a depth in which a node stands. A node without a name for a level stands
// alone from there on.
func (w world) domain(depth, i int) int {
	for j := range i {
		isShared := depth <= w.levels
		for level := 0; isShared && level < depth; level++ {
			name := w.nodes[i].domains[level]
			isShared = name != "" && name == w.nodes[j].domains[level]
		}
		if isShared {
			return j
		}
	}
	return i
}

// fits tells whether so many members of each class fit on a node.
func (w world) fits(i int, fill []int) bool {
	for c, n := range fill {
		if n > 0 && w.classes[c].excluded != nil && w.classes[c].excluded[i] {
			return false
		}
	}
	for r, left := range w.nodes[i].free {
		isAsked := false
		for c, n := range fill {
			left -= n * w.classes[c].asks[r]
			isAsked = isAsked || n*w.classes[c].asks[r] > 0
		}
		if isAsked && left < 0 {
			return false
		}
	}
	return true
}

// isInside is true for a node on which members may be placed.
func (w world) isInside(i int) bool {
	return w.inside.depth == 0 || w.domain(w.inside.depth, i) == w.domain(w.inside.depth, w.inside.node)
}

// slots is how many members of a class alone fit on a node.
func (w world) slots(c, i int) int {
	fill := make([]int, len(w.classes))
	for fill[c] = 1; w.fits(i, fill); fill[c]++ {
	}
	return fill[c] - 1
}

// fillings are all ways to put members on a node.
func (w world) fillings(i int) [][]int {
	out := [][]int{{}}
	for _, class := range w.classes {
		var longer [][]int
		for _, fill := range out {
			for n := range class.members + 1 {
				if more := append(slices.Clone(fill), n); w.fits(i, more) {
					longer = append(longer, more)
				}
			}
		}
		out = longer
	}
	return out
}

// isEnough is true if these are all the members, by class, that must be placed.
func (w world) isEnough(placed []int) bool {
	total := 0
	for c, n := range placed {
		total += n
		if n < w.classes[c].minimum {
			return false
		}
	}
	return total >= max(1, w.minimum)
}

// needed is how many of these members, by class, are among those that must be placed.
func (w world) needed(placed []int) int {
	count, need, spare := 0, 0, 0
	for c, n := range placed {
		need += w.classes[c].minimum
		count += min(n, w.classes[c].minimum)
		spare += max(0, n-w.classes[c].minimum)
	}
	return count + min(spare, max(1, w.minimum, need)-need)
}

// worth is how many members are placed, 0 if not enough.
func (w world) worth(placed []int) int {
	if !w.isEnough(placed) {
		return 0
	}
	return total(placed)
}

// most returns for each set of nodes what can be placed on it at once that is worth most. Sets are bits.
func (w world) most(worth func(placed []int) int) []int {
	most := make([]int, 1<<len(w.nodes))
	if w.slice.Size > 1 {
		for set := range most {
			most[set] = worth([]int{w.inSlices(set)})
		}
		return most
	}
	size := 1 // of the table of what can be placed: a number for each choice of numbers of members
	for _, c := range w.classes {
		size *= c.members + 1
	}
	fillings := make([][][]int, len(w.nodes))
	for i := range w.nodes {
		fillings[i] = w.fillings(i)
	}
	can := make([][]bool, len(most))
	can[0] = make([]bool, size)
	can[0][0] = true
	for set := 1; set < len(most); set++ {
		first := 0
		for set>>first&1 == 0 {
			first++
		}
		can[set] = make([]bool, size)
		for before, ok := range can[set&(set-1)] {
			if !ok {
				continue
			}
			for _, fill := range fillings[first] {
				if after, ok := w.plus(before, fill); ok {
					can[set][after] = true
				}
			}
		}
		for state, ok := range can[set] {
			if ok {
				most[set] = max(most[set], worth(w.placed(state)))
			}
		}
	}
	return most
}

func (w world) placed(state int) []int {
	out := make([]int, len(w.classes))
	for c, class := range w.classes {
		out[c] = state % (class.members + 1)
		state /= class.members + 1
	}
	return out
}

// plus adds members to those of a state; false if these are more than there are.
func (w world) plus(state int, fill []int) (int, bool) {
	out, stride := 0, 1
	for c, class := range w.classes {
		n := state%(class.members+1) + fill[c]
		if n > class.members {
			return 0, false
		}
		out += n * stride
		state /= class.members + 1
		stride *= class.members + 1
	}
	return out, true
}

func total(numbers []int) (sum int) {
	for _, n := range numbers {
		sum += n
	}
	return sum
}

// inSlices is how many members fit on a set of nodes if only whole slices count.
func (w world) inSlices(set int) int {
	rooms := map[int]int{}
	for i := range w.nodes {
		if set>>i&1 == 1 {
			rooms[w.domain(w.slice.Depth, i)] += w.slots(0, i)
		}
	}
	count := 0
	for _, room := range rooms {
		count += room / w.slice.Size
	}
	return min(count, w.classes[0].members/w.slice.Size) * w.slice.Size
}

// holds is true if a set of nodes stands in one domain of the required level, that of members which run already, and in the
// domain to stay in.
func (w world) holds(set int) bool {
	home := -1
	for i := range w.nodes {
		if set>>i&1 == 1 {
			domain := w.domain(w.required, i)
			if home >= 0 && home != domain || !w.isInside(i) {
				return false
			}
			home = domain
		}
	}
	for _, i := range w.beside {
		if home == w.domain(w.required, i) {
			return true
		}
	}
	return len(w.beside) == 0
}

// cost is what it costs to touch a set of nodes, as the package comment counts: the number that weighs most comes first.
func (w world) cost(set int) []int64 {
	depths := w.levels + 1
	cost := make([]int64, 3*depths)
	for depth := 1; depth <= depths; depth++ {
		paid := 0 // domains, as bits
		for _, i := range w.beside {
			paid |= 1 << w.domain(depth, i)
		}
		for i := range w.nodes {
			domain := w.domain(depth, i)
			if set>>i&1 == 0 || paid>>domain&1 == 1 {
				continue
			}
			paid |= 1 << domain
			isWhole := int64(1)
			for j := range w.nodes {
				if w.domain(depth, j) == domain && w.isInside(j) {
					cost[2*depths-depth] += int64(w.slots(0, j))
					if !w.nodes[j].isWhole {
						isWhole = 0
					}
				}
			}
			cost[depth-1]++
			cost[3*depths-depth] += isWhole
		}
	}
	return cost
}

// flat is a plan's cost in the order of [world.cost].
func flat(c placement.Cost) (out []int64) {
	for _, n := range c.Domains {
		out = append(out, int64(n))
	}
	out = append(out, c.Slots...)
	for _, n := range c.Wholes {
		out = append(out, int64(n))
	}
	return out
}

// best is the most members that can be placed, 0 if not enough, and the least that it costs.
func (w world) best() (placed int, cost []int64) {
	for set, n := range w.most(w.worth) {
		if n == 0 || n < placed || !w.holds(set) {
			continue
		}
		if c := w.cost(set); n > placed || slices.Compare(c, cost) < 0 {
			placed, cost = n, c
		}
	}
	return placed, cost
}

// together is how many of the members that must be placed fit in one domain.
func (w world) together() (most int) {
	for set, n := range w.most(w.needed) {
		if n > most && w.holds(set) {
			most = n
		}
	}
	return most
}

// check returns what is wrong with a plan, "" if nothing is: whether it is the best one is not asked.
func (w world) check(f *fabric.Fabric, plan placement.Plan) string {
	fills, set := map[int][]int{}, 0
	placed := make([]int, len(w.classes))
	var ranks []int // nodes of the members in the order of their ranks
	last := placement.Place{Node: -1}
	for _, p := range plan.Places {
		if p.Members <= 0 || p.Node < last.Node || p.Node == last.Node && p.Class <= last.Class {
			return fmt.Sprintf("%+v comes after %+v", p, last)
		}
		last = p
		i := index(f, p.Node)
		if fills[i] == nil {
			fills[i] = make([]int, len(w.classes))
		}
		fills[i][p.Class] += p.Members
		placed[p.Class] += p.Members
		set |= 1 << i
		ranks = append(ranks, slices.Repeat([]int{i}, p.Members)...)
	}
	for i, fill := range fills {
		if !w.fits(i, fill) {
			return fmt.Sprintf("%v do not fit on node %d", fill, i)
		}
	}
	for c, class := range w.classes {
		if placed[c] > class.members {
			return fmt.Sprintf("%d of %d members of class %d are placed", placed[c], class.members, c)
		}
	}
	for group := range slices.Chunk(ranks, max(1, w.slice.Size)) {
		for _, i := range group {
			if w.domain(w.slice.Depth, i) != w.domain(w.slice.Depth, group[0]) || w.slice.Size > len(group) {
				return fmt.Sprintf("the slice on nodes %v is split", group)
			}
		}
	}
	switch {
	case !w.isEnough(placed):
		return fmt.Sprintf("%v placed are not enough", placed)
	case !w.holds(set):
		return "no single domain of the required level"
	case !slices.Equal(flat(plan.Cost), w.cost(set)):
		return fmt.Sprintf("the cost is %v, not %v", w.cost(set), flat(plan.Cost))
	}
	return w.checkDomain(f, plan, set)
}

// checkDomain checks that the plan's domain is the narrowest that holds all members.
func (w world) checkDomain(f *fabric.Fabric, plan placement.Plan, set int) string {
	for _, i := range w.beside {
		set |= 1 << i
	}
	for depth := w.levels + 1; depth >= 0; depth-- {
		shared := map[int]int{}
		for i := range w.nodes {
			if set>>i&1 == 1 {
				shared[w.domain(depth, i)] = i
			}
		}
		if len(shared) > 1 {
			continue
		}
		for _, i := range shared {
			number, _ := f.Number(nodeName(i))
			domain := number
			if depth <= w.levels {
				domain = f.Tree().Of(depth, number)
			}
			if plan.Depth != depth || plan.Domain != domain {
				return fmt.Sprintf("the domain is %d of depth %d, not %d of depth %d", domain, depth, plan.Domain, plan.Depth)
			}
		}
		return ""
	}
	return "no domain holds all members"
}

// index is the inverse of the fabric's numbering.
func index(f *fabric.Fabric, number int) int {
	i, err := strconv.Atoi(f.Tree().Node(number)[1:])
	if err != nil {
		panic(err)
	}
	return i
}

// fabric builds the world for the solver, its nodes set in this order.
func (w world) fabric(order []int) *fabric.Fabric {
	f := fabric.New([]string{"block", "rack", "row"}[:w.levels]...)
	for r := range w.nodes[0].free {
		f.Resource(fmt.Sprint(r))
	}
	for _, i := range order {
		w.set(f, i)
	}
	return f
}

func (w world) set(f *fabric.Fabric, i int) {
	n := w.nodes[i]
	free := make([]int64, len(n.free))
	for r, have := range n.free {
		free[r] = int64(have)
	}
	f.Set(fabric.Node{Name: nodeName(i), Domains: n.domains, Free: free, IsWhole: n.isWhole})
}

func (w world) inOrder() []int {
	order := make([]int, len(w.nodes))
	for i := range order {
		order[i] = i
	}
	return order
}

// problem puts the world's question to the solver.
func (w world) problem(f *fabric.Fabric) placement.Problem {
	p := placement.Problem{Minimum: w.minimum, Required: w.required, Slice: w.slice}
	for _, c := range w.classes {
		asked := placement.Class{Members: c.members, Minimum: c.minimum}
		for r, ask := range c.asks {
			asked.Request = append(asked.Request, fabric.Amount{Resource: fabric.Resource(r), Quantity: int64(ask)})
		}
		if c.excluded != nil {
			asked.Excluded = &placement.Exclusions{Reasons: []string{"tainted"}, By: make([]uint8, len(w.nodes))}
			for i, isExcluded := range c.excluded {
				if number, _ := f.Number(nodeName(i)); isExcluded {
					asked.Excluded.By[number] = 1
				}
			}
		}
		p.Classes = append(p.Classes, asked)
	}
	for _, i := range w.beside {
		number, _ := f.Number(nodeName(i))
		p.Beside = append(p.Beside, number)
	}
	p.Inside = placement.Inside{Depth: w.inside.depth}
	if p.Inside.Domain, _ = f.Number(nodeName(w.inside.node)); p.Inside.Depth <= w.levels {
		p.Inside.Domain = f.Tree().Of(p.Inside.Depth, p.Inside.Domain)
	}
	return p
}
