package links

import (
	"maps"
	"math/bits"
	"slices"
)

// MaxSequenced is the most free GPUs for which [Links.ForecastAmong] knows anything: beyond, there are too many ways.
const MaxSequenced = 8

// ForecastAmong foretells what the worst and the best off of several pods get that want as many of the free GPUs each, one pod and
// so many others, whichever of them the kubelet serves first. It knows nothing, and returns false, if there are not so many free
// GPUs or more than [MaxSequenced].
func (l *Links) ForecastAmong(free Set, count, others int) (Forecast, bool) {
	free &= 1<<l.count - 1
	if n := bits.OnesCount16(uint16(free)); n > MaxSequenced || count < 1 || count*(others+1) > n {
		return Forecast{}, false
	}
	all, states := Forecast{}, []Set{free}
	for served := 0; ; served++ {
		next := map[Set]bool{}
		for i, left := range states {
			f, _ := l.Forecast(left, count)
			if served+i == 0 || f.Least.Compare(all.Least) < 0 {
				all.Least = f.Least
			}
			if served+i == 0 || f.Most.Compare(all.Most) > 0 {
				all.Most = f.Most
			}
			all.MayFail = all.MayFail || f.MayFail
			if served < others {
				for _, taken := range l.takes(left, count) {
					next[left&^taken] = true
				}
			}
		}
		if served == others {
			return all, true
		}
		states = slices.Sorted(maps.Keys(next))
	}
}

// takes are the sets of so many of the free GPUs that the plugin may choose.
func (l *Links) takes(free Set, count int) (sets []Set) {
	c := newCuts(l, free, count)
	for mask := range c.all + 1 {
		if bits.OnesCount16(mask) != count {
			continue
		}
		own, others := c.sets[mask], c.all&^mask
		if int32(own.Score)+c.score(others) != c.score(c.all) {
			continue
		}
		rivals := c.choices(others)
		if len(rivals) == 0 || slices.ContainsFunc(rivals, func(rival choice) bool { return rival.Score <= own.Score }) {
			sets = append(sets, c.among(free, mask))
		}
	}
	return sets
}

// among returns the GPUs of a mask by their positions in the report.
func (*cuts) among(free Set, mask uint16) (set Set) {
	for ; mask != 0; free &= free - 1 {
		if mask&1 == 1 {
			set |= free & -free
		}
		mask >>= 1
	}
	return set
}
