package placement

import "github.com/phalanx-scheduler/phalanx/pkg/fabric"

// Members of several classes on one node share what it has free: these look at all resources at once.

// fitsBeside returns how many members of a class fit on a node beside those of the classes before it.
func (v *view) fitsBeside(node int, before []int, class int) int {
	slots := int64(v.classes[class].slots[node])
	if slots == 0 {
		return 0
	}
	for _, want := range v.problem.Classes[class].Request {
		if want.Quantity <= 0 {
			continue
		}
		free := v.fabric.Free(node, want.Resource)
		for other, n := range before {
			if n > 0 {
				free -= int64(n) * v.problem.Classes[other].asks(want.Resource)
			}
		}
		slots = min(slots, max(0, free/want.Quantity))
	}
	return int(slots)
}

// fits tells whether so many members of each class fit on a node together.
func (v *view) fits(node int, fill []int) bool {
	for class, n := range fill {
		if n > v.fitsBeside(node, fill[:class], class) {
			return false
		}
	}
	return true
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
