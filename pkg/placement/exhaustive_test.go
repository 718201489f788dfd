package placement_test

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

var isExhaustive = flag.Bool("exhaustive", false, "let TestAllSmallWorlds enumerate its larger families, for minutes")

// family is a set of worlds: every cluster of up to 4 nodes of these kinds on 0 to 3 levels, times every gang.
type family struct {
	kinds, more []node                          // more with -exhaustive only
	gangs       func(levels, nodes int) []world // worlds without nodes
}

// clusters returns all ways to fill a domain that has so many levels below it with so many nodes of these kinds, up to the
// order of what stands side by side: nodes with the domains in which they stand.
func clusters(levels, nodes int, kinds []node) [][]node {
	var children [][]node // what may stand in the domain, over and over
	for size := 1; size <= nodes && levels > 0; size++ {
		children = append(children, clusters(levels-1, size, kinds)...)
	}
	for i := 0; i < len(kinds) && levels == 0; i++ {
		children = append(children, kinds[i:i+1])
	}
	var out [][]node
	var fill func(cluster []node, domain, from int)
	fill = func(cluster []node, domain, from int) {
		if len(cluster) == nodes {
			out = append(out, cluster)
			return
		}
		for at := from; at < len(children); at++ {
			if len(cluster)+len(children[at]) > nodes {
				continue
			}
			longer := slices.Clone(cluster)
			for _, n := range children[at] {
				if levels > 0 {
					n.domains = append([]string{fmt.Sprint(domain)}, n.domains...)
				}
				longer = append(longer, n)
			}
			fill(longer, domain+1, at)
		}
	}
	fill(nil, 0, 0)
	return out
}

// oneClass are gangs of 1 to 6 members that ask for 1, whole or from one member up, at each required depth.
func oneClass(levels, _ int) (out []world) {
	for required := range levels + 2 {
		for members := 1; members <= 6; members++ {
			for _, minimum := range []int{1, members} {
				if members > 1 || minimum == 1 {
					out = append(out, world{minimum: minimum, required: required, classes: []class{{asks: []int{1}, members: members}}})
				}
			}
		}
	}
	return out
}

// slicesOrBeside are gangs of one class in slices of 2 at every depth, and ones of which a member runs on any node.
func slicesOrBeside(levels, nodes int) (out []world) {
	for required := range levels + 2 {
		for _, members := range []int{1, 2, 4, 5} {
			w := world{minimum: 1, required: required, classes: []class{{asks: []int{1}, members: members}}}
			for i := range nodes {
				w.beside = []int{i}
				out = append(out, w)
			}
			for depth := required; depth <= levels+1; depth++ {
				w.slice = placement.Slice{Size: 2, Depth: depth}
				out = append(out, w)
				w.beside = nil
				out = append(out, w)
			}
		}
	}
	return out
}

// severalClasses are all gangs of three classes that ask for different resources, each class leading, with 0, 1 or 2 members a
// class, whole or from one member up, anywhere or in one domain of the narrowest level. The leading class has members, and
// one other at least.
func severalClasses(levels, _ int) (out []world) {
	asks := [][]int{{1, 0}, {0, 1}, {1, 1}}
	for lead := range asks {
		for counts := range 27 {
			w := world{}
			for i := range asks {
				w.classes = append(w.classes, class{asks: asks[(lead+i)%3], members: counts % 3})
				w.minimum += counts % 3
				counts /= 3
			}
			if w.classes[0].members == 0 || w.minimum == w.classes[0].members {
				continue
			}
			for _, w.required = range slices.Compact([]int{0, levels}) {
				from := w
				from.minimum = 1
				out = append(out, w, from)
			}
		}
	}
	return out
}

// TestAllSmallWorlds puts every world of three families to the solver and to one without exact search, and holds both
// against the oracle. The nodes of the families are these, and with -exhaustive those in brackets too:
//
//   - one class: nodes with 0, 1 or 2 slots, those with 2 once whole and once broken [3 slots, whole and broken]; see oneClass;
//   - slices, and members that run already: nodes with 1 or 2 slots and whole ones with 3 [0 slots]; see slicesOrBeside;
//   - several classes: nodes with 1 of the one resource, of the other, or of both [all with 0, 1 or 2 times 0 or 1]; see
//     severalClasses.
//
// The solver must be right and best in all of them. Without exact search it must be right, and must not refuse what fits of
// one class; what it refuses of several, and how often its plans are not the best, is printed.
func TestAllSmallWorlds(t *testing.T) {
	broken, whole := func(free ...int) node { return node{free: free} }, func(free ...int) node { return node{free: free, isWhole: true} }
	for _, test := range []struct {
		name string
		family
	}{
		{"one class", family{
			[]node{broken(0), broken(1), broken(2), whole(2)},
			[]node{broken(3), whole(3)}, oneClass,
		}},
		{"slices, and members that run already", family{
			[]node{broken(1), broken(2), whole(3)},
			[]node{broken(0)}, slicesOrBeside,
		}},
		{"several classes", family{
			[]node{broken(1, 0), broken(0, 1), broken(1, 1)},
			[]node{broken(0, 0), broken(2, 0), whole(2, 1)}, severalClasses,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			kinds := test.kinds
			if *isExhaustive {
				kinds = slices.Concat(kinds, test.more)
			}
			var exact placement.Solver
			bounded := placement.Solver{Work: -1}
			var gap gap
			for levels := range 4 {
				for nodes := 1; nodes <= 4; nodes++ {
					gangs := test.gangs(levels, nodes)
					for _, cluster := range clusters(levels, nodes, kinds) {
						w := world{levels: levels, nodes: cluster}
						f := w.fabric(w.inOrder())
						for _, gang := range gangs {
							gang.levels, gang.nodes = levels, cluster
							gap.judge(t, gang, f, &exact, &bounded)
						}
					}
				}
			}
			t.Log(&gap)
		})
	}
}

// gap is what the search without exact steps misses.
type gap struct {
	worlds, fits           int
	refused, fewer, dearer int    // though it fits; members placed than can be; than the best cost
	at                     [3]int // dearer: first in domains, in slots, in wholes
	worst                  int64  // more domains of the level that differs first
}

func (g *gap) String() string {
	share := func(n int) string { return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(g.fits)) }
	return fmt.Sprintf("%d worlds, in %d the gang fits. Without exact search %s of these are refused, %s get fewer members placed, "+
		"%s are planned at more than the least cost: %s by more domains (%d more at most), %s by more slots, %s by more whole ones",
		g.worlds, g.fits, share(g.refused), share(g.fewer), share(g.dearer), share(g.at[0]), g.worst, share(g.at[1]), share(g.at[2]))
}

func (g *gap) judge(t *testing.T, w world, f *fabric.Fabric, exact, bounded *placement.Solver) {
	placed, cost := w.best()
	problem := w.problem(f)
	plan, refused := exact.Solve(f, problem)
	g.worlds++
	if (refused == nil) != (placed > 0) {
		t.Fatalf("%d members can be placed; plan %+v, refusal %+v:%v", placed, plan, refused, w)
	}
	boundedPlan, boundedRefused := bounded.Solve(f, problem)
	if placed == 0 {
		if boundedRefused == nil {
			t.Fatalf("planned without exact search what does not fit: %+v:%v", boundedPlan, w)
		}
		return
	}
	if wrong := w.check(f, plan); wrong != "" {
		t.Fatalf("%s: %+v:%v", wrong, plan, w)
	}
	if got := flat(plan.Cost); members(plan) != placed || !slices.Equal(got, cost) {
		t.Fatalf("%d members placed at %v, not %d at %v: %+v:%v", members(plan), got, placed, cost, plan, w)
	}
	g.fits++
	if boundedRefused != nil {
		if g.refused++; len(w.classes) == 1 {
			t.Fatalf("refused without exact search what fits: %+v:%v", boundedRefused, w)
		}
		return
	}
	if wrong := w.check(f, boundedPlan); wrong != "" {
		t.Fatalf("without exact search: %s: %+v:%v", wrong, boundedPlan, w)
	}
	g.compare(t, w, boundedPlan, placed, cost)
}

// compare counts a plan that is right, but may not be the best.
func (g *gap) compare(t *testing.T, w world, plan placement.Plan, placed int, cost []int64) {
	if n := members(plan); n < placed {
		if g.fewer++; len(w.classes) == 1 {
			t.Fatalf("%d instead of %d members placed without exact search: %+v:%v", n, placed, plan, w)
		}
		return
	}
	for i, n := range flat(plan.Cost) {
		if n < cost[i] {
			t.Fatalf("planned at less than the least cost %v: %+v:%v", cost, plan, w)
		}
		if n > cost[i] {
			g.dearer++
			g.at[i/(w.levels+1)]++
			if i <= w.levels {
				g.worst = max(g.worst, n-cost[i])
			}
			return
		}
	}
}
