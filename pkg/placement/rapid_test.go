package placement_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// worlds draws worlds of up to 12 nodes on 0 to 3 levels, with up to two resources and three classes, nodes that stand in
// no domain or admit only some classes, members that run already, slices, gangs that start with a part of their members, and
// ones that must stay in a domain.
func worlds(maxClasses int) *rapid.Generator[world] {
	return rapid.Custom(func(t *rapid.T) world {
		draw := func(name string, from, to int) int { return rapid.IntRange(from, to).Draw(t, name) }
		chance := func(name string, in int) bool { return draw(name, 1, in) == in }
		w := world{levels: draw("levels", 0, 3)}
		resources, most := draw("resources", 1, 2), draw("most free", 2, 8)
		for range draw("nodes", 1, 12) {
			n := node{domains: make([]string, w.levels), isWhole: rapid.Bool().Draw(t, "whole")}
			for level := range n.domains {
				if !chance("own domain", 12) {
					n.domains[level] = fmt.Sprint("d", draw("domain", 1, 3))
				}
			}
			for range resources {
				n.free = append(n.free, draw("free", -1, most))
			}
			w.nodes = append(w.nodes, n)
		}
		w.required = max(0, draw("required", -2, w.levels+1))
		classes := draw("classes", 1, maxClasses)
		for range classes {
			w.classes = append(w.classes, drawClass(t, resources, len(w.nodes), []int{8, 5, 3}[classes-1]))
		}
		members := 0
		for i := range w.classes {
			members += w.classes[i].members
		}
		w.minimum = draw("minimum", 0, members)
		if chance("gang", 3) {
			w.minimum = members
		}
		if len(w.classes) == 1 && chance("slices", 3) {
			w.slice = placement.Slice{Size: draw("slice", 1, 4), Depth: draw("slice depth", w.required, w.levels+1)}
		}
		if chance("beside", 3) {
			w.beside = rapid.SliceOfN(rapid.IntRange(0, len(w.nodes)-1), 1, 3).Draw(t, "beside nodes")
		}
		if chance("inside", 3) {
			w.inside = inside{draw("inside depth", 1, w.levels+1), draw("inside node", 0, len(w.nodes)-1)}
		}
		return w
	})
}

func drawClass(t *rapid.T, resources, nodes, most int) class {
	c := class{members: rapid.IntRange(0, most).Draw(t, "members")}
	c.minimum = max(0, rapid.IntRange(-c.members, c.members).Draw(t, "class minimum"))
	for r := range resources {
		c.asks = append(c.asks, rapid.IntRange(0, 2).Draw(t, "ask"))
		if r == 0 {
			c.asks[0] = max(1, c.asks[0])
		}
	}
	if rapid.IntRange(1, 3).Draw(t, "excluded") == 1 {
		for range nodes {
			c.excluded = append(c.excluded, rapid.IntRange(1, 4).Draw(t, "not admitted") == 1)
		}
	}
	return c
}

// TestPlansAreBest is the claim of the package comment on worlds of up to 12 nodes: within the bound of its work the solver
// refuses nothing that fits, plans nothing that does not, finds a plan of the least cost, and knows how many fit together.
func TestPlansAreBest(t *testing.T) {
	var used placement.Solver
	rapid.Check(t, func(t *rapid.T) {
		w := worlds(3).Draw(t, "world")
		t.Log(w)
		f := w.fabric(w.inOrder())
		plan, refused := used.Solve(f, w.problem(f))
		placed, cost := w.best()
		if placed == 0 {
			require.NotNil(t, refused, "planned what does not fit: %+v", plan)
			require.True(t, refused.IsProven)
			if refused.Kind == placement.Apart {
				require.EqualValues(t, w.together(), refused.Have)
				require.Less(t, refused.Have, refused.Need)
			}
			return
		}
		require.Nil(t, refused, "refused what fits at the cost of %v: %+v", cost, refused)
		require.Empty(t, w.check(f, plan), "%+v", plan)
		require.Equal(t, placed, members(plan), "placed fewer than could be: %+v", plan)
		require.Equal(t, cost, flat(plan.Cost), "planned at another cost than the best: %+v", plan)
	})
}

func members(plan placement.Plan) (sum int) {
	for _, p := range plan.Places {
		sum += p.Members
	}
	return sum
}

// TestABoundedSolverIsRight is what holds however little is searched: a plan is right, and a gang of one class is not refused
// if it fits, nor placed in part where more of it fits.
func TestABoundedSolverIsRight(t *testing.T) {
	var bounded placement.Solver
	rapid.Check(t, func(t *rapid.T) {
		w := worlds(3).Draw(t, "world")
		t.Log(w)
		bounded.Work = rapid.OneOf(rapid.Just(-1), rapid.IntRange(1, 1_000)).Draw(t, "work")
		f := w.fabric(w.inOrder())
		plan, refused := bounded.Solve(f, w.problem(f))
		placed, cost := w.best()
		if placed == 0 {
			require.NotNil(t, refused, "planned what does not fit: %+v", plan)
			if refused.Kind == placement.Apart {
				require.LessOrEqual(t, refused.Have, int64(w.together()))
			}
			return
		}
		if refused != nil {
			require.False(t, refused.IsProven)
			require.Greater(t, len(w.classes), 1, "refused what fits at the cost of %v: %+v", cost, refused)
			return
		}
		require.Empty(t, w.check(f, plan), "%+v", plan)
		if len(w.classes) == 1 {
			require.Equal(t, placed, members(plan), "placed fewer than could be: %+v", plan)
		}
		if members(plan) == placed {
			require.LessOrEqual(t, slices.Compare(cost, flat(plan.Cost)), 0, "better than the best: %+v", plan)
		}
	})
}

// TestCandidatesHoldWhatFits is what a caller relies on who asks for domains instead of a plan: the domain of the required
// level in which the gang fits is among them, and there are none where no class has room.
func TestCandidatesHoldWhatFits(t *testing.T) {
	var solver placement.Solver
	rapid.Check(t, func(t *rapid.T) {
		w := worlds(3).Draw(t, "world")
		t.Log(w)
		f := w.fabric(w.inOrder())
		p := w.problem(f)
		required := max(w.required, w.inside.depth)
		plan, refused := solver.Solve(f, p)
		candidates := solver.Candidates(f, p)
		for _, c := range candidates {
			require.GreaterOrEqual(t, c.Depth, required)
			require.Less(t, c.First, c.Last)
		}
		if refused != nil {
			return
		}
		first, last := plan.Places[0].Node, plan.Places[len(plan.Places)-1].Node
		require.True(t, slices.ContainsFunc(candidates, func(c placement.Candidate) bool {
			return c.Depth == required && c.First <= first && last < c.Last
		}), "%+v not in %+v", plan.Places, candidates)
	})
}
