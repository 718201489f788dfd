package placement

import (
	"cmp"
	"math"
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
// steps are kinds × log(items of a kind) × need. If these are more than are left, the result is the fewest still, and the
// last of them is the smallest that completes the rest; it may have more slots than another choice
// (TestTheGreedyCoverMissesATighterOne).
func (s *Solver) cover(items []item, need int64) []int {
	total := int64(0)
	for i := range items {
		total += items[i].room
	}
	if total < need {
		return nil
	}
	if need >= int64(s.left) {
		s.isBest = false
		return greedy(items, need)
	}
	kinds := kindsOf(items, need)
	parts := split(kinds, need)
	steps := len(parts) * int(need+1)
	if steps > s.left {
		s.isBest = false
		return greedy(items, need)
	}
	s.left -= steps
	var out []int
	for k, n := range s.memory.fewest(kinds, parts, need) {
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

// memory is what fewest works in.
type memory struct {
	best []weight // by sum
	from []int32  // by part and sum: the sum without the part, -1 if it is not taken
}

// fewest returns how many items of each kind to take.
func (m *memory) fewest(kinds []kind, parts []part, need int64) []int {
	m.best, m.from = resize(m.best, int(need+1)), resize(m.from, len(parts)*int(need+1))
	for x := range m.best {
		m.best[x] = weight{items: math.MaxInt64}
	}
	m.best[0] = weight{}
	reach := int64(0)
	for p, part := range parts {
		from, own := m.row(p), part.weight(kinds[part.kind])
		for x := range from {
			from[x] = -1
		}
		for x := reach; x >= 0; x-- { // downwards, so that a part is taken once
			if m.best[x].items == math.MaxInt64 || x == need {
				continue
			}
			to := min(need, x+part.room)
			if with := m.best[x].plus(own); with.isLess(m.best[to]) {
				m.best[to], from[to] = with, int32(x)
			}
		}
		reach = min(need, reach+part.room)
	}
	counts := make([]int, len(kinds))
	x := int32(need)
	for p, part := range slices.Backward(parts) {
		if before := m.row(p)[x]; before >= 0 {
			counts[part.kind] += int(part.count)
			x = before
		}
	}
	return counts
}

func (m *memory) row(part int) []int32 { return m.from[part*len(m.best):][:len(m.best)] }

// weight is what chosen items cost.
type weight struct{ items, slots, wholes int64 }

func (p part) weight(k kind) weight {
	w := weight{items: p.count, slots: p.count * k.slots}
	if k.isWhole {
		w.wholes = p.count
	}
	return w
}

func (w weight) plus(other weight) weight {
	return weight{w.items + other.items, w.slots + other.slots, w.wholes + other.wholes}
}

func (w weight) isLess(than weight) bool {
	if w.items != than.items {
		return w.items < than.items
	}
	if w.slots != than.slots {
		return w.slots < than.slots
	}
	return w.wholes < than.wholes
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
