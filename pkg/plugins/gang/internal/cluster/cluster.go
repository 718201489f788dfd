// Package cluster keeps a picture of the scheduler's snapshot for the solver: a [fabric.Fabric], and which nodes admit whom.
//
// Purpose: the one place where Kubernetes' nodes become numbers. Invariants: it belongs to the scheduling loop's goroutine;
// the picture is that of the last [Cluster.Update]. A level that no node carries a label of is left out, so that a list of
// levels may name more than a cluster has. Where there are HyperNodes, their tiers are the levels instead.
// Cost: an update looks at each node's generation and reads again those that changed; a node that comes, goes or moves
// costs a walk over all of them, and so does a change of the HyperNodes. Where a node stands is looked up when its labels
// change, not when its pods do.
package cluster

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
)

// Level is a topology level: what it is called, and the node label whose value names a node's domain, "" for a tier of the
// HyperNodes.
type Level struct{ Name, NodeLabel string }

// Cluster is the picture. Build it with [New].
type Cluster struct {
	configured []Level
	labelled   []int           // by configured level: how many nodes carry its label
	hyperNodes *hypernode.Tree // nil where labels are the levels
	levels     []Level         // the tiers, or those that any node carries

	fabric *fabric.Fabric
	common common
	tree   *fabric.Tree
	listed []*node // as the snapshot lists them
	seen   []sighting
	nodes  map[string]*node
	infos  []fwk.NodeInfo // by number; nil after a change of the tree
	round  int

	admissions memory[admission]
	closings   memory[closing]
	objects    journal // of nodes whose object changed since the tree was built
	changes    journal // and of those that changed at all
	helped     int
	reserved   map[int]*node     // by number: see Reserve
	held       map[*node][]int64 // of what is free, by resource: see Hold
}

// node is what was read of one node.
type node struct {
	info       fwk.NodeInfo
	object     *v1.Node
	generation int64
	domains    []string // at the levels
	free       []int64
	round      int
	hasChanged bool // its object, and nobody was told
}

// sighting is what tells whether a listed node has changed.
type sighting struct {
	info       *framework.NodeInfo
	generation int64
}

// New returns the picture of an empty cluster with these levels, broadest first.
func New(levels []Level) *Cluster {
	empty := fabric.New()
	return &Cluster{
		configured: levels, labelled: make([]int, len(levels)),
		fabric: empty, common: commonResources(empty), tree: empty.Tree(), nodes: map[string]*node{},
	}
}

// StandIn makes the tiers of these HyperNodes the levels, or the labels again for nil. It costs nothing if they are the same
// as before.
func (c *Cluster) StandIn(hyperNodes *hypernode.Tree) {
	if hyperNodes != c.hyperNodes {
		c.hyperNodes = hyperNodes
		c.rebuild(c.present())
	}
}

// HyperNodes returns those whose tiers are the levels, nil where labels are.
func (c *Cluster) HyperNodes() *hypernode.Tree { return c.hyperNodes }

// Update brings the picture up to date with the snapshot's nodes.
func (c *Cluster) Update(infos []fwk.NodeInfo) {
	if !c.scan(infos) {
		c.list(infos)
	}
	if levels := c.present(); !slices.Equal(levels, c.levels) {
		c.rebuild(levels)
	}
	if tree := c.fabric.Tree(); tree != c.tree {
		c.tree, c.infos = tree, nil
		c.objects, c.changes = journal{}, journal{}
		c.admissions, c.closings = memory[admission]{}, memory[closing]{}
	}
}

// scan reads again what changed of nodes, false if the list is not the one before. Where there are very many nodes nearly all
// of an update's time is spent here, on waiting for memory: one look per node.
func (c *Cluster) scan(infos []fwk.NodeInfo) (isSameList bool) {
	if len(infos) != len(c.seen) {
		return false
	}
	for i, info := range infos {
		seen := &c.seen[i]
		if concrete, ok := info.(*framework.NodeInfo); !ok || concrete != seen.info {
			return false
		} else if concrete.Generation != seen.generation {
			seen.generation = concrete.Generation
			c.read(c.listed[i], info)
			c.take(c.listed[i])
		}
	}
	return true
}

// list reads a list that is not the one before.
func (c *Cluster) list(infos []fwk.NodeInfo) {
	c.round++
	c.listed, c.seen, c.infos = c.listed[:0], c.seen[:0], nil
	var changed []*node
	var fresh []node
	isFirst := len(c.nodes) == 0
	if isFirst {
		c.nodes, fresh, changed = make(map[string]*node, len(infos)), make([]node, len(infos)), make([]*node, 0, len(infos))
		c.listed, c.seen = slices.Grow(c.listed, len(infos)), slices.Grow(c.seen, len(infos))
	}
	for _, info := range infos {
		n := c.known(info, isFirst)
		if n == nil {
			if len(fresh) == 0 {
				fresh = make([]node, 1)
			}
			n, fresh = &fresh[0], fresh[1:]
			c.nodes[info.Node().Name] = n
		}
		if n.info != info || n.generation != info.GetGeneration() {
			c.read(n, info)
			changed = append(changed, n)
		}
		n.round = c.round
		c.listed = append(c.listed, n)
		concrete, _ := info.(*framework.NodeInfo) // nil, which the scan does not know again, for what is none of the core's
		c.seen = append(c.seen, sighting{concrete, n.generation})
	}
	if len(c.nodes) > len(infos) {
		c.forgetGone()
	}
	if levels := c.present(); !slices.Equal(levels, c.levels) {
		c.rebuild(levels) // which takes in all nodes
		return
	}
	if isFirst {
		c.fabric.Grow(len(infos))
	}
	for _, n := range changed {
		c.take(n)
	}
}

// forgetGone drops the nodes that are not listed any more.
func (c *Cluster) forgetGone() {
	for name, n := range c.nodes {
		if n.round != c.round {
			c.count(n.object, -1)
			c.fabric.Remove(name)
			delete(c.nodes, name)
		}
	}
}

// known returns what was read of a node, nil if nothing was.
func (c *Cluster) known(info fwk.NodeInfo, isFirst bool) *node {
	if isFirst { // which saves a look into a large map for each
		return nil
	}
	return c.nodes[info.Node().Name]
}

// read notes which node has changed, and what of its object.
func (c *Cluster) read(n *node, info fwk.NodeInfo) {
	before, object := n.object, info.Node()
	n.info, n.generation, n.object = info, info.GetGeneration(), object
	if object == before {
		return
	}
	if before == nil || !maps.Equal(object.Labels, before.Labels) {
		n.domains = c.domains(object)
	}
	if before != nil {
		c.count(before, -1)
	}
	c.count(object, 1)
	c.helped++
	n.hasChanged = true
}

// take puts what a node is like now into the fabric.
func (c *Cluster) take(n *node) {
	free := c.free(n.info)
	if isMore(free, n.free) {
		c.helped++
	}
	n.free = free
	number, isSettled := c.fabric.Set(c.unreserved(n))
	if isSettled { // else the tree changes
		c.changes.add(number)
		if n.hasChanged {
			c.objects.add(number)
		}
	}
	n.hasChanged = false
}

// domains returns where a node stands at each level.
func (c *Cluster) domains(object *v1.Node) []string {
	if c.hyperNodes != nil {
		return c.hyperNodes.Path(object.Name, object.Labels)
	}
	domains := make([]string, len(c.levels))
	for i, level := range c.levels {
		domains[i] = object.Labels[level.NodeLabel]
	}
	return domains
}

// isMore is true if there is more of anything than before.
func isMore(free, before []int64) bool {
	for i, have := range free {
		had := int64(0)
		if i < len(before) {
			had = before[i]
		}
		if have > had {
			return true
		}
	}
	return false
}

func (c *Cluster) count(object *v1.Node, by int) {
	for i, level := range c.configured {
		if object.Labels[level.NodeLabel] != "" {
			c.labelled[i] += by
		}
	}
}

// present returns the tiers, or the levels that any node carries.
func (c *Cluster) present() []Level {
	levels := make([]Level, 0, len(c.configured))
	if c.hyperNodes != nil {
		for _, tier := range c.hyperNodes.Tiers() {
			levels = append(levels, Level{Name: tier.Name})
		}
		return levels
	}
	for i, level := range c.configured {
		if c.labelled[i] > 0 {
			levels = append(levels, level)
		}
	}
	return levels
}

// rebuild starts the fabric anew with other levels.
func (c *Cluster) rebuild(levels []Level) {
	c.levels = levels
	c.helped++
	names := make([]string, len(levels))
	for i, level := range levels {
		names[i] = level.Name
	}
	c.fabric = fabric.New(names...)
	c.fabric.Grow(len(c.listed))
	c.common = commonResources(c.fabric)
	for _, n := range c.listed {
		n.domains = c.domains(n.object)
		c.take(n)
	}
}

// Fabric returns the picture, to be read until the next update.
func (c *Cluster) Fabric() *fabric.Fabric { return c.fabric }

// Reserve takes the room of so many members off a node, until Release; of a number below 0 it gives back.
func (c *Cluster) Reserve(number int, request fabric.Request, members int) {
	n := c.nodes[c.tree.Node(number)]
	free := make([]int64, c.fabric.Resources())
	for r := range free { // which is less than n.free if something is reserved already
		free[r] = c.fabric.Free(number, fabric.Resource(r))
	}
	for _, want := range request {
		free[want.Resource] -= want.Quantity * int64(members)
	}
	if c.reserved == nil {
		c.reserved = map[int]*node{}
	}
	c.reserved[number] = n
	before := c.unreserved(n)
	isUntouched := slices.Equal(free[:len(before.Free)], before.Free)
	c.fabric.Set(fabric.Node{Name: n.object.Name, Domains: n.domains, Free: free, IsWhole: isUntouched && before.IsWhole})
}

// Unreserved returns what a node has free, by resource, when nothing is reserved.
func (c *Cluster) Unreserved(number int) []int64 {
	return c.unreserved(c.nodes[c.tree.Node(number)]).Free
}

// Release gives all back that was reserved.
func (c *Cluster) Release() {
	for _, n := range c.reserved {
		c.fabric.Set(c.unreserved(n))
	}
	clear(c.reserved)
}

// Levels returns the levels of the fabric, broadest first.
func (c *Cluster) Levels() []Level { return c.levels }

// Helped changes when something happened that can give a place to whom there was none for: a node came, changed or has more
// of something.
func (c *Cluster) Helped() int { return c.helped }

// Info returns what the snapshot knows of a node.
func (c *Cluster) Info(number int) fwk.NodeInfo {
	if c.infos == nil {
		c.infos = make([]fwk.NodeInfo, c.tree.Len())
		for i := range c.infos {
			c.infos[i] = c.nodes[c.tree.Node(i)].info
		}
	}
	return c.infos[number]
}
