package placement

import "github.com/phalanx-scheduler/phalanx/pkg/fabric"

// Kind is the sort of a refusal.
type Kind int

// The kinds, in the order in which they are looked for.
const (
	// Excluded: no node admits the class.
	Excluded Kind = iota
	// Insufficient: the nodes that admit the class do not have enough of a resource in sum.
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
	// Need is how many members of the class must be placed, Have how many slots there are for them: on all nodes, or for
	// TooNarrow in the domain that has most.
	Need, Have int64
	// Scarce is the resource of which the class has least, in proportion to what it needs; Free is how much of it is free
	// on the nodes that admit the class, and FreeNodes on how many of them any is. For Insufficient and Fragmented.
	Scarce    fabric.Resource
	Free      int64
	FreeNodes int
	// Depth and Domain are the domain that comes closest, for TooNarrow and Apart.
	Depth, Domain int
	// Admitted counts the nodes that admit the class, Exclusions the others by reason: together they are all nodes.
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
	refused := &Refusal{Kind: Apart, Depth: v.problem.Required}
	for class := range v.classes {
		r := v.refuseClass(class)
		if r == nil {
			continue
		}
		if refused.Kind == Apart || r.Kind < refused.Kind || r.Kind == refused.Kind && r.Have*refused.Need < refused.Have*r.Need {
			refused = r
		}
	}
	if refused.Kind == Apart {
		refused.Need = int64(v.problem.Minimum)
		refused.Domain = v.closest(0)
		v.admissions(refused)
	}
	return refused
}

// refuseClass says why a class cannot be placed even alone, nil if it can.
func (v *view) refuseClass(class int) *Refusal {
	r := &Refusal{Class: class, Need: int64(v.least(class)), Depth: v.problem.Required}
	if r.Need == 0 {
		return nil
	}
	v.admissions(r)
	r.Have = v.sum(class, 0, 0)
	switch {
	case r.Admitted == 0:
		r.Kind = Excluded
	case r.Have >= r.Need:
		r.Kind, r.Domain = TooNarrow, v.closest(class)
		if r.Have = v.usable(class, r.Depth, r.Domain); r.Have >= r.Need {
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

// least is how many members of a class must be placed if as many as can be of the other classes are.
func (v *view) least(class int) int {
	others := 0
	for i, c := range v.problem.Classes {
		if i != class {
			others += min(c.Members, int(min(v.sum(i, 0, 0), int64(c.Members))))
		}
	}
	c := v.problem.Classes[class]
	return min(c.Members, max(c.Minimum, v.problem.Minimum-others))
}

// closest returns the domain of the required depth that holds most of a class.
func (v *view) closest(class int) int {
	best := 0
	for i := range v.count(v.problem.Required) {
		if v.isCandidate(i) && (!v.isCandidate(best) || v.usable(class, v.problem.Required, i) > v.usable(class, v.problem.Required, best)) {
			best = i
		}
	}
	return best
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

// scarcest fills in the resource of which the refusal's class has least in proportion, and reports whether all nodes
// together lack it. Ties go to the resource that comes first in the request.
func (v *view) scarcest(r *Refusal) (isShort bool) {
	c := &v.problem.Classes[r.Class]
	lowest := -1.0
	for _, want := range c.Request {
		if want.Quantity <= 0 {
			continue
		}
		free, nodes := v.free(c, want.Resource)
		if share := float64(free) / (float64(want.Quantity) * float64(r.Need)); lowest < 0 || share < lowest {
			lowest, r.Scarce, r.Free, r.FreeNodes = share, want.Resource, free, nodes
		}
	}
	return lowest >= 0 && lowest < 1
}

// free sums what the nodes that admit a class have free of a resource, and counts those that have any.
func (v *view) free(c *Class, resource fabric.Resource) (free int64, nodes int) {
	for i := range v.tree.Len() {
		if c.Excluded != nil && c.Excluded.By[i] != 0 {
			continue
		}
		if have := v.fabric.Free(i, resource); have > 0 {
			free += have
			nodes++
		}
	}
	return free, nodes
}
