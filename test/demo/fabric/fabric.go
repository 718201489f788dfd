// Package fabric is the network of the demo's cluster: hosts, and the switches above them.
//
// Purpose: to make nodes of real hosts, and to say over how many leaf switches a gang stands and over how many it must.
package fabric

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// The node labels that name the switches above a host, from the top.
const (
	CoreLabel  = "network.example.com/core"
	SpineLabel = "network.example.com/spine"
	LeafLabel  = "network.example.com/leaf"
)

// Fabric is all hosts. It does not change.
type Fabric struct {
	Hosts  []trace.Host
	leafOf map[string]string // by host name
}

// New makes a fabric of hosts.
func New(hosts []trace.Host) *Fabric {
	f := &Fabric{Hosts: hosts, leafOf: map[string]string{}}
	for _, h := range hosts {
		f.leafOf[h.Name] = h.Leaf
	}
	return f
}

// Nodes makes the nodes.
func (f *Fabric) Nodes() []*corev1.Node {
	nodes := make([]*corev1.Node, len(f.Hosts))
	for i, h := range f.Hosts {
		nodes[i] = controlplane.NewNode(controlplane.FakeNode{
			Name: h.Name, GPUs: trace.GPUsPerHost,
			Labels: map[string]string{CoreLabel: h.Core, SpineLabel: h.Spine, LeafLabel: h.Leaf},
		})
	}
	return nodes
}

// LeafOf returns the leaf switch above a host, "" for an unknown one.
func (f *Fabric) LeafOf(host string) string { return f.leafOf[host] }

// Count returns how many switches of each level there are.
func (f *Fabric) Count() (cores, spines, leaves int) {
	seen := map[[2]string]int{}
	for _, h := range f.Hosts {
		seen[[2]string{"core", h.Core}]++
		seen[[2]string{"spine", h.Spine}]++
		seen[[2]string{"leaf", h.Leaf}]++
	}
	for level := range seen {
		switch level[0] {
		case "core":
			cores++
		case "spine":
			spines++
		default:
			leaves++
		}
	}
	return cores, spines, leaves
}

// Below returns the hosts whose labels match a node selector that names switches; an empty one matches all.
func (f *Fabric) Below(selector map[string]string) []trace.Host {
	var out []trace.Host
	for _, h := range f.Hosts {
		labels := map[string]string{CoreLabel: h.Core, SpineLabel: h.Spine, LeafLabel: h.Leaf}
		matches := true
		for key, value := range selector {
			matches = matches && labels[key] == value
		}
		if matches {
			out = append(out, h)
		}
	}
	return out
}

// LeastLeaves returns the fewest leaf switches below which so many of the hosts stand, were they all free; 0 if there are
// not so many hosts. Taking the largest leaves first is the least: any other choice of as many leaves has no more hosts.
func LeastLeaves(hosts []trace.Host, need int) int {
	count := map[string]int{}
	for _, h := range hosts {
		count[h.Leaf]++
	}
	sizes := make([]int, 0, len(count))
	for _, size := range count {
		sizes = append(sizes, size)
	}
	slices.SortFunc(sizes, func(a, b int) int { return cmp.Compare(b, a) })
	for i, size := range sizes {
		if need -= size; need <= 0 {
			return i + 1
		}
	}
	return 0
}
