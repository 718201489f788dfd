package placement

import (
	"slices"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
)

// Members of several classes on one node share what it has free: these look at all resources at once.

// fitsBeside returns how many members of a class fit on a node beside what fill has of other classes, which must fit.
func (v *view) fitsBeside(node int, fill []int, class int) int {
	slots := int64(v.classes[class].slots[node])
	if slots == 0 {
		return 0
	}
	for _, want := range v.problem.Classes[class].Request {
		if want.Quantity <= 0 {
			continue
		}
		free := v.fabric.Free(node, want.Resource)
		for other, n := range fill {
			if n > 0 && other != class {
				free -= int64(n) * v.problem.Classes[other].asks(want.Resource)
			}
		}
		slots = min(slots, free/want.Quantity)
	}
	return int(slots)
}

// isMaximal is true if no further member of any class fits on a node beside fill.
func (v *view) isMaximal(node int, fill, wanted []int) bool {
	for class, n := range fill {
		if n < wanted[class] && v.fitsBeside(node, fill, class) > n {
			return false
		}
	}
	return true
}

// asked returns the resources that any class asks for.
func (v *view) asked() []fabric.Resource {
	var out []fabric.Resource
	for _, c := range v.problem.Classes {
		for _, want := range c.Request {
			if want.Quantity > 0 && !slices.Contains(out, want.Resource) {
				out = append(out, want.Resource)
			}
		}
	}
	return out
}

// asks returns how much of a resource a member of the class asks for.
func (c *Class) asks(resource fabric.Resource) int64 {
	for _, want := range c.Request {
		if want.Resource == resource {
			return max(0, want.Quantity)
		}
	}
	return 0
}
