package placement

import (
	"slices"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
)

// view is what one solve looks at: the room that the problem's classes have in every domain. It is filled anew for each
// problem; its memory stays.
type view struct {
	fabric  *fabric.Fabric
	tree    *fabric.Tree
	problem Problem // of which neither the required level nor that of slices is broader than the domain to stay in
	nodes   int     // the depth of the nodes
	// first and last bound the nodes to look at: those of the domain to stay in. Nothing is filled in for others, and the domains
	// that it is part of have no others.
	first, last int
	classes     []room
	wholes      [][]bool // by depth and domain, without the nodes: nothing runs in it
	stands      [][]bool // by depth and domain: members of the gang run in it; nil if none runs
	// isDrawn is true if members that run tell in which domain of the required level the gang must stand. They do not if they
	// run outside the domain to stay in, and that is narrower.
	isDrawn bool
}

// room is what one class finds. Slots count for the cost, usable slots for what fits: they differ where slices do not fill
// a domain.
type room struct {
	slots  []int32   // by node, 0 if it is excluded
	rooms  []int32   // by node: what fits; slots itself, but for a relaxation
	sums   [][]int64 // by depth and domain: slots
	usable [][]int64 // by depth and domain: slots that whole slices can use; sums itself without slices
	own    []int32   // memory of slots where nodes are excluded
	wants  int       // members to place at most: no more than there is room for, in whole slices
}

// look fills the view.
func (v *view) look(f *fabric.Fabric, p Problem) {
	v.fabric, v.tree, v.problem = f, f.Tree(), p
	v.nodes = v.tree.Depth() + 1
	v.first, v.last = 0, v.tree.Len()
	v.first, v.last = v.span(p.Inside.Depth, p.Inside.Domain)
	v.problem.Required = max(p.Required, p.Inside.Depth)
	if p.Slice.Size > 1 {
		v.problem.Slice.Depth = max(p.Slice.Depth, p.Inside.Depth)
	}
	for len(v.classes) < len(p.Classes) {
		v.classes = append(v.classes, room{})
	}
	v.classes = v.classes[:len(p.Classes)]
	for i := range v.classes {
		v.classes[i].look(v, p.Classes[i])
	}
	v.lookForWholes()
	v.stands, v.isDrawn = nil, false
	if len(p.Beside) > 0 {
		v.lookForStanding()
		v.isDrawn = p.Required >= p.Inside.Depth || v.stands[p.Inside.Depth][p.Inside.Domain] ||
			!v.stands[p.Required][v.of(p.Required, v.first)]
	}
}

func (r *room) look(v *view, c Class) {
	r.slots = v.fabric.Slots(c.Request)
	if c.Excluded != nil {
		r.own = resize(r.own, len(r.slots))
		for i := v.first; i < v.last; i++ {
			r.own[i] = r.slots[i]
			if c.Excluded.By[i] != 0 {
				r.own[i] = 0
			}
		}
		r.slots = r.own
	}
	r.rooms = r.slots
	r.sums = v.sumUp(r.sums, r.slots, v.problem.Inside.Depth, v.problem.Inside.Domain)
	r.usable = r.sums
	if slice := v.problem.Slice; slice.Size > 1 {
		r.usable = v.sliced(slice)
		c.Members -= c.Members % slice.Size
	}
	r.wants = int(min(int64(max(0, c.Members)), r.usable[0][0]))
}

// sumUp adds values of nodes up the tree inside one domain, as if there were none outside. Depths from 0 to that of the
// narrowest level are filled; of what is outside nothing is.
func (v *view) sumUp(sums [][]int64, slots []int32, outer, domain int) [][]int64 {
	sums = grow(sums, v.nodes)
	for depth := v.nodes - 1; depth >= 0; depth-- {
		sums[depth] = resize(sums[depth], v.tree.Domains(depth))
	}
	for depth := v.nodes - 1; depth >= outer; depth-- {
		first, last := v.within(depth, outer, domain)
		for i := first; i < last; i++ {
			d := v.tree.Domain(depth, i)
			if depth < v.nodes-1 {
				sums[depth][i] = sum(sums[depth+1][d.FirstChild:d.LastChild])
				continue
			}
			total := int64(0)
			for _, s := range slots[d.First:d.Last] {
				total += int64(s)
			}
			sums[depth][i] = total
		}
	}
	for depth := outer; depth > 0; depth-- {
		above, inside := v.parent(depth, domain), int64(0)
		if depth == v.nodes {
			inside = int64(slots[domain])
		} else {
			inside = sums[depth][domain]
		}
		sums[depth-1][above], domain = inside, above
	}
	return sums
}

// sliced returns the slots that slices can use. At and above the depth of the slices these are multiples of their size;
// below it every slot is of use.
func (v *view) sliced(slice Slice) [][]int64 {
	r := &v.classes[0]
	usable := make([][]int64, v.nodes)
	size := int64(slice.Size)
	for depth := v.nodes - 1; depth >= 0; depth-- {
		usable[depth] = slices.Clone(r.sums[depth])
		if depth > slice.Depth {
			continue
		}
		first, last := v.within(depth, 0, 0)
		for i := first; i < last; i++ {
			first, last := v.within(depth+1, depth, i)
			switch {
			case depth == slice.Depth:
				usable[depth][i] -= usable[depth][i] % size
			case depth+1 < v.nodes:
				usable[depth][i] = sum(usable[depth+1][first:last])
			default: // the slices stand on single nodes
				usable[depth][i] = 0
				for _, s := range r.slots[first:last] {
					usable[depth][i] += int64(s) - int64(s)%size
				}
			}
		}
	}
	return usable
}

func sum[T int | int64](values []T) T {
	total := T(0)
	for _, v := range values {
		total += v
	}
	return total
}

func (v *view) lookForWholes() {
	v.wholes = grow(v.wholes, v.nodes)
	for depth := v.nodes - 1; depth >= 0; depth-- {
		v.wholes[depth] = resize(v.wholes[depth], v.tree.Domains(depth))
		children := v.fabric.Wholes()
		if depth < v.nodes-1 {
			children = v.wholes[depth+1]
		}
		first, last := v.within(depth, 0, 0)
		for i := first; i < last; i++ {
			first, last := v.within(depth+1, depth, i)
			v.wholes[depth][i] = !slices.Contains(children[first:last], false)
		}
	}
}

func (v *view) lookForStanding() {
	v.stands = make([][]bool, v.nodes+1)
	for depth := range v.stands {
		v.stands[depth] = make([]bool, v.count(depth))
		for _, node := range v.problem.Beside {
			v.stands[depth][v.of(depth, node)] = true
		}
	}
}

// The methods below take nodes for domains of the depth v.nodes.

func (v *view) count(depth int) int {
	if depth == v.nodes {
		return v.tree.Len()
	}
	return v.tree.Domains(depth)
}

func (v *view) of(depth, node int) int {
	if depth == v.nodes {
		return node
	}
	return v.tree.Of(depth, node)
}

// span returns the nodes of a domain to look at: first <= node < last.
func (v *view) span(depth, domain int) (first, last int) {
	if depth == v.nodes {
		return domain, domain + 1
	}
	d := v.tree.Domain(depth, domain)
	return max(d.First, v.first), min(d.Last, v.last)
}

// within returns the domains of a depth to look at inside a domain of the same or a lower one: first <= domain < last.
func (v *view) within(depth, outer, domain int) (first, last int) {
	if depth == outer {
		return domain, domain + 1
	}
	a, b := v.span(outer, domain)
	if a == b {
		return 0, 0
	}
	return v.of(depth, a), v.of(depth, b-1) + 1
}

// parent returns the domain one depth up.
func (v *view) parent(depth, domain int) int {
	if depth == v.nodes {
		return v.tree.Of(depth-1, domain)
	}
	return v.tree.Domain(depth, domain).Parent
}

func (v *view) standsIn(depth, domain int) bool { return v.stands != nil && v.stands[depth][domain] }

func (v *view) isWhole(depth, domain int) bool {
	if depth == v.nodes {
		return v.fabric.Wholes()[domain]
	}
	return v.wholes[depth][domain]
}

func (v *view) sum(class, depth, domain int) int64 {
	if depth == v.nodes {
		return int64(v.classes[class].slots[domain])
	}
	return v.classes[class].sums[depth][domain]
}

// usable is how many members of a class a domain holds, in whole slices where slices are asked for.
func (v *view) usable(class, depth, domain int) int64 {
	if depth < v.nodes {
		return v.classes[class].usable[depth][domain]
	}
	room := int64(v.classes[class].rooms[domain])
	if s := v.problem.Slice; s.Size > 1 && s.Depth == v.nodes {
		room -= room % int64(s.Size)
	}
	return room
}

// isCandidate is true for a domain of the required depth in which the gang may stand: if members of it run already, theirs.
func (v *view) isCandidate(domain int) bool { return v.isAround(v.problem.Required, domain) }

// isAround is true for a domain in which members of the gang run that the others must join.
func (v *view) isAround(depth, domain int) bool { return !v.isDrawn || v.stands[depth][domain] }

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func grow[T any](s []T, n int) []T {
	for len(s) < n {
		var zero T
		s = append(s, zero)
	}
	return s[:n]
}
