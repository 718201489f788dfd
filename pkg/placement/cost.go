package placement

import (
	"cmp"
	"math/bits"
	"slices"
)

// Cost is what a plan costs: see the package's cost. All three lists are as long as the fabric is deep, nodes included.
type Cost struct {
	// Domains counts the touched domains: the broadest level first, nodes last.
	Domains []int
	// Slots are what touched domains had free for the first class: nodes first, the broadest level last.
	Slots []int64
	// Wholes counts the touched domains that were whole, in the same order.
	Wholes []int
}

// Compare is negative if c is the better cost.
func (c Cost) Compare(other Cost) int {
	return cmp.Or(slices.Compare(c.Domains, other.Domains), slices.Compare(c.Slots, other.Slots), slices.Compare(c.Wholes, other.Wholes))
}

// cost returns what it costs to touch these nodes, given in ascending order.
func (v *view) cost(nodes []int) Cost {
	c := Cost{Domains: make([]int, v.nodes), Slots: make([]int64, v.nodes), Wholes: make([]int, v.nodes)}
	for depth := 1; depth <= v.nodes; depth++ {
		last := -1
		for _, node := range nodes {
			domain := v.of(depth, node)
			if domain == last {
				continue
			}
			last = domain
			if v.standsIn(depth, domain) {
				continue
			}
			c.Domains[depth-1]++
			c.Slots[v.nodes-depth] += v.sum(0, depth, domain)
			if v.isWhole(depth, domain) {
				c.Wholes[v.nodes-depth]++
			}
		}
	}
	return c
}

// packing writes costs as a few machine words that add and compare as costs do: each number has its own bits, wide enough
// for the sum over all domains, the weightiest first.
type packing struct {
	words   int
	domains []field // by depth - 1
	slots   []field
	wholes  []field
}

// field is where a number is kept: shifted left in one of the words.
type field struct {
	word  int
	shift uint
}

// newPacking returns one for costs below a depth.
func (v *view) newPacking(above int) packing {
	p := packing{domains: make([]field, v.nodes), slots: make([]field, v.nodes), wholes: make([]field, v.nodes)}
	free := uint(64)
	place := func(f *field, most int64) {
		width := uint(bits.Len64(uint64(most)))
		if width > free {
			p.words++
			free = 64
		}
		free -= width
		*f = field{p.words, free}
	}
	for depth := above + 1; depth <= v.nodes; depth++ {
		place(&p.domains[depth-1], int64(v.count(depth)))
	}
	all := v.sum(0, 0, 0)
	for depth := v.nodes; depth > above; depth-- {
		place(&p.slots[depth-1], all)
	}
	for depth := v.nodes; depth > above; depth-- {
		place(&p.wholes[depth-1], int64(v.count(depth)))
	}
	p.words++
	return p
}

// touch adds to cost what it costs to touch one domain, without those that it is part of.
func (p *packing) touch(v *view, cost []uint64, depth, domain int) {
	if v.standsIn(depth, domain) {
		return
	}
	p.domains[depth-1].add(cost, 1)
	p.slots[depth-1].add(cost, uint64(v.sum(0, depth, domain)))
	if v.isWhole(depth, domain) {
		p.wholes[depth-1].add(cost, 1)
	}
}

func (f field) add(cost []uint64, n uint64) { cost[f.word] += n << f.shift }
