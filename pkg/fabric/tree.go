package fabric

// Domain is a set of nodes that stand together: a rack, a block, the cluster.
type Domain struct {
	// Name is unique among the domains of the same parent. A node that is its own domain lends it its name.
	Name string
	// Parent is the number of the domain one depth up, 0 for the cluster.
	Parent int
	// First and Last bound the domain's nodes: First <= node < Last.
	First, Last int
	// FirstChild and LastChild bound its domains one depth down in the same way; at the narrowest level they are its nodes.
	FirstChild, LastChild int
}

// Tree says where the nodes stand. It never changes.
type Tree struct {
	levels  []string
	nodes   []string
	domains [][]Domain // by depth, without the nodes
	of      [][]int32  // by depth and node: the number of its domain
}

func newTree(levels []string, order []*record) *Tree {
	t := &Tree{levels: levels, nodes: make([]string, len(order))}
	for i, r := range order {
		t.nodes[i] = r.name
	}
	t.domains = make([][]Domain, len(levels)+1)
	t.of = make([][]int32, len(levels)+1)
	t.domains[0] = []Domain{{Name: "cluster", Last: len(order), LastChild: len(order)}}
	t.of[0] = make([]int32, len(order))
	for depth := 1; depth <= len(levels); depth++ {
		t.addLevel(depth, order)
	}
	return t
}

func (t *Tree) addLevel(depth int, order []*record) {
	parents, of := t.domains[depth-1], make([]int32, len(order))
	var domains []Domain
	for p := range parents {
		parents[p].FirstChild = len(domains)
		for i := parents[p].First; i < parents[p].Last; i++ {
			name := order[i].domain(depth - 1)
			if i == parents[p].First || name == "" || name != domains[len(domains)-1].Name {
				domain := Domain{Name: name, Parent: p, First: i, FirstChild: i}
				if name == "" {
					domain.Name = order[i].name
				}
				domains = append(domains, domain)
			}
			last := &domains[len(domains)-1]
			last.Last, last.LastChild = i+1, i+1
			of[i] = int32(len(domains) - 1)
		}
		parents[p].LastChild = len(domains)
	}
	t.domains[depth], t.of[depth] = domains, of
}

// Depth is the depth of the narrowest level: 0 if there are no levels. The nodes are one below it.
func (t *Tree) Depth() int { return len(t.levels) }

// LevelName returns what a domain of that depth is called: "cluster", the level's name, or "node".
func (t *Tree) LevelName(depth int) string {
	switch {
	case depth <= 0:
		return "cluster"
	case depth <= len(t.levels):
		return t.levels[depth-1]
	}
	return "node"
}

// Len counts the nodes.
func (t *Tree) Len() int { return len(t.nodes) }

// Node returns the name of a node.
func (t *Tree) Node(number int) string { return t.nodes[number] }

// Domains counts the domains of a depth from 0 to Depth.
func (t *Tree) Domains(depth int) int { return len(t.domains[depth]) }

// Domain returns a domain of a depth from 0 to Depth.
func (t *Tree) Domain(depth, number int) Domain { return t.domains[depth][number] }

// Of returns the number of the domain of that depth, from 0 to Depth, in which a node stands.
func (t *Tree) Of(depth, node int) int { return int(t.of[depth][node]) }

// Path returns the names of a domain and of those that it is part of, broadest first, without the cluster.
func (t *Tree) Path(depth, number int) []string {
	path := make([]string, depth)
	for ; depth > 0; depth-- {
		d := t.domains[depth][number]
		path[depth-1] = d.Name
		number = d.Parent
	}
	return path
}
