// Package placement decides where the members of a gang stand in the fabric.
//
// Purpose: one call for a whole gang, [Solver.Solve]: a [Problem] becomes a [Plan], or a [Refusal] that says what is
// missing. A plan gives all members that must start together a node, or there is none.
//
// The cost of a plan says which one is best. It depends on nothing but the nodes that the gang touches. Numbers that come
// first weigh more than all after them:
//
//  1. domains touched, the broadest level first, nodes last. So a gang that fits in one rack stands in one rack, and one
//     that does not stands in as few blocks as possible, there in as few racks, there on as few nodes;
//  2. the slots that touched domains have free for the problem's first class, nodes first, the broadest level last: the
//     tightest nodes, then the tightest racks. What is already broken is filled before anything else is broken;
//  3. touched nodes that were whole, then touched domains that were, the narrowest level first.
//
// Where plans cost the same the one whose nodes come first in the fabric's order wins, as far as the search compares them.
// What the gang touches already, by members that run, costs nothing.
//
// A problem may be about one domain alone: see [Problem.Inside].
//
// The search, and what it may miss:
//
//   - one class, and a single domain of the narrowest level, or a single node, holds the gang: the domains with the fewest
//     nodes are compared (single.go), by a cover of their nodes (cover.go). It is exact while the covers take no more than
//     [Solver.Work] steps; beyond, nodes are as few still, but may not be the tightest;
//   - one class in a broader domain: the domains with the fewest children are compared, each by its share of the exact search
//     below, or beyond that level by level from the broadest (wide.go). It never refuses what fits, and places as many. The domains chosen at a
//     level are the fewest and tightest there, though others, as few, might need fewer domains further down; and of domains
//     that hold the gang and need equally few children, only the tightest 16 are compared;
//   - several classes: first as one class, of the resource for which most nodes are needed (relax.go). No plan costs less than
//     that one's, so if its nodes hold all members the search is over. Else level by level from the narrowest that it leaves
//     open, each domain by dynamic programming over how many members of each class its nodes take (exact.go), in the order of
//     what a plan in it costs at least, until that is more than a plan that was found. The first level with a plan has the best
//     one (together.go). It is exact while it takes no more than Work steps;
//   - several classes of which not all members fit into one domain of the required level, or members that run already: the
//     same search in all domains of the required level, exact while it takes no more than Work steps;
//   - beyond, beside members that run: as if they did not, in the narrowest domain around them that will do (mixed.go);
//   - beyond, for several classes: the nodes of the one class if they hold all members, though others may be better
//     (TestWhatTheRelaxationMisses); else the narrowest and tightest domains one by one, in each a small exact search or class
//     by class in several orders, the scarcest first (mixed.go). The first plan is taken. It may refuse a gang whose classes fit
//     together only if interleaved, of kind [Apart], and place fewer members than could be.
//
// How often, and by how much, on small worlds: TestAllSmallWorlds and TestTheGapOnLargerWorlds print it. What each bound
// misses is shown in bounds_test.go.
//
// Invariants: the same problem on the same nodes gives the same plan, in whatever order the nodes came. A Solver is used by
// one goroutine at a time; it keeps nothing between calls but memory. No clock, no randomness, no map order.
//
// Cost: a few passes over the nodes' slots, some nanoseconds per node, and the bounded search.
package placement

import (
	"fmt"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
)

// Problem is a gang that wants places.
type Problem struct {
	// Classes are the sorts of members; the first leads: see the package's cost. At least one.
	Classes []Class
	// Minimum is how many members must be placed, of all classes together. Beyond it as many are placed as fit.
	Minimum int
	// Inside is the domain outside of which nothing may be placed; the zero value is the cluster.
	Inside Inside
	// Required is the depth of the level of which one domain must hold the gang; 0 if it may stand anywhere.
	Required int
	// Slice asks that the members stand in slices; only for problems of one class. The zero value asks for none.
	Slice Slice
	// Beside are the nodes on which members of the gang run already, in any order. The domain of the required level is theirs;
	// one of them if they run in several.
	Beside []int
}

// Inside is a domain to stay in, with its number among those of its depth; at the depth of the nodes it is a node. For the
// cost, too, the rest of the cluster is as if it were not there. Thus the parts of a gang that have wishes of their own can be
// solved one after the other in one domain, each at the price of looking at that domain alone.
type Inside struct{ Depth, Domain int }

// Class is a set of members that ask for the same.
type Class struct {
	// Name is the role, for refusals; "" if there is one class only.
	Name    string
	Request fabric.Request
	// Members is how many want a place, Minimum how many of them must have one.
	Members, Minimum int
	// Excluded are the nodes that do not admit these members; nil if all do.
	Excluded *Exclusions
}

// Slice asks that every Size members, in the order of their ranks, stand in one domain of a level. Whole slices alone are
// placed: members that do not fill one stay out.
type Slice struct{ Size, Depth int }

// Exclusions are nodes that do not admit a class, each with the reason.
type Exclusions struct {
	// Reasons are words like "tainted".
	Reasons []string
	// By tells for each node: 0 if it is admitted, else 1 + the number of the reason.
	By []uint8
}

// Plan is where members go.
type Plan struct {
	// Places are in the order of the fabric, by class on each node.
	Places []Place
	// Depth and Domain are the narrowest domain that holds all members, those that run already included.
	Depth, Domain int
	Cost          Cost
}

// Place is so many members of a class on one node.
type Place struct{ Node, Class, Members int }

// Nodes returns the nodes of the plan, in the order of the fabric.
func (p Plan) Nodes() []int {
	nodes := make([]int, 0, len(p.Places))
	for _, place := range p.Places {
		if len(nodes) == 0 || nodes[len(nodes)-1] != place.Node {
			nodes = append(nodes, place.Node)
		}
	}
	return nodes
}

// Members counts those that have a place.
func (p Plan) Members() int {
	sum := 0
	for _, place := range p.Places {
		sum += place.Members
	}
	return sum
}

// Placed counts the members of a class that have a place.
func (p Plan) Placed(class int) int {
	sum := 0
	for _, place := range p.Places {
		if place.Class == class {
			sum += place.Members
		}
	}
	return sum
}

// DefaultWork is the default of [Solver.Work]: some tens of milliseconds at most.
const DefaultWork = 1_000_000

// Solver solves problems. The zero value is ready.
type Solver struct {
	// Work bounds the steps of the exact search for a problem, and again those of what comes before and after it: DefaultWork if
	// 0, none if negative.
	Work int

	view    view
	memory  memory
	alone   *Solver // for one class of several, nil until there are several
	relaxed *Solver // for several classes as one, nil until there are several
	left    int     // steps
	// isBest is false once the search for a plan of one class has left out what might be better.
	isBest bool
}

// Solve returns a plan, or why there is none. It refuses a malformed problem with a panic of its own making: the caller
// builds problems, users do not.
func (s *Solver) Solve(f *fabric.Fabric, p Problem) (Plan, *Refusal) {
	check(f, p)
	v := &s.view
	v.look(f, p)
	s.left = s.work()
	places, ok := s.place()
	if !ok {
		refused := v.refuse()
		if refused.Kind == Apart {
			s.countTogether(refused)
		}
		return Plan{}, refused
	}
	return v.plan(places), nil
}

func (s *Solver) work() int {
	switch {
	case s.Work == 0:
		return DefaultWork
	case s.Work < 0:
		return 0
	}
	return min(s.Work, maxWork)
}

// maxWork bounds Solver.Work: the exact search keeps some dozen bytes for each step.
const maxWork = 1 << 24

func check(f *fabric.Fabric, p Problem) {
	depth := f.Tree().Depth()
	domains := f.Tree().Len() // of the depth of Inside
	if 0 <= p.Inside.Depth && p.Inside.Depth <= depth {
		domains = f.Tree().Domains(p.Inside.Depth)
	}
	switch {
	case len(p.Classes) == 0:
		panic("placement: a problem without classes")
	case p.Required < 0 || p.Required > depth+1:
		panic(fmt.Sprintf("placement: required depth %d of %d", p.Required, depth+1))
	case p.Inside.Depth < 0 || p.Inside.Depth > depth+1 || p.Inside.Domain < 0 || p.Inside.Domain >= domains:
		panic(fmt.Sprintf("placement: inside %+v", p.Inside))
	case p.Slice != Slice{} && (p.Slice.Size < 1 || p.Slice.Depth < p.Required || p.Slice.Depth > depth+1 || len(p.Classes) > 1):
		panic(fmt.Sprintf("placement: slices %+v", p.Slice))
	}
}
