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

import (
	"slices"
	"strings"
)

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
	// Free is what pods may still take, by Resource; missing entries are 0. It may be negative.
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

	records map[string]*record
	order   []*record // as of the last settle, sorted by compareRecords
	came    []*record // since then
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
func (f *Fabric) Resource(name string) Resource {
	r, ok := f.resources[name]
	if !ok {
		r = Resource(len(f.names))
		f.names = append(f.names, name)
		f.resources[name] = r
	}
	return r
}

// ResourceName is the inverse of [Fabric.Resource].
func (f *Fabric) ResourceName(r Resource) string { return f.names[r] }

// Set adds a node, or changes it. It keeps node.Domains and node.Free.
func (f *Fabric) Set(node Node) {
	old, isKnown := f.records[node.Name]
	if isKnown && slices.Equal(old.domains, node.Domains) {
		old.free, old.isWhole = node.Free, node.IsWhole
		if old.number >= 0 {
			f.wholes[old.number] = node.IsWhole
			f.logChange(old.number)
		}
		return
	}
	if isKnown {
		f.Remove(node.Name)
	}
	r := &record{name: node.Name, domains: node.Domains, free: node.Free, isWhole: node.IsWhole, number: -1}
	f.records[node.Name] = r
	f.came = append(f.came, r)
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
	slices.SortFunc(f.came, compareRecords)
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

// merge returns the elements of two sorted lists in one.
func merge(a, b []*record) []*record {
	if len(a) == 0 {
		return b
	}
	out := make([]*record, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if compareRecords(a[0], b[0]) < 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// compareRecords orders by domains, broadest first, then by name; numbers in names count as numbers: r2 comes before r10.
// A node without a domain at a level comes after those that have one.
func compareRecords(a, b *record) int {
	for depth := range max(len(a.domains), len(b.domains)) {
		x, y := a.domain(depth), b.domain(depth)
		if (x == "") != (y == "") {
			if x == "" {
				return 1
			}
			return -1
		}
		if x == "" {
			break // each is its own domain from here on
		}
		if c := compareNatural(x, y); c != 0 {
			return c
		}
	}
	return compareNatural(a.name, b.name)
}

func (r *record) domain(level int) string {
	if level < len(r.domains) {
		return r.domains[level]
	}
	return ""
}

// compareNatural compares texts with the numbers in them compared as numbers. Texts that differ never compare as equal.
func compareNatural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if !isDigit(x[0]) || !isDigit(y[0]) {
			if x[0] != y[0] {
				return int(x[0]) - int(y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		var n, m string
		n, x = cutNumber(x)
		m, y = cutNumber(y)
		if len(n) != len(m) {
			return len(n) - len(m)
		}
		if c := strings.Compare(n, m); c != 0 {
			return c
		}
	}
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(a, b) // leading zeros
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// cutNumber splits the digits off a text, without leading zeros.
func cutNumber(s string) (number, rest string) {
	end := 0
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	return strings.TrimLeft(s[:end], "0"), s[end:]
}

// Free returns what a node of the current [Tree] has free of a resource. It may be negative.
func (f *Fabric) Free(node int, r Resource) int64 {
	return f.order[node].amount(r)
}

func (r *record) amount(resource Resource) int64 {
	if int(resource) < len(r.free) {
		return r.free[resource]
	}
	return 0
}

// Wholes returns, by node number, whether nothing runs on it: see [Node.IsWhole].
func (f *Fabric) Wholes() []bool {
	f.Tree()
	return f.wholes
}
