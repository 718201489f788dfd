package placement

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
)

// tightest returns the nodes that the first class should touch inside an outer domain, ascending, so that need members of it
// stand in one domain of the depth floor or below; nil if no such domain holds them. floor is at least outer.
func (s *Solver) tightest(outer, domain, floor int, need int64) []int {
	v := &s.view
	if node := v.tightestNode(outer, domain, need); node >= 0 {
		return []int{node}
	}
	for depth := v.nodes - 1; depth >= floor; depth-- {
		first, last := v.within(depth, outer, domain)
		var candidates []int
		for i := first; i < last; i++ {
			if v.usable(0, depth, i) >= need {
				candidates = append(candidates, i)
			}
		}
		switch {
		case len(candidates) == 0:
		case depth == v.nodes-1:
			return s.tightestLeaf(candidates, need)
		default:
			return s.tightestWide(depth, candidates, need)
		}
	}
	return nil
}

// tightestNode returns the node with the fewest slots that holds all members, of these the one in the tightest domain; -1 if
// there is none.
func (v *view) tightestNode(outer, domain int, need int64) int {
	if outer == v.nodes {
		if v.usable(0, outer, domain) >= need {
			return domain
		}
		return -1
	}
	best := -1
	first, last := v.within(v.nodes-1, outer, domain)
	for leaf := first; leaf < last; leaf++ {
		node := v.tightestNodeOf(leaf, need)
		if node >= 0 && (best < 0 || cmp.Or(v.compareSlots(v.nodes, node, best), v.compareWholes(v.nodes, node, best)) < 0) {
			best = node
		}
	}
	return best
}

// tightestNodeOf does the same for the nodes of one domain of the narrowest level.
func (v *view) tightestNodeOf(leaf int, need int64) int {
	if v.usable(0, v.nodes-1, leaf) < need {
		return -1
	}
	best, bestSlots := -1, int32(math.MaxInt32)
	wholes := v.fabric.Wholes()
	first, last := v.span(v.nodes-1, leaf)
	all := v.classes[0].slots[first:last]
	for i, room := range v.classes[0].rooms[first:last] {
		slots := all[i]
		if slots > bestSlots || int64(room) < need {
			continue
		}
		if node := first + i; (slots < bestSlots || wholes[best] && !wholes[node]) && v.usable(0, v.nodes, node) >= need {
			best, bestSlots = node, slots
		}
	}
	return best
}

// compareSlots compares two domains by their slots, then those that they are part of, upwards.
func (v *view) compareSlots(depth, a, b int) int {
	for ; depth >= 1; depth-- {
		if a == b {
			return 0
		}
		if c := cmp.Compare(v.sum(0, depth, a), v.sum(0, depth, b)); c != 0 {
			return c
		}
		a, b = v.parent(depth, a), v.parent(depth, b)
	}
	return 0
}

// compareWholes does the same by whether they are whole.
func (v *view) compareWholes(depth, a, b int) int {
	for ; depth >= 1; depth-- {
		if a == b {
			return 0
		}
		if c := compareBool(v.isWhole(depth, a), v.isWhole(depth, b)); c != 0 {
			return c
		}
		a, b = v.parent(depth, a), v.parent(depth, b)
	}
	return 0
}

// tightestLeaf chooses among domains of the narrowest level that hold the gang each: those that need the fewest nodes, of
// these the one with the best cover. Leaves whose nodes are alike are covered once.
func (s *Solver) tightestLeaf(domains []int, need int64) []int {
	v := &s.view
	depth := v.nodes - 1
	leaves := v.withFewestChildren(depth, domains, need)
	covers := map[string][]int{} // by what the nodes of a leaf are like
	var best []int
	var bestItems []item
	bestDomain := -1
	for _, leaf := range leaves {
		if best != nil && slotsOf(bestItems, best) == need && v.compareSlots(depth, bestDomain, leaf) < 0 {
			break // nodes cannot be tighter, and from here on the domains are less so
		}
		items := v.items(v.nodes, []int{leaf})
		key := likeness(items)
		chosen, ok := covers[key]
		if !ok {
			chosen = s.cover(items, need)
			covers[key] = chosen
		}
		if best == nil || cmp.Or(cmp.Compare(slotsOf(items, chosen), slotsOf(bestItems, best)),
			v.compareSlots(depth, leaf, bestDomain),
			cmp.Compare(wholesOf(items, chosen), wholesOf(bestItems, best)),
			v.compareWholes(depth, leaf, bestDomain)) < 0 {
			best, bestItems, bestDomain = chosen, items, leaf
		}
	}
	return domainsOf(bestItems, best)
}

// withFewestChildren returns those of the domains of a depth of which the fewest children hold need members, the tightest
// domain first.
func (v *view) withFewestChildren(depth int, domains []int, need int64) []int {
	var out []int
	fewest := int(need) + 1
	for _, domain := range domains {
		n := v.fewestChildren(depth, domain, need, fewest)
		if n < fewest {
			fewest, out = n, out[:0]
		}
		if n == fewest {
			out = append(out, domain)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int { return v.compareSlots(depth, a, b) })
	return v.withoutTwins(depth, out)
}

// withoutTwins leaves out domains of a depth that no plan would rather touch than the one kept before them, which is like them
// in every node and not less tight: on an empty cluster all but one.
func (v *view) withoutTwins(depth int, domains []int) []int {
	out := domains[:0]
	for _, domain := range domains {
		if n := len(out); n == 0 || !v.areAlike(depth, out[n-1], domain) || v.compareWholes(depth, domain, out[n-1]) < 0 {
			out = append(out, domain)
		}
	}
	return out
}

// areAlike is true for domains that are the same, node by node and domain by domain, but for their names.
func (v *view) areAlike(depth, a, b int) bool {
	x, y := v.tree.Domain(depth, a), v.tree.Domain(depth, b)
	slots, wholes := v.classes[0].slots, v.fabric.Wholes()
	if !slices.Equal(slots[x.First:x.Last], slots[y.First:y.Last]) || !slices.Equal(wholes[x.First:x.Last], wholes[y.First:y.Last]) {
		return false
	}
	if depth == v.nodes-1 {
		return true
	}
	if x.LastChild-x.FirstChild != y.LastChild-y.FirstChild {
		return false
	}
	for i := range x.LastChild - x.FirstChild {
		c, d := v.tree.Domain(depth+1, x.FirstChild+i), v.tree.Domain(depth+1, y.FirstChild+i)
		if c.First-x.First != d.First-y.First || !v.areAlike(depth+1, x.FirstChild+i, y.FirstChild+i) {
			return false
		}
	}
	return true
}

// fewestChildren returns how few children of a domain hold need members, anything above enough if it is more than enough.
func (v *view) fewestChildren(depth, domain int, need int64, enough int) int {
	first, last := v.within(depth+1, depth, domain)
	widest := int64(1)
	for i := first; i < last; i++ {
		widest = max(widest, v.usable(0, depth+1, i))
	}
	if n := (need + widest - 1) / widest; n > int64(enough) {
		return int(n)
	}
	if widest == 1 {
		return int(need)
	}
	if widest > maxCounted {
		return v.fewestBySorting(depth+1, first, last, need)
	}
	var count [maxCounted + 1]int64
	for i := first; i < last; i++ {
		count[v.usable(0, depth+1, i)]++
	}
	n := int64(0)
	for room := widest; room >= 1; room-- {
		if have := count[room] * room; have < need {
			n, need = n+count[room], need-have
			continue
		}
		return int(n + (need+room-1)/room)
	}
	return int(n)
}

// maxCounted is up to how many slots domains are counted by their slots instead of being sorted.
const maxCounted = 256

func (v *view) fewestBySorting(depth, first, last int, need int64) int {
	rooms := make([]int64, 0, last-first)
	for i := first; i < last; i++ {
		rooms = append(rooms, v.usable(0, depth, i))
	}
	slices.Sort(rooms)
	n := 0
	for _, room := range slices.Backward(rooms) {
		if n++; need <= room {
			break
		}
		need -= room
	}
	return n
}

// items returns the domains of a depth inside these domains of the depth above.
func (v *view) items(depth int, parents []int) (items []item) {
	for _, parent := range parents {
		first, last := v.within(depth, depth-1, parent)
		for i := first; i < last; i++ {
			if room := v.usable(0, depth, i); room > 0 {
				items = append(items, item{i, room, v.sum(0, depth, i), v.isWhole(depth, i)})
			}
		}
	}
	return items
}

// likeness is the same for items that are the same but for their domains.
func likeness(items []item) string {
	like := make([]byte, 0, 4*len(items))
	for _, it := range items {
		like = binary.AppendUvarint(like, uint64(it.room))
		like = binary.AppendUvarint(like, uint64(it.slots))
		like = strconv.AppendBool(like, it.isWhole)
	}
	return string(like)
}

func slotsOf(items []item, chosen []int) (sum int64) {
	for _, i := range chosen {
		sum += items[i].slots
	}
	return sum
}

func wholesOf(items []item, chosen []int) (count int) {
	for _, i := range chosen {
		if items[i].isWhole {
			count++
		}
	}
	return count
}

func domainsOf(items []item, chosen []int) []int {
	out := make([]int, len(chosen))
	for i, at := range chosen {
		out[i] = items[at].domain
	}
	return out
}
