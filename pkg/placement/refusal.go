package placement

import (
	"math"
	"math/bits"
	"slices"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
)

// Kind is the sort of a refusal.
type Kind int

// The kinds, in the order in which they are looked for.
const (
	// Excluded: no node inside admits the class.
	Excluded Kind = iota
	// Insufficient: the nodes inside that admit the class do not have enough of a resource in sum.
	Insufficient
	// Fragmented: they have enough in sum, but not in pieces that hold a member.
	Fragmented
	// TooNarrow: there are enough slots, but not in one domain of the required level.
	TooNarrow
	// Apart: each class fits alone, but no way was found for them together.
	Apart
)

// Refusal says why a problem has no plan, by the class that is worst off.
type Refusal struct {
	Kind  Kind
	Class int
	// Need is how many members of the class must be placed, Have how many slots there are for them: on all nodes inside, or for
	// TooNarrow in the domain that has most. For Apart these are the members of all classes that must be placed, and how many of
	// them fit together, as far as that is known.
	Need, Have int64
	// IsProven is false for Apart after a search that was not exact: there may be a plan, and more members may fit.
	IsProven bool
	// Scarce is the resource that lasts for the fewest members, were all nodes one; Free is how much of it is free on the
	// nodes inside that admit the class, and FreeNodes on how many of them any is. For Insufficient and Fragmented.
	Scarce    fabric.Resource
	Free      int64
	FreeNodes int
	// Depth and Domain are the domain that comes closest, for TooNarrow and Apart: of the required depth, or the domain to stay
	// in if that is narrower.
	Depth, Domain int
	// Admitted counts the nodes that admit the class, Exclusions the others by reason: together they are all nodes, those
	// outside of the domain to stay in too.
	Admitted   int
	Exclusions []Exclusion
}

// Exclusion counts nodes that do not admit a class.
type Exclusion struct {
	Reason string
	Nodes  int
}

// refuse finds out why there is no plan.
func (v *view) refuse() *Refusal {
	refused := &Refusal{Kind: Apart, Depth: v.problem.Required, Need: v.mustPlace()}
	for class := range v.classes {
		r := v.refuseClass(class)
		if r == nil {
			continue
		}
		if refused.Kind == Apart || r.Kind < refused.Kind || r.Kind == refused.Kind && r.isWorse(refused) {
			refused = r
		}
	}
	if refused.Kind == Apart {
		v.admissions(refused)
	}
	return refused
}

// refuseClass says why a class cannot be placed even alone, nil if it can.
func (v *view) refuseClass(class int) *Refusal {
	r := &Refusal{Class: class, Need: int64(v.least(class)), IsProven: true, Depth: v.problem.Required}
	if r.Need == 0 {
		return nil
	}
	v.admissions(r)
	r.Have = v.sum(class, 0, 0)
	switch {
	case !v.isAdmitted(class):
		r.Kind = Excluded
	case r.Have >= r.Need:
		r.Kind, r.Domain, r.Have = TooNarrow, v.closest(class), 0
		if v.isCandidate(r.Domain) {
			r.Have = v.usable(class, r.Depth, r.Domain)
		}
		if size := int64(v.problem.Slice.Size); size > 1 {
			r.Have = min(r.Have, int64(v.problem.Classes[class].Members)/size*size)
		}
		if r.Have >= r.Need {
			return nil
		}
	default:
		r.Kind = Fragmented
		if v.scarcest(r) {
			r.Kind = Insufficient
		}
	}
	return r
}

// mustPlace counts the members that must be placed, of all classes.
func (v *view) mustPlace() int64 {
	each := int64(0)
	for _, c := range v.problem.Classes {
		each += int64(max(0, c.Minimum))
	}
	return max(1, int64(v.problem.Minimum), each)
}

// countOf counts those among placed members that must be placed: of members that are more than their class needs, so many as
// may be of any class.
func (v *view) countOf(placed []int) int64 {
	owed, beyond, any := int64(0), int64(0), v.mustPlace()
	for class, c := range v.problem.Classes {
		least := max(0, c.Minimum)
		owed += int64(min(placed[class], least))
		beyond += int64(max(0, placed[class]-least))
		any -= int64(least)
	}
	return owed + min(beyond, any)
}

// countTogether finds the domain that holds most of the members that must be placed: by exact search in all domains, or beyond
// the bound of its work by placing one class after the other.
func (s *Solver) countTogether(r *Refusal) {
	v := &s.view
	var domains []int
	first, last := v.within(r.Depth, 0, 0)
	for i := first; i < last; i++ {
		if v.isCandidate(i) {
			domains = append(domains, i)
		}
	}
	r.Domain, s.left = v.closest(0), s.work()
	wanted := v.wanted()
	note := func(domain int, placed []int) {
		if n := v.countOf(placed); n > r.Have {
			r.Have, r.Domain = n, domain
		}
	}
	_, r.IsProven = s.asManyAsFit(domains, wanted, func(domain int, placed []int) bool {
		note(domain, placed)
		return false
	})
	if r.IsProven {
		return
	}
	for _, domain := range domains {
		first, last := v.span(r.Depth, domain)
		nodes := make([]int, 0, last-first)
		for node := first; node < last; node++ {
			nodes = append(nodes, node)
		}
		for _, order := range v.orders(r.Depth, domain, wanted) {
			_, placed := v.fillInOrder(order, nodes, wanted)
			note(domain, placed)
		}
	}
}

// isWorse is true if less of what must be placed has a slot than for the other refusal.
func (r *Refusal) isWorse(than *Refusal) bool {
	high, low := bits.Mul64(uint64(r.Have), uint64(than.Need))
	thanHigh, thanLow := bits.Mul64(uint64(than.Have), uint64(r.Need))
	return high < thanHigh || high == thanHigh && low < thanLow
}

// least is how many members of a class must be placed if as many as can be of the other classes are.
func (v *view) least(class int) int {
	c, missing := v.problem.Classes[class], max(1, v.problem.Minimum)
	if len(v.classes) == 1 {
		return max(c.Minimum, missing)
	}
	for i := range v.classes {
		if i != class {
			missing -= v.classes[i].wants
		}
	}
	return max(0, min(c.Members, max(c.Minimum, missing)))
}

// closest returns the domain of the required depth that holds most of a class; if members run that the class must join, but
// not where it may stand, theirs.
func (v *view) closest(class int) int {
	best := -1
	first, last := v.within(v.problem.Required, 0, 0)
	for i := first; i < last; i++ {
		if v.isCandidate(i) && (best < 0 || v.usable(class, v.problem.Required, i) > v.usable(class, v.problem.Required, best)) {
			best = i
		}
	}
	switch {
	case best >= 0:
		return best
	case v.isDrawn:
		return v.of(v.problem.Required, v.problem.Beside[0])
	}
	return first
}

// isAdmitted is true if any node to look at admits a class.
func (v *view) isAdmitted(class int) bool {
	excluded := v.problem.Classes[class].Excluded
	return v.first < v.last && (excluded == nil || slices.Contains(excluded.By[v.first:v.last], 0))
}

// admissions counts the nodes that admit the refusal's class, and the others by reason.
func (v *view) admissions(r *Refusal) {
	r.Admitted = v.tree.Len()
	excluded := v.problem.Classes[r.Class].Excluded
	if excluded == nil {
		return
	}
	counts := make([]int, len(excluded.Reasons)+1)
	for _, reason := range excluded.By {
		counts[reason]++
	}
	r.Admitted = counts[0]
	for i, n := range counts[1:] {
		if n > 0 {
			r.Exclusions = append(r.Exclusions, Exclusion{excluded.Reasons[i], n})
		}
	}
}

// scarcest fills in the resource that lasts for the fewest members of the refusal's class, and reports whether all nodes
// together lack it. Ties go to the resource that comes first in the request.
func (v *view) scarcest(r *Refusal) (isShort bool) {
	c := &v.problem.Classes[r.Class]
	fewest := int64(math.MaxInt64)
	for _, want := range c.Request {
		if want.Quantity <= 0 {
			continue
		}
		free, nodes := v.free(c, want.Resource)
		if members := free / want.Quantity; members < fewest {
			fewest, r.Scarce, r.Free, r.FreeNodes = members, want.Resource, free, nodes
		}
	}
	return fewest < r.Need
}

// free sums what the nodes to look at that admit a class have free of a resource, and counts those that have any.
func (v *view) free(c *Class, resource fabric.Resource) (free int64, nodes int) {
	for i := v.first; i < v.last; i++ {
		if c.Excluded != nil && c.Excluded.By[i] != 0 {
			continue
		}
		if have := v.fabric.Free(i, resource); have > 0 {
			free = min(free, math.MaxInt64-have) + have // absurd sums stop there
			nodes++
		}
	}
	return free, nodes
}
