// Package fabric is the cluster as the solver sees it: which node stands in which domain, and what it has free.
//
// Purpose: one small, dense picture of the cluster that is kept up to date by reading again only what changed. A [Tree] says
// where the nodes stand. Levels are given by name, broadest first; below the narrowest one come the nodes, above the
// broadest one the cluster. Depth 0 is the cluster, depths 1 to n are the levels, depth n+1 is the nodes:
//
//	depth 0   cluster   ┌───────────────────────────────┐
//	depth 1   block     │ b1            │ b2            │
//	depth 2   rack      │ r1    │ r2    │ r1    │ r2    │    a rack's name need be unique within its block only
//	depth 3   node      │ 0 │ 1 │ 2 │ 3 │ 4 │ 5 │ 6 │ 7 │
//
// Nodes are numbered in the order of the tree, so that a domain of any depth is a range of node numbers, and neighbours in
// number are neighbours in the fabric. A node without a domain at some level is its own domain there.
//
// Invariants: a Tree never changes. A [Fabric] belongs to one goroutine; what its methods return is valid until the next
// change, and is not to be written to. The same nodes give the same numbers, in whatever order they came. The package knows
// no Kubernetes.
//
// Cost: a change of what a node has free costs that node alone, for each request whose [Fabric.Slots] are remembered. A node
// that comes, goes or moves costs a walk over all nodes, once however many come at a time.
package fabric

import "slices"

// Resource is the number of a resource in one Fabric: see [Fabric.Resource].
type Resource int

// Amount is so much of a resource, in whatever unit the caller counts it; requests and nodes use the same one.
type Amount struct {
	Resource Resource
	Quantity int64
}

// Request is what one pod asks for, each resource once at most. Requests that name the same in another order are the same,
// but [Fabric.Slots] remembers them apart.
type Request []Amount

// Node is what the caller knows of one node.
type Node struct {
	Name string
	// Domains are the names of its domains, broadest level first; "" where it has none. Missing ones count as "".
	Domains []string
	// Free is what pods may still take, by Resource; missing entries are 0, or what [Fabric.Everywhere] says. It may be negative.
	Free []int64
	// IsWhole is true while nothing runs on it that would have to go for the node to be given away as a whole.
	IsWhole bool
}

// record is a node with its place in the order of the tree.
type record struct {
	name    string
	domains []string
	free    []int64
	isWhole bool
	number  int32
}

// Fabric is the cluster at one moment, kept up to date by its owner. Build it with [New].
type Fabric struct {
	levels    []string
	resources map[string]Resource
	names     []string // of resources
	defaults  []int64  // by resource: what nodes have that do not say

	records map[string]*record
	order   []*record // as of the last settle, sorted by compareRecords
	came    []*record // since then
	spare   []record  // for those that will
	hasGone bool      // one of either has
	tree    *Tree
	wholes  []bool

	tables map[string]*table
	log    []int32 // numbers of nodes that changed since the tree was built: see logChange
	uses   int
}

// New returns an empty fabric with these levels, broadest first.
func New(levels ...string) *Fabric {
	f := &Fabric{levels: slices.Clone(levels), resources: map[string]Resource{}, records: map[string]*record{}, tables: map[string]*table{}}
	f.settle()
	return f
}

// Resource returns the number of a resource, a new one for a name that was not seen before.
func (f *Fabric) Resource(name string) Resource { return f.Everywhere(name, 0) }

// Everywhere is [Fabric.Resource] for something of which each node has so much unless its [Node.Free] says otherwise: what
// members take from each other on one node, and nobody else counts. The quantity is that of the first call with the name.
func (f *Fabric) Everywhere(name string, quantity int64) Resource {
	r, ok := f.resources[name]
	if !ok {
		r = Resource(len(f.names))
		f.names, f.defaults = append(f.names, name), append(f.defaults, quantity)
		f.resources[name] = r
	}
	return r
}

// Default is what a node has of a resource if its [Node.Free] does not say.
func (f *Fabric) Default(r Resource) int64 { return f.defaults[r] }

// Resources counts the resources: their numbers are those below.
func (f *Fabric) Resources() int { return len(f.names) }

// ResourceName is the inverse of [Fabric.Resource].
func (f *Fabric) ResourceName(r Resource) string { return f.names[r] }

// Grow makes room for so many more nodes, which saves time where many come at once.
func (f *Fabric) Grow(nodes int) {
	if len(f.records) == 0 {
		f.records = make(map[string]*record, nodes)
	}
	f.came, f.spare = slices.Grow(f.came, nodes), make([]record, nodes)
}

// Set adds a node, or changes it. It keeps node.Domains and node.Free. isSettled is true if the node has its number already, and
// keeps it.
func (f *Fabric) Set(node Node) (number int, isSettled bool) {
	old, isKnown := f.records[node.Name]
	if isKnown && slices.Equal(old.domains, node.Domains) {
		old.free, old.isWhole = node.Free, node.IsWhole
		if old.number >= 0 {
			f.wholes[old.number] = node.IsWhole
			f.logChange(old.number)
		}
		return int(old.number), old.number >= 0
	}
	if isKnown {
		f.Remove(node.Name)
	}
	if len(f.spare) == 0 {
		f.spare = make([]record, 1)
	}
	r := &f.spare[0]
	f.spare = f.spare[1:]
	*r = record{name: node.Name, domains: node.Domains, free: node.Free, isWhole: node.IsWhole, number: -1}
	f.records[node.Name] = r
	f.came = append(f.came, r)
	return 0, false
}

// Remove takes a node out. It does nothing if there is no such node.
func (f *Fabric) Remove(name string) {
	if _, ok := f.records[name]; ok {
		delete(f.records, name)
		f.hasGone = true // settle drops it
	}
}

// Len counts the nodes.
func (f *Fabric) Len() int { return len(f.records) }

// Tree returns where the nodes stand now. It is the same Tree until a node comes, goes or moves.
func (f *Fabric) Tree() *Tree {
	if len(f.came) > 0 || f.hasGone {
		f.settle()
	}
	return f.tree
}

// settle numbers the nodes anew.
func (f *Fabric) settle() {
	if f.hasGone {
		isGone := func(r *record) bool { return f.records[r.name] != r }
		f.order, f.came = slices.DeleteFunc(f.order, isGone), slices.DeleteFunc(f.came, isGone)
	}
	sortRecords(f.came)
	f.order = merge(f.order, f.came)
	f.came, f.hasGone = nil, false
	f.wholes = make([]bool, len(f.order))
	for i, r := range f.order {
		r.number, f.wholes[i] = int32(i), r.isWhole
	}
	f.tree = newTree(f.levels, f.order)
	f.log = f.log[:0]
	clear(f.tables)
}

// Number returns the number of a node in the current [Tree], false if there is no such node.
func (f *Fabric) Number(name string) (int, bool) {
	f.Tree()
	if r, ok := f.records[name]; ok {
		return int(r.number), true
	}
	return 0, false
}

// Free returns what a node of the current [Tree] has free of a resource. It may be negative.
func (f *Fabric) Free(node int, r Resource) int64 {
	return f.amount(f.order[node], r)
}

func (f *Fabric) amount(r *record, resource Resource) int64 {
	if int(resource) < len(r.free) {
		return r.free[resource]
	}
	return f.defaults[resource]
}

// Wholes returns, by node number, whether nothing runs on it: see [Node.IsWhole].
func (f *Fabric) Wholes() []bool {
	f.Tree()
	return f.wholes
}
