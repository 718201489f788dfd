package placement

import (
	"math"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
)

// relaxation is several classes taken for one: whoever needs so many units of one resource, in any pieces. Members of all
// classes need no less, and a node gives them no more. So no domain that is too narrow for the relaxation holds the gang, and
// as what a plan costs depends on the nodes it touches alone, no plan costs less than the relaxation's. Where its nodes do hold
// the members, they are the best.
type relaxation struct {
	*Solver       // sees the units that each node has of use as the room of its only class
	need    int64 // units
}

// maxUnits bounds how many units may be needed: a resource that is counted in bytes relaxes nothing.
const maxUnits = 1 << 16

// relax returns the relaxation by the resource for which most nodes are needed; nil if there is none.
func (s *Solver) relax(wanted []int) *relaxation {
	v := &s.view
	var best units
	nodes := int64(0)
	for _, resource := range v.asked() {
		u := v.units(resource, wanted)
		if u.need == 0 || u.need > maxUnits {
			continue
		}
		if n := u.fewestNodes(v); n > nodes {
			best, nodes = u, n
		}
	}
	if nodes == 0 {
		return nil
	}
	if s.relaxed == nil {
		s.relaxed = &Solver{}
	}
	r := &s.relaxed.view
	r.fabric, r.tree, r.nodes, r.wholes, r.first, r.last = v.fabric, v.tree, v.nodes, v.wholes, v.first, v.last
	r.problem = Problem{Classes: v.problem.Classes[:1], Inside: v.problem.Inside, Required: v.problem.Required}
	r.classes = grow(r.classes, 1)
	c := &r.classes[0]
	c.slots, c.sums = v.classes[0].slots, v.classes[0].sums
	c.own = resize(c.own, v.tree.Len())
	for node := v.first; node < v.last; node++ {
		c.own[node] = int32(best.room(v, node))
	}
	c.rooms = c.own
	c.usable = r.sumUp(c.usable, c.rooms, v.problem.Inside.Depth, v.problem.Inside.Domain)
	s.relaxed.left = s.left
	return &relaxation{s.relaxed, best.need}
}

// units counts a resource in the largest pieces that all classes ask whole numbers of.
type units struct {
	resource fabric.Resource
	size     int64
	need     int64
	asks     []int64 // by class, of one member
	wanted   []int
}

func (v *view) units(resource fabric.Resource, wanted []int) units {
	u := units{resource: resource, asks: make([]int64, len(wanted)), wanted: wanted}
	for class := range wanted {
		if wanted[class] > 0 {
			u.size = gcd(u.size, v.problem.Classes[class].asks(resource))
		}
	}
	for class, n := range wanted {
		if n == 0 || u.size == 0 {
			continue
		}
		u.asks[class] = v.problem.Classes[class].asks(resource) / u.size
		if u.asks[class] > maxUnits || int64(n) > maxUnits {
			return units{}
		}
		u.need += u.asks[class] * int64(n)
	}
	return u
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// room is how many units members could take on a node, if only what each class alone takes were to be heeded.
func (u *units) room(v *view, node int) int64 {
	room := int64(0)
	for class, asks := range u.asks {
		if asks > 0 {
			room += min(int64(v.classes[class].slots[node]), int64(u.wanted[class])) * asks
		}
	}
	if room == 0 {
		return 0
	}
	return min(room, u.need, v.fabric.Free(node, u.resource)/u.size)
}

// fewestNodes is how many nodes are needed, were all as wide as the widest.
func (u *units) fewestNodes(v *view) int64 {
	widest := int64(0)
	for node := v.first; node < v.last; node++ {
		widest = max(widest, u.room(v, node))
	}
	if widest == 0 {
		return math.MaxInt64
	}
	return (u.need + widest - 1) / widest
}

// nodesIn returns the best nodes of the relaxation in an outer domain, inside one domain of the depth floor or below, nil if
// there are none. isBest tells whether no others can be better.
func (r *relaxation) nodesIn(outer, domain, floor int) (nodes []int, isBest bool) {
	r.isBest = true
	nodes = r.tightest(outer, domain, floor, r.need)
	return nodes, r.isBest
}
