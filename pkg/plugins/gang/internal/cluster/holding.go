package cluster

import (
	"fmt"
	"slices"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
)

// Hold takes amounts off what a node has free, for whoever is planned next, until [Cluster.Unhold]: somebody else is to have them. It
// is no change of the node, and helps nobody when it ends: see [Cluster.Helped].
func (c *Cluster) Hold(number int, request fabric.Request) {
	n := c.nodes[c.tree.Node(number)]
	if n.held == nil {
		c.held = append(c.held, n)
	}
	for _, amount := range request {
		for len(n.held) <= int(amount.Resource) {
			n.held = append(n.held, 0)
		}
		n.held[amount.Resource] += amount.Quantity
	}
	c.fabric.Set(n.unreserved())
}

// Unhold gives all back that was held.
func (c *Cluster) Unhold() {
	for _, n := range c.held {
		n.held = nil
		if c.nodes[n.object.Name] == n { // else it is gone
			c.fabric.Set(n.unreserved())
		}
	}
	c.held = nil
}

// Held says what is held, the same in the same words.
func (c *Cluster) Held() (held []string) {
	for _, n := range c.held {
		held = append(held, fmt.Sprint(n.object.Name, n.held))
	}
	return held
}

// unreserved is the node with what it has free but for what is held.
func (n *node) unreserved() fabric.Node {
	if n.held == nil {
		return fabric.Node{Name: n.object.Name, Domains: n.domains, Free: n.free, IsWhole: isWhole(n.info)}
	}
	free := slices.Clone(n.free)
	for r, amount := range n.held {
		if r < len(free) {
			free[r] -= amount
		}
	}
	return fabric.Node{Name: n.object.Name, Domains: n.domains, Free: free}
}
