package placement_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// Each test here shows what one bound of the search can miss, in the smallest world that has it.

// racksOf makes a cluster of racks of one block, given by the slots of their nodes.
func racksOf(racks ...[]int) (nodes []node) {
	for r, free := range racks {
		for _, n := range free {
			nodes = append(nodes, node{domains: []string{"b", fmt.Sprint("r", r)}, free: []int{n}})
		}
	}
	return nodes
}

func gangOf(members int) []class {
	return []class{{asks: []int{1}, members: members, minimum: members}}
}

// solve returns a plan and what is least.
func solve(t *testing.T, work int, w world) (plan placement.Plan, refused *placement.Refusal, best []int64) {
	f := w.fabric(w.inOrder())
	solver := placement.Solver{Work: work}
	plan, refused = solver.Solve(f, w.problem(f))
	if refused == nil {
		require.Empty(t, w.check(f, plan))
	}
	_, best = w.best()
	return plan, refused, best
}

// Six members, nodes with 5, 3 and 3 slots: the largest node first leaves one member, for which a node of 3 is broken.
func TestTheGreedyCoverMissesATighterOne(t *testing.T) {
	w := world{levels: 2, nodes: racksOf([]int{5, 3, 3}), classes: gangOf(6)}

	plan, _, best := solve(t, -1, w)
	assert.Equal(t, []int{1, 1, 2}, plan.Cost.Domains, "as few nodes as can be")
	assert.EqualValues(t, 8, plan.Cost.Slots[0])

	plan, _, _ = solve(t, 0, w)
	assert.EqualValues(t, 6, plan.Cost.Slots[0])
	assert.Equal(t, best, flat(plan.Cost))
}

// Four members, a rack with three nodes of one slot, two racks with one node of two: the largest rack first leads to three
// nodes or more, the two others need two.
func TestWhatLevelByLevelMisses(t *testing.T) {
	w := world{levels: 2, nodes: racksOf([]int{1, 1, 1}, []int{2}, []int{2}), classes: gangOf(4)}

	plan, _, best := solve(t, -1, w)
	assert.Equal(t, []int{1, 2, 3}, plan.Cost.Domains, "as few racks as can be")

	plan, _, _ = solve(t, 0, w)
	assert.Equal(t, []int{1, 2, 2}, plan.Cost.Domains)
	assert.Equal(t, best, flat(plan.Cost))
}

// Four members that fit in no rack. All blocks need two racks; the seventeenth, the least tight, needs the fewest nodes.
func TestOnlyTheTightestDomainsAreCompared(t *testing.T) {
	w := world{levels: 2, classes: gangOf(4)}
	add := func(block int, racks ...[]int) {
		for _, n := range racksOf(racks...) {
			n.domains[0] = fmt.Sprint("b", block)
			w.nodes = append(w.nodes, n)
		}
	}
	for block := range 8 { // in pairs that differ in a node without room: of twins only one is compared
		add(2*block, []int{1, 1}, []int{1, 1})
		add(2*block+1, []int{1, 1}, []int{1, 1, 0})
	}
	add(16, []int{2}, []int{3})

	f := w.fabric(w.inOrder())
	var solver placement.Solver
	plan, refused := solver.Solve(f, w.problem(f))
	require.Nil(t, refused)
	assert.Equal(t, []int{1, 2, 4}, plan.Cost.Domains)

	w.nodes = w.nodes[4:] // with one block less, all are compared
	f = w.fabric(w.inOrder())
	plan, refused = solver.Solve(f, w.problem(f))
	require.Nil(t, refused)
	assert.Equal(t, []int{1, 2, 2}, plan.Cost.Domains)
}

// Three members that ask for 1 GPU and 1 CPU, two that ask for 1 and 2. Each class must be on both nodes: who places one class
// whole before the other takes too much of a node, whichever is first.
func TestWhatClassByClassRefuses(t *testing.T) {
	w := world{
		nodes: []node{{free: []int{3, 4}}, {free: []int{2, 3}}},
		classes: []class{
			{asks: []int{1, 1}, members: 3, minimum: 3},
			{asks: []int{1, 2}, members: 2, minimum: 2},
		},
	}
	_, refused, _ := solve(t, -1, w)
	require.NotNil(t, refused)
	assert.Equal(t, placement.Apart, refused.Kind)

	plan, refused, best := solve(t, 0, w)
	require.Nil(t, refused)
	assert.Equal(t, []placement.Place{{Node: 0, Class: 0, Members: 2}, {Node: 0, Class: 1, Members: 1}, {Node: 1, Class: 0, Members: 1}, {Node: 1, Class: 1, Members: 1}}, plan.Places)
	assert.Equal(t, best, flat(plan.Cost))
}

// Four members that ask for 1 and one for 2, which is six units, on nodes with 5, 3 and 3: as one class, without exact search,
// the largest node comes first, and as it holds them with one other they stay there.
func TestWhatTheRelaxationMisses(t *testing.T) {
	w := world{levels: 2, nodes: racksOf([]int{5, 3, 3}), classes: append(gangOf(4), class{asks: []int{2}, members: 1, minimum: 1})}

	plan, _, _ := solve(t, -1, w)
	assert.Equal(t, []int{1, 1, 2}, plan.Cost.Domains)
	assert.EqualValues(t, 8, plan.Cost.Slots[0])

	plan, _, best := solve(t, 0, w)
	assert.EqualValues(t, 6, plan.Cost.Slots[0])
	assert.Equal(t, best, flat(plan.Cost))
}

// Two members join one that runs on a node with a slot left. Without exact search the narrowest domain around it that has
// room for both, the block, is filled as if nothing ran in it: by the node with two slots. One member beside the one that
// runs, for nothing, and one on the node with one slot, would leave that whole.
func TestWhatBesideMisses(t *testing.T) {
	w := world{levels: 2, nodes: racksOf([]int{1}, []int{1}, []int{2}), classes: gangOf(2), beside: []int{0}}

	plan, _, best := solve(t, -1, w)
	assert.Equal(t, []placement.Place{{Node: 2, Members: 2}}, plan.Places)
	assert.EqualValues(t, 2, plan.Cost.Slots[0])

	plan, _, _ = solve(t, 0, w)
	assert.Equal(t, []placement.Place{{Node: 0, Members: 1}, {Node: 1, Members: 1}}, plan.Places)
	assert.EqualValues(t, 1, plan.Cost.Slots[0])
	assert.Equal(t, best, flat(plan.Cost))
}

// TestTheGapOnLargerWorlds is TestAllSmallWorlds on random worlds of up to 12 nodes: what the search misses without its
// exact part.
func TestTheGapOnLargerWorlds(t *testing.T) {
	for classes := 1; classes <= 3; classes++ {
		t.Run(fmt.Sprintf("up to %d classes", classes), func(t *testing.T) {
			t.Parallel()
			var exact placement.Solver
			var gap gap
			bounded := placement.Solver{Work: -1}
			draw := worlds(classes)
			for seed := range 2_000 {
				w := draw.Example(seed)
				gap.judge(t, w, w.fabric(w.inOrder()), &exact, &bounded)
			}
			t.Log(&gap)
		})
	}
}
