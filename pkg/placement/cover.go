package placement

import (
	"cmp"
	"math/bits"
	"slices"
)

// item is a domain that may be chosen to hold members.
type item struct {
	domain  int
	room    int64 // members that it holds
	slots   int64 // what choosing it costs, after its being one more
	isWhole bool  // and after that
}

// kind is a set of items that are equal but for their domain.
type kind struct {
	item
	items []int // by index, ascending
}

// cover chooses the items that hold need members: the fewest, of these the ones with the fewest slots in sum, of these the
// ones with the fewest whole ones. It returns indexes into items, ascending; nil if all items together do not suffice.
//
// Items that are equal are told apart by their order alone, so that the search depends on how many kinds there are: its
// steps are kinds × log(items of a kind) × need. If these are more than work allows, the result is the fewest still, and the
// last of them is the smallest that completes the rest; it may have more slots than another choice
// (TestTheGreedyCoverMissesATighterOne).
func cover(items []item, need int64, work int) []int {
	total := int64(0)
	for i := range items {
		total += items[i].room
	}
	if total < need {
		return nil
	}
	kinds := kindsOf(items, need)
	parts := split(kinds, need)
	if int64(len(parts))*(need+1) > int64(work) {
		return greedy(items, need)
	}
	var out []int
	for k, n := range fewest(kinds, parts, need) {
		out = append(out, kinds[k].items[:n]...)
	}
	slices.Sort(out)
	return out
}

// kindsOf groups items, the largest first, then by what they cost.
func kindsOf(items []item, need int64) []kind {
	index := map[item]int{}
	var kinds []kind
	for i, it := range items {
		if it.room <= 0 {
			continue
		}
		it.domain, it.room = 0, min(it.room, need)
		k, ok := index[it]
		if !ok {
			k = len(kinds)
			index[it] = k
			kinds = append(kinds, kind{item: it})
		}
		kinds[k].items = append(kinds[k].items, i)
	}
	slices.SortStableFunc(kinds, func(a, b kind) int {
		return cmp.Or(cmp.Compare(b.room, a.room), cmp.Compare(a.slots, b.slots), compareBool(a.isWhole, b.isWhole))
	})
	return kinds
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// part stands for count items of a kind that are chosen together.
type part struct {
	kind  int
	count int64
	room  int64
}

// split makes parts of 1, 2, 4, … items, of which every number of items of a kind that may be needed is a sum.
func split(kinds []kind, need int64) []part {
	var parts []part
	for k := range kinds {
		left := min(int64(len(kinds[k].items)), (need+kinds[k].room-1)/kinds[k].room)
		for count := int64(1); left > 0; count *= 2 {
			count = min(count, left)
			parts = append(parts, part{k, count, min(need, count*kinds[k].room)})
			left -= count
		}
	}
	return parts
}

// fewest returns how many items of each kind to take.
func fewest(kinds []kind, parts []part, need int64) []int {
	weigh := weigher(kinds)
	const none = ^uint64(0)
	best := make([]uint64, need+1)
	for x := range best[1:] {
		best[x+1] = none
	}
	from := make([]int32, len(parts)*(int(need)+1)) // by part and sum: the sum without the part, -1 if it is not taken
	for i := range from {
		from[i] = -1
	}
	reach := int64(0)
	for p, part := range parts {
		row, weight := from[p*int(need+1):][:need+1], weigh(part)
		for x := reach; x >= 0; x-- { // downwards, so that a part is taken once
			if best[x] == none || x == need {
				continue
			}
			to := min(need, x+part.room)
			if with := best[x] + weight; with < best[to] {
				best[to], row[to] = with, int32(x)
			}
		}
		reach = min(need, reach+part.room)
	}
	counts := make([]int, len(kinds))
	x := need
	for p := len(parts) - 1; p >= 0; p-- {
		if before := from[p*int(need+1)+int(x)]; before >= 0 {
			counts[parts[p].kind] += int(parts[p].count)
			x = int64(before)
		}
	}
	return counts
}

// weigher returns what a part costs as one number: items, then slots, then whole ones. Should the numbers be too large for
// 63 bits, slots are compared in units of a power of two.
func weigher(kinds []kind) func(part) uint64 {
	items, slots := int64(0), int64(0)
	for _, k := range kinds {
		items += int64(len(k.items))
		slots += int64(len(k.items)) * k.slots
	}
	width, slotsWidth := bits.Len64(uint64(items)), bits.Len64(uint64(slots))
	drop := max(0, 2*width+slotsWidth-63)
	return func(p part) uint64 {
		k := &kinds[p.kind]
		weight := uint64(p.count)<<(slotsWidth-drop) + uint64(p.count*k.slots)>>drop
		weight <<= width
		if k.isWhole {
			weight += uint64(p.count)
		}
		return weight
	}
}

// greedy takes the largest item until one item holds the rest, then the smallest that does.
func greedy(items []item, need int64) []int {
	order := make([]int, 0, len(items))
	for i := range items {
		if items[i].room > 0 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := items[a], items[b]
		return cmp.Or(cmp.Compare(y.room, x.room), cmp.Compare(x.slots, y.slots), compareBool(x.isWhole, y.isWhole))
	})
	var out []int
	for i, at := range order {
		if items[at].room < need {
			out, need = append(out, at), need-items[at].room
			continue
		}
		last := i
		for j := i + 1; j < len(order) && items[order[j]].room >= need; j++ {
			if items[order[j]].room < items[order[last]].room {
				last = j
			}
		}
		out = append(out, order[last])
		break
	}
	slices.Sort(out)
	return out
}
