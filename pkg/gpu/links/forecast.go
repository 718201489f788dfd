package links

import (
	"math/bits"
	"slices"
)

// Forecast is what a pod may get. Where the plugin's choice is chance, Least is the worst and Most the best that it may choose,
// by [Quality.Compare].
type Forecast struct {
	Least, Most Quality
	// MayFail is true if the plugin may choose the GPUs that are left over, which are too few. Least and Most are about its other
	// choices; without any, both are the zero Quality.
	MayFail bool
}

// Forecast foretells how so many of the free GPUs will be linked, as the plugin chooses them. It knows nothing, and returns
// false, if there are not so many.
func (l *Links) Forecast(free Set, count int) (Forecast, bool) {
	free &= 1<<l.count - 1
	n := bits.OnesCount16(uint16(free))
	switch {
	case count < 1 || count > n:
		return Forecast{}, false
	case count == 1:
		return Forecast{Least: Quality{Kind: Alone}, Most: Quality{Kind: Alone}}, true
	case count == n:
		q := l.Quality(free)
		return Forecast{Least: q, Most: q}, true
	}
	c := newCuts(l, free, count)
	f, hasChoice := Forecast{}, false
	for _, o := range c.choices(c.all) {
		switch {
		case o.isRest:
			f.MayFail = true
		case !hasChoice:
			f.Least, f.Most, hasChoice = o.Quality, o.Quality, true
		case o.Compare(f.Least) < 0:
			f.Least = o.Quality
		case o.Compare(f.Most) > 0:
			f.Most = o.Quality
		}
	}
	return f, true
}

// choice is a set that the plugin may take: the one that scores most in a best cut.
type choice struct {
	Quality
	isRest bool // it is what is left over
}

// cuts looks at all cuts of some free GPUs, numbered anew from 0, into sets of one size and one of what is left over.
//
// A cut is built from its lowest GPU on: what that GPU's set may be, times all cuts of the others. So the others, a mask, are
// solved once however they came about. Whether what is left over is still among them shows in how many they are.
type cuts struct {
	size, rest int
	all        uint16
	sets       []Quality // by mask
	best       []int32   // by mask: the score of its best cuts; unknown while below zero
	chosen     map[uint16][]choice
}

func newCuts(l *Links, free Set, size int) *cuts {
	var at []int
	for i := range l.count {
		if free>>i&1 == 1 {
			at = append(at, i)
		}
	}
	n := len(at)
	c := &cuts{size: size, rest: n % size, all: uint16(1<<n - 1), sets: make([]Quality, 1<<n), best: make([]int32, 1<<n), chosen: map[uint16][]choice{}}
	c.sets[0].Kind = Alone
	for mask := 1; mask < 1<<n; mask++ {
		low := bits.TrailingZeros16(uint16(mask))
		q := c.sets[mask&(mask-1)]
		for b := low + 1; b < n; b++ {
			if mask>>b&1 == 1 {
				pair := l.between(at[low], at[b])
				q.Kind, q.Score = min(q.Kind, pair.kind), q.Score+int(pair.score)
			}
		}
		c.sets[mask], c.best[mask] = q, -1
	}
	return c
}

// each calls for every set that the lowest GPU of a mask may be in.
func (c *cuts) each(mask uint16, do func(set uint16, isRest bool)) {
	low := mask & -mask
	hasRest := c.rest > 0 && bits.OnesCount16(mask)%c.size == c.rest
	others := mask &^ low
	for sub := others; ; sub = (sub - 1) & others {
		switch bits.OnesCount16(sub) + 1 {
		case c.size:
			do(sub|low, false)
		case c.rest:
			if hasRest {
				do(sub|low, true)
			}
		}
		if sub == 0 {
			return
		}
	}
}

// score is that of the best cuts of a mask.
func (c *cuts) score(mask uint16) int32 {
	if mask == 0 || c.best[mask] >= 0 {
		return c.best[mask]
	}
	best := int32(0)
	c.each(mask, func(set uint16, _ bool) {
		best = max(best, int32(c.sets[set].Score)+c.score(mask&^set))
	})
	c.best[mask] = best
	return best
}

// choices are the sets that may be taken of the best cuts of a mask, each quality once.
func (c *cuts) choices(mask uint16) []choice {
	if out, ok := c.chosen[mask]; ok || mask == 0 {
		return out
	}
	var out []choice
	best := c.score(mask)
	c.each(mask, func(set uint16, isRest bool) {
		others := mask &^ set
		if int32(c.sets[set].Score)+c.score(others) != best {
			return
		}
		own := choice{c.sets[set], isRest}
		rest := c.choices(others)
		if len(rest) == 0 {
			out = add(out, own)
		}
		for _, o := range rest {
			if own.Score >= o.Score {
				out = add(out, own)
			}
			if o.Score >= own.Score {
				out = add(out, o)
			}
		}
	})
	c.chosen[mask] = out
	return out
}

func add(to []choice, c choice) []choice {
	if slices.Contains(to, c) {
		return to
	}
	return append(to, c)
}
