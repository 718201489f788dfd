package hypernode

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Tier is a level of the fabric.
type Tier struct {
	Number int
	// Name is what the level is called, by its HyperNodes or "tier-N". No two tiers have the same.
	Name string
}

// Tree is what a set of HyperNodes makes of a cluster. It never changes. The nil Tree is that of no HyperNodes.
type Tree struct {
	tiers   []Tier // broadest first
	depths  map[int]int
	nodes   *index
	holders map[*HyperNode]*HyperNode
	known   map[string]standing // where nodes stand, by name; others are looked up

	all      []*HyperNode // by name
	problems map[*HyperNode]*problem
}

// standing is where a node with these labels stands: see [Tree.where].
type standing struct {
	labels     map[string]string
	in, inVain []*HyperNode
}

// problem is what is ignored of a HyperNode: the first sentence, and how many more there are.
type problem struct {
	first string
	more  int
}

// NewTree resolves HyperNodes, of which no two have the same name.
func NewTree(all []*HyperNode) *Tree {
	t := &Tree{
		depths: map[int]int{}, nodes: newIndex(), holders: map[*HyperNode]*HyperNode{},
		all: slices.Clone(all), problems: map[*HyperNode]*problem{},
	}
	slices.SortFunc(t.all, func(a, b *HyperNode) int { return cmp.Compare(a.Name, b.Name) })
	sound := t.sound()
	holding := newIndex()
	for _, h := range sound {
		for _, m := range h.members {
			index := t.nodes
			if m.isHyperNode {
				index = holding
			}
			if !index.add(m, h) {
				t.ignore(h, "a member is one of more than %d that could select the same names", maxAlike)
			}
		}
	}
	t.hold(sound, holding)
	return t
}

func (t *Tree) ignore(h *HyperNode, format string, args ...any) {
	if p, ok := t.problems[h]; ok {
		p.more++
		return
	}
	t.problems[h] = &problem{first: fmt.Sprintf(format, args...)}
}

// sound returns the HyperNodes that count, and settles the tiers.
func (t *Tree) sound() []*HyperNode {
	byTier := map[int][]*HyperNode{}
	for i, h := range t.all {
		for _, complaint := range h.complaints {
			t.ignore(h, "%s", complaint)
		}
		switch {
		case i >= maxHyperNodes:
			t.ignore(h, "there are %d HyperNodes, of which the first %d by name count", len(t.all), maxHyperNodes)
		case h.hasTier:
			byTier[h.Tier] = append(byTier[h.Tier], h)
		}
	}
	var sound []*HyperNode
	isTaken := map[string]bool{}
	for _, number := range sorted(byTier) {
		if len(t.tiers) == maxTiers {
			for _, h := range byTier[number] {
				t.ignore(h, "spec.tier is %d: the lowest %d tiers count", number, maxTiers)
			}
			continue
		}
		tier := Tier{Number: number, Name: nameOf(byTier[number])}
		if tier.Name == "" || isTaken[tier.Name] {
			tier.Name = fmt.Sprintf("%s%d", tierPrefix, number)
		}
		isTaken[tier.Name] = true
		t.tiers = append(t.tiers, tier)
		sound = append(sound, byTier[number]...)
	}
	slices.Reverse(t.tiers)
	for i, tier := range t.tiers {
		t.depths[tier.Number] = i
	}
	return sound
}

func sorted(byTier map[int][]*HyperNode) []int {
	var numbers []int
	for number := range byTier {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	return numbers
}

// tierPrefix is what a tier without a name is called, before its number.
const tierPrefix = "tier-"

// nameOf returns what all HyperNodes of a tier call it, "" if they do not agree or if that is the word for something else.
func nameOf(tier []*HyperNode) string {
	name := tier[0].TierName
	if slices.ContainsFunc(tier, func(h *HyperNode) bool { return h.TierName != name }) || strings.HasPrefix(name, tierPrefix) ||
		slices.Contains([]string{"node", "host", "kubernetes.io/hostname", "cluster"}, name) {
		return ""
	}
	return name
}

// hold settles which HyperNode holds which. A holder is of a higher tier: so there is no way around in a circle.
func (t *Tree) hold(sound []*HyperNode, holding *index) {
	found := make([][]*HyperNode, len(sound)) // once: it is what costs
	for i, h := range sound {
		found[i] = holding.find(h.Name, nil)
		for _, holder := range found[i] {
			if holder.Tier > h.Tier {
				t.holders[h] = holder
				break
			}
			t.ignore(holder, "member HyperNode %q is of tier %d: it must be of a lower one than %d", h.Name, h.Tier, holder.Tier)
		}
	}
	for i, h := range sound {
		above := t.above(h)
		for _, holder := range found[i] {
			if holder.Tier > h.Tier && !slices.Contains(above, holder) {
				t.ignore(holder, "member HyperNode %q is in %q already", h.Name, above[1].Name)
			}
		}
	}
}

// above returns a HyperNode and its holders, narrowest first.
func (t *Tree) above(h *HyperNode) []*HyperNode {
	var out []*HyperNode
	for ; h != nil; h = t.holders[h] {
		out = append(out, h)
	}
	return out
}

// know looks these nodes up, so that it is done for all that comes. It is called before anybody else has the tree.
func (t *Tree) know(nodes iter.Seq2[string, map[string]string]) {
	known := map[string]standing{}
	for node, labels := range nodes {
		in, inVain := t.where(node, labels)
		known[node] = standing{labels, in, inVain}
	}
	t.known = known
}

// where returns the HyperNodes in which a node stands, narrowest first, and those that select it in vain.
func (t *Tree) where(node string, labels map[string]string) (in, inVain []*HyperNode) {
	if s, ok := t.known[node]; ok && (len(t.nodes.labelled) == 0 || maps.Equal(s.labels, labels)) {
		return s.in, s.inVain
	}
	for _, h := range t.nodes.find(node, labels) {
		switch {
		case len(in) == 0 || h.Tier > in[len(in)-1].Tier:
			in = append(in, t.above(h)...)
		case !slices.Contains(in, h):
			inVain = append(inVain, h)
		}
	}
	return in, inVain
}

// Path returns the domain of a node at each tier, broadest first; "" where it is its own.
//
// It costs a map lookup for each of the node's labels and each letter of its name, and a match for each pattern that begins
// with ^ and then as the name does, and for each that does not begin so; a label selector without any equality counts
// like the latter. 10,000 HyperNodes on 10,000 nodes take well below a second, some seconds where maxAlike patterns could
// match every node, and minutes where such patterns are as large as they may be. A tree that [Set.Resolve] made knows its nodes.
func (t *Tree) Path(node string, labels map[string]string) []string {
	path := make([]string, len(t.tiers))
	in, _ := t.where(node, labels)
	for _, h := range in {
		path[t.depths[h.Tier]] = h.Name
	}
	for i := len(path) - 2; i >= 0; i-- {
		if path[i] == "" { // a gap in the tiers
			path[i] = path[i+1]
		}
	}
	return path
}

// Tiers returns the levels, broadest first. The result must not be written to.
func (t *Tree) Tiers() []Tier {
	if t == nil {
		return nil
	}
	return t.tiers
}

// Has is true if a tier is called so.
func (t *Tree) Has(name string) bool {
	return slices.ContainsFunc(t.Tiers(), func(tier Tier) bool { return tier.Name == name })
}

// Depth returns at which depth of the fabric stand the broadest domains of a tier of at most number: 1 for the broadest
// tier, the number of tiers for the narrowest, and one more, where the nodes stand, if number is below all tiers.
func (t *Tree) Depth(number int) int {
	for i, tier := range t.Tiers() {
		if tier.Number <= number {
			return i + 1
		}
	}
	return len(t.Tiers()) + 1
}
