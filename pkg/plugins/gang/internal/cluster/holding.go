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
	if c.held == nil {
		c.held = map[*node][]int64{}
	}
	held := c.held[n]
	for _, amount := range request {
		for len(held) <= int(amount.Resource) {
			held = append(held, 0)
		}
		held[amount.Resource] += amount.Quantity
	}
	c.held[n] = held
	c.fabric.Set(c.unreserved(n))
}

// Unhold gives all back that was held.
func (c *Cluster) Unhold() {
	for n := range c.held {
		delete(c.held, n)
		if c.nodes[n.object.Name] == n { // else it is gone
			c.fabric.Set(c.unreserved(n))
		}
	}
}

// Held says what is held, the same in the same words.
func (c *Cluster) Held() (held []string) {
	for n, amounts := range c.held {
		held = append(held, fmt.Sprint(n.object.Name, amounts))
	}
	slices.Sort(held)
	return held
}

// unreserved is a node with what it has free but for what is held.
func (c *Cluster) unreserved(n *node) fabric.Node {
	held, isHeld := c.held[n]
	if !isHeld {
		return fabric.Node{Name: n.object.Name, Domains: n.domains, Free: n.free, IsWhole: isWhole(n.info)}
	}
	free := slices.Clone(n.free)
	for r, amount := range held {
		if r < len(free) {
			free[r] -= amount
		}
	}
	return fabric.Node{Name: n.object.Name, Domains: n.domains, Free: free}
}
