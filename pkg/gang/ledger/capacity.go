package ledger

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// capacity sums what all nodes can allocate when they are empty: the bound of what the cluster could ever hold.
type capacity struct {
	nodes map[string]v1.ResourceList
	total v1.ResourceList
}

func newCapacity() capacity {
	return capacity{nodes: map[string]v1.ResourceList{}, total: v1.ResourceList{}}
}

// set books a node, nil takes it out. It reports whether the total changed.
func (c *capacity) set(node string, allocatable v1.ResourceList) bool {
	old := c.nodes[node]
	if sameResources(old, allocatable) {
		return false
	}
	for name, q := range old {
		sum := c.total[name]
		sum.Sub(q)
		c.total[name] = sum
	}
	for name, q := range allocatable {
		sum := c.total[name]
		sum.Add(q)
		c.total[name] = sum
	}
	if allocatable == nil {
		delete(c.nodes, node)
	} else {
		c.nodes[node] = allocatable
	}
	return true
}

func sameResources(a, b v1.ResourceList) bool {
	if len(a) != len(b) || (a == nil) != (b == nil) {
		return false
	}
	for name, q := range a {
		if other, ok := b[name]; !ok || q.Cmp(other) != 0 {
			return false
		}
	}
	return true
}

// couldHold is true if all nodes together, empty, have the resources.
func (c *capacity) couldHold(want v1.ResourceList) bool {
	for name, q := range want {
		have, ok := c.total[name]
		if !ok {
			have = resource.Quantity{}
		}
		if have.Cmp(q) < 0 {
			return false
		}
	}
	return true
}

// admits is true for a sound group whose minimum the cluster could hold. The lock is held.
func (l *Ledger) admits(e *entry) bool {
	return e.group != nil && e.group.Invalid == "" && l.capacity.couldHold(e.group.MinResources)
}

// SetNode books what a node can allocate; nil takes the node out. Groups may become admissible by it, or cease to be: it is
// looked up for each, and told of those that do.
func (l *Ledger) SetNode(name string, allocatable v1.ResourceList) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if allocatable == nil {
		l.vacate(name)
	}
	if !l.capacity.set(name, allocatable) {
		return
	}
	for key, e := range l.gangs {
		if isAdmitted := l.admits(e); isAdmitted != e.isAdmitted {
			e.isAdmitted = isAdmitted
			l.notify(key)
		}
	}
}
