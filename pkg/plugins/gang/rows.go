package gang

import (
	"cmp"
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// row is members of whom any may take the place of any other: of one class, in one bond.
type row struct {
	role     string
	members  []*v1.Pod // by rank
	pool     *pool
	bond     *bond
	placed   []placed // in the order of members
	isClosed bool     // its other members stay out
	choice   int      // of how many nodes the first member has the choice
}

// placed is where a member was put, and what the filters' preparation left behind.
type placed struct {
	node  int
	state *recorder
}

func (r *row) isComplete() bool { return len(r.placed) == len(r.members) }

// bond holds members together: a sub-group or a slice, or the whole gang.
type bond struct {
	depth    int   // of the level of which one domain holds them, 0 for none
	where    []int // the nodes on which they stand, those that run already first
	standing int   // how many run already
	size     int   // members to place
	need     int   // members that must be placed
	isWhole  bool  // all are placed, or none
}

// admits is true for nodes that do not tear the bond apart.
func (b *bond) admits(f *fabric.Fabric, node int) bool {
	if b.depth == 0 || len(b.where) == 0 {
		return true
	}
	of := func(node int) int {
		if b.depth > f.Tree().Depth() {
			return node
		}
		return f.Tree().Of(b.depth, node)
	}
	return slices.ContainsFunc(b.where[:max(1, b.standing)], func(other int) bool { return of(other) == of(node) })
}

// pool is the nodes that may have room for members of one class.
type pool struct {
	request  fabric.Request
	excluded *placement.Exclusions
	// key is the node label by which members are drawn to each other, or apart: "" for none. It tells where to look first; the
	// filters decide.
	key     string
	isApart bool
	members int // of the class

	groups []group // of the domain that is searched
}

// group is nodes that have the same value of the pool's key, the tightest first.
type group struct {
	value string
	nodes []int
	slots int
}

// open finds the pool's nodes in a domain.
func (p *pool) open(c *cluster.Cluster, domain placement.Candidate) {
	slots := c.Fabric().Slots(p.request)
	var nodes []int
	for node := domain.First; node < domain.Last; node++ {
		if slots[node] > 0 && p.excluded.By[node] == 0 {
			nodes = append(nodes, node)
		}
	}
	slices.SortStableFunc(nodes, func(a, b int) int { return cmp.Compare(slots[a], slots[b]) })
	p.groups = nil
	numbers := map[string]int{}
	for _, node := range nodes {
		value := p.valueOn(c, node)
		number, ok := numbers[value]
		if !ok {
			number = len(p.groups)
			numbers[value] = number
			p.groups = append(p.groups, group{value: value})
		}
		p.groups[number].nodes = append(p.groups[number].nodes, node)
		p.groups[number].slots += int(slots[node])
	}
	if !p.isApart { // those that hold the class before those that do not, the tightest first
		slices.SortStableFunc(p.groups, func(a, b group) int {
			if holdsA, holdsB := a.slots >= p.members, b.slots >= p.members; !holdsA || !holdsB {
				return cmp.Compare(min(b.slots, p.members), min(a.slots, p.members))
			}
			return cmp.Compare(a.slots, b.slots)
		})
	}
}

func (p *pool) valueOn(c *cluster.Cluster, node int) string {
	if p.key == "" {
		return ""
	}
	return c.Info(node).Node().Labels[p.key]
}

// weigh finds out how much choice each row has, in a domain that is small enough to ask the filters about each node.
func (s *search) weigh(ctx context.Context, nodes int) {
	ask := nodes*len(s.rows) <= maxLooks/maxShareOfWeighing
	for _, r := range s.rows {
		r.choice = 0
		order := s.order(r)
		if !ask {
			r.choice = len(order)
			continue
		}
		state, allowed, ok := s.prepare(ctx, r.members[0])
		for _, node := range order {
			if ok && s.admits(ctx, r.members[0], state, allowed, node) {
				r.choice++
			}
		}
	}
}

// maxShareOfWeighing is the part of the search's looks that may go into the weighing of one domain.
const maxShareOfWeighing = 20

// order returns the nodes to try for the next member of a row, the likeliest first.
func (s *search) order(r *row) []int {
	c, p := s.p.cluster, r.pool
	if len(p.groups) > 1 {
		stand := map[string]int{}
		for _, other := range s.rows {
			if p.isApart && other.pool != p {
				continue
			}
			for _, at := range other.placed {
				stand[p.valueOn(c, at.node)]++
			}
		}
		slices.SortStableFunc(p.groups, func(a, b group) int {
			if p.isApart {
				a, b = b, a
			}
			return cmp.Compare(stand[b.value], stand[a.value])
		})
	}
	slots := c.Fabric().Slots(p.request)
	var out []int
	for _, g := range p.groups {
		for _, node := range g.nodes {
			if slots[node] > 0 && r.bond.admits(c.Fabric(), node) {
				out = append(out, node)
			}
		}
	}
	return out
}

// lineUp makes rows of the gang's members.
func (s *search) lineUp(logger klog.Logger, parts []part, standing []*v1.Pod) gang.Waiting {
	if parts == nil {
		whole := part{rule: -1, standing: standing, classes: s.t.classes}
		if s.p.Slice.Size > 1 {
			whole.wish.SliceSize, whole.wish.Slice = int32(s.p.Slice.Size), s.t.demand.Wish.Slice
		}
		parts = []part{whole}
	} else if why := needOfParts(s.t, parts); why != (gang.Waiting{}) {
		return why
	}
	for i := range parts {
		if complaint := s.addPart(logger, &parts[i]); complaint != "" {
			return gang.Waiting{Reason: gang.GangInvalid, Sentence: parts[i].prefix() + complaint}
		}
	}
	s.isOrdered = len(s.rows) > 1 && slices.ContainsFunc(s.rows, func(r *row) bool { return waitsForOthers(r, s.rows) })
	return gang.Waiting{}
}

func (s *search) addPart(logger klog.Logger, p *part) (complaint string) {
	required, complaint := depth(s.p.cluster, p.wish.Required)
	if complaint != "" {
		return complaint
	}
	slice, complaint := depth(s.p.cluster, p.wish.Slice)
	if complaint != "" {
		return complaint
	}
	whole := &bond{depth: required, need: p.need}
	for _, pod := range p.standing {
		if number, ok := s.p.cluster.Fabric().Number(pod.Spec.NodeName); ok {
			whole.where = append(whole.where, number)
		}
	}
	whole.standing = len(whole.where)
	for _, c := range p.classes {
		excluded, _ := s.p.cluster.Excluded(logger, c.pod())
		pool := &pool{request: requestOf(s.p.cluster, &c), excluded: excluded, members: len(c.members)}
		pool.key, pool.isApart = pullOf(c.pod())
		if p.wish.SliceSize == 0 {
			whole.size += len(c.members)
			s.addRows(c, c.members, pool, whole)
			continue
		}
		for members := range slices.Chunk(c.members, int(p.wish.SliceSize)) {
			s.addRows(c, members, pool, &bond{depth: slice, size: int(p.wish.SliceSize), isWhole: true})
		}
	}
	return ""
}

// addRows adds one row, or one for each member that has claims of its own.
func (s *search) addRows(c class, members []*v1.Pod, pool *pool, b *bond) {
	rest := members
	for len(rest) > 0 {
		n := 1
		for n < len(rest) && sameClaims(rest[0], rest[n]) {
			n++
		}
		s.rows = append(s.rows, &row{role: c.role, members: rest[:n], pool: pool, bond: b})
		rest = rest[n:]
	}
}

// pullOf is what draws members of a pod's class apart, or else together.
func pullOf(pod *v1.Pod) (key string, isApart bool) {
	for _, c := range spreads(pod) {
		return c.TopologyKey, true
	}
	for _, term := range repulsions(pod) {
		if term.TopologyKey != v1.LabelHostname {
			return term.TopologyKey, true
		}
	}
	for _, term := range attractions(pod) {
		return term.TopologyKey, false
	}
	return "", false
}

// waitsForOthers is true if members may find a place only after some of another row have.
func waitsForOthers(r *row, rows []*row) bool {
	selectors := make([]labels.Selector, 0, 2)
	for _, term := range attractions(r.members[0]) {
		selectors = append(selectors, term.Selector)
	}
	for _, c := range spreads(r.members[0]) {
		selectors = append(selectors, selectorOf(c))
	}
	return slices.ContainsFunc(selectors, func(selector labels.Selector) bool {
		return slices.ContainsFunc(rows, func(other *row) bool {
			return other != r && selector.Matches(labels.Set(other.members[0].Labels))
		})
	})
}
