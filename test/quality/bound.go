package quality

import (
	"math/bits"
	"slices"
)

// Span is how many switches of each level a gang stands below.
type Span struct{ Spines, Leaves int }

// span counts the switches above hosts.
func (c *Cluster) span(hosts []int) Span {
	leaves, spines := map[int]bool{}, map[int]bool{}
	for _, h := range hosts {
		leaves[c.Hosts[h].Leaf] = true
		spines[c.Hosts[h].Spine] = true
	}
	return Span{Spines: len(spines), Leaves: len(leaves)}
}

// Bound is what no placement of a gang can go below.
type Bound struct {
	// Spines and Leaves are the fewest of each, whatever the other costs.
	Spines, Leaves int
	// Best is the fewest spines, and the fewest leaves that go with them: the better placement is the one that stays
	// below a spine, even if that takes a leaf more.
	Best Span
}

// Bound returns the exact bound for a gang that fits, given what is free now. Members are equal, so only the number of
// slots below each switch counts, and taking the switches with the most slots first is the least: any other choice of as
// many has no more slots. The fewest leaves that go with the fewest spines come from trying every such set of spines, of
// which a fabric has a handful.
func (c *Cluster) Bound(g Gang) Bound {
	leafSlots := make([]int, len(c.Leaves))
	for i, leaf := range c.Leaves {
		leafSlots[i] = c.Slots(leaf, g.GPUsPerMember)
	}
	spineSlots := make([]int, len(c.Spines))
	below := make([][]int, len(c.Spines)) // slots of the leaves below each spine
	for i, leaf := range c.Leaves {
		spine := c.Hosts[leaf.First].Spine
		spineSlots[spine] += leafSlots[i]
		below[spine] = append(below[spine], leafSlots[i])
	}
	b := Bound{Spines: fewest(spineSlots, g.Members), Leaves: fewest(leafSlots, g.Members)}
	b.Best.Spines = b.Spines
	for set := uint(1); set < 1<<len(c.Spines); set++ {
		if bits.OnesCount(set) != b.Spines {
			continue
		}
		var slots []int
		for spine := range c.Spines {
			if set>>spine&1 == 1 {
				slots = append(slots, below[spine]...)
			}
		}
		if n := fewest(slots, g.Members); n > 0 && (b.Best.Leaves == 0 || n < b.Best.Leaves) {
			b.Best.Leaves = n
		}
	}
	return b
}

// fewest is how many of the domains hold so many members, 0 if all of them do not. It does not change slots.
func fewest(slots []int, members int) int {
	sorted := slices.Sorted(slices.Values(slots))
	slices.Reverse(sorted)
	for i, s := range sorted {
		if members -= s; members <= 0 {
			return i + 1
		}
	}
	return 0
}
