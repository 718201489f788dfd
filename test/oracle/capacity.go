package oracle

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// amounts is a vector of resources: milliCPU for cpu, bytes or counts for the rest.
type amounts map[corev1.ResourceName]int64

func amountsOf(list corev1.ResourceList) amounts {
	out := make(amounts, len(list))
	for name, quantity := range list {
		if name == corev1.ResourceCPU {
			out[name] = quantity.MilliValue()
		} else {
			out[name] = quantity.Value()
		}
	}
	return out
}

func requestOf(pod *corev1.Pod) amounts {
	request := amountsOf(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}))
	request[corev1.ResourcePods] = 1
	return request
}

// node is what the judge keeps of a node. One that the caller has not told of has no capacity and is not judged.
type node struct {
	name     string
	labels   map[string]string
	capacity amounts
	used     amounts
	open     []Overfull // resources that exceed now
}

// SetNode tells what a node can give, from now on: its allocatable resources. Of a resource that it does not name it has
// none. Pods that came before anybody told are judged now; where a node loses what its pods hold, only those that come
// after are: to place the others was right.
func (j *Judge) SetNode(at time.Time, object *corev1.Node) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.node(object.Name)
	isNew := n.capacity == nil
	n.labels, n.capacity = object.Labels, amountsOf(object.Status.Allocatable)
	if isNew {
		n.weigh(at, n.used)
	}
}

// RemoveNode tells that a node is gone. Pods on it are judged no longer.
func (j *Judge) RemoveNode(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.node(name)
	for _, over := range n.open {
		j.found = append(j.found, over)
	}
	n.capacity, n.open = nil, nil
}

func (j *Judge) node(name string) *node {
	n, ok := j.nodes[name]
	if !ok {
		n = &node{name: name, used: amounts{}}
		j.nodes[name] = n
	}
	return n
}

func (j *Judge) enter(at time.Time, p pod) {
	if p.node == "" {
		return
	}
	n := j.node(p.node)
	for name, amount := range p.request {
		n.used[name] += amount
	}
	n.weigh(at, p.request)
}

func (j *Judge) leave(p pod) {
	if p.node == "" {
		return
	}
	n := j.node(p.node)
	for name, amount := range p.request {
		n.used[name] -= amount
	}
	n.open = slices.DeleteFunc(n.open, func(over Overfull) bool {
		isOver := n.used[over.Resource] > n.capacity[over.Resource]
		if !isOver {
			j.found = append(j.found, over)
		}
		return !isOver
	})
}

// weigh looks for resources that exceed, among those that were asked for. Each is one violation for as long as it does, at
// its worst.
func (n *node) weigh(at time.Time, asked amounts) {
	if n.capacity == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		used, capacity := n.used[name], n.capacity[name]
		if asked[name] == 0 || used <= capacity {
			continue
		}
		now := Overfull{Node: n.name, Resource: name, At: at, Used: used, Capacity: capacity}
		i := slices.IndexFunc(n.open, func(v Overfull) bool { return v.Resource == name })
		if i < 0 {
			n.open = append(n.open, now)
			continue
		}
		if worst := n.open[i]; used > worst.Used {
			now.At = worst.At
			n.open[i] = now
		}
	}
}
