package reporter

import (
	"cmp"
	"slices"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// readTopology says how the GPUs of a report, which come in this order, are connected.
func (r *Reader) readTopology(report *gpu.Report, cards []*card) {
	report.Near = r.readNear(cards)
	w := wiring{cards: cards, positions: map[string]int{}}
	for i, c := range cards {
		if c.Bus != "" {
			w.positions[c.Bus] = i
		}
	}
	report.Links = w.links()
	report.Fabric = fabricOf(cards)
	if !report.Fabric.IsZero() && report.Links.Kind == gpu.Switch {
		report.Links.Kind = gpu.MultiNode
	}
}

// readNear asks how close the GPUs are, each pair once. nil if nobody knows.
func (r *Reader) readNear(cards []*card) [][]gpu.Closeness {
	var near [][]gpu.Closeness
	isKnown := false
	for a := range max(0, len(cards)-1) {
		row := make([]gpu.Closeness, 0, len(cards)-1-a)
		for _, other := range cards[a+1:] {
			closeness := r.closeness(cards[a], other)
			isKnown = isKnown || closeness != gpu.UnknownCloseness
			row = append(row, closeness)
		}
		near = append(near, row)
	}
	if !isKnown {
		return nil
	}
	return near
}

// closeness asks once for each pair. A driver that cannot say is not asked again; a GPU that is gone is, when it is back.
func (r *Reader) closeness(a, b *card) gpu.Closeness {
	pair := [2]string{min(a.UUID, b.UUID), max(a.UUID, b.UUID)}
	if known, ok := r.near[pair]; ok || a.isGone() || b.isGone() {
		return known
	}
	var closeness gpu.Closeness
	var err error
	r.dog.Guard("closeness of two GPUs", func() { closeness, err = a.device.Closeness(b.device) })
	if err != nil {
		closeness = gpu.UnknownCloseness
	}
	if !isOfDevice(err) {
		r.near[pair] = closeness
	}
	return closeness
}

// fabricOf is the domain that all GPUs are in which are ready. Where they disagree nobody can rely on any.
func fabricOf(cards []*card) gpu.Fabric {
	domain, isFirst := gpu.Fabric{}, true
	for _, c := range cards {
		switch {
		case c.fabric.State != FabricReady:
		case isFirst:
			domain, isFirst = c.fabric.Domain, false
		case domain != c.fabric.Domain:
			return gpu.Fabric{}
		}
	}
	return domain
}

// wiring finds out from the ends of the NVLinks how they connect GPUs.
type wiring struct {
	cards     []*card
	positions map[string]int // by bus
}

// links counts the NVLinks, also into the GPUs.
func (w *wiring) links() gpu.Links {
	l := gpu.Links{Kind: w.kind()}
	if l.Kind.IsSwitched() {
		l.IsDown = slices.ContainsFunc(w.cards, func(c *card) bool { return c.fabric.State == FabricPending || c.fabric.State == FabricFailed })
	} else {
		l.Pairs = w.pairs()
	}
	for _, c := range w.cards {
		if c.isGone() || c.isUp == nil {
			c.BadLinks = min(c.BadLinks, c.Links) // as it was
			continue
		}
		c.Links, c.BadLinks = w.expected(c, l.Kind), 0
		up := 0
		for link, isUp := range c.isUp {
			if isUp && isBetweenGPUs(c.peers[link]) {
				up++
			}
		}
		c.BadLinks = max(0, c.Links-up)
	}
	return l
}

// expected is how many NVLinks a GPU should have: as many as any GPU of its model ever had up, in this life of the driver.
// Behind switches that holds for all of them; elsewhere for those that have any, since bridges need not be on all.
//
// What it misses: links that are down on all GPUs of a model since before the driver was asked first. How many a model has is not
// asked, because there are models with fewer than their chip has.
func (w *wiring) expected(c *card, kind gpu.LinkKind) int {
	if !kind.IsSwitched() && everUp(c) == 0 {
		return 0
	}
	most := 0
	for _, other := range w.cards {
		if other.Product == c.Product {
			most = max(most, everUp(other))
		}
	}
	return most
}

// everUp counts the NVLinks of a GPU that were ever up.
func everUp(c *card) int {
	count := 0
	for _, peer := range c.peers {
		if isBetweenGPUs(peer) {
			count++
		}
	}
	return count
}

// isBetweenGPUs is true for the other end of a link that leads to GPUs.
func isBetweenGPUs(p Peer) bool { return p.Kind != PeerCPU && p != Peer{} }

// kind is how the GPUs are connected. What is at the other end and is no GPU of this node is a switch, whatever it calls itself.
func (w *wiring) kind() gpu.LinkKind {
	kind := gpu.NoLinks
	for _, c := range w.cards {
		if c.fabric.State == FabricPending || c.fabric.State == FabricFailed {
			return gpu.Switch // whose links may not be up yet
		}
		partner := -1
		for _, peer := range c.peers {
			position, isHere := w.positions[peer.Bus]
			switch {
			case !isBetweenGPUs(peer):
			case !isHere:
				return gpu.Switch
			case partner >= 0 && partner != position:
				kind = max(kind, gpu.Mesh)
			default:
				partner, kind = position, max(kind, gpu.Bridge)
			}
		}
	}
	return kind
}

// pairs counts the NVLinks that are up between GPUs, as the device plugin does.
func (w *wiring) pairs() []gpu.Pair {
	counts := map[[2]int]int{}
	for a, c := range w.cards {
		for link, isUp := range c.isUp {
			b, isHere := w.positions[c.peers[link].Bus]
			if isUp && isHere && a < b {
				counts[[2]int{a, b}]++
			}
		}
	}
	var pairs []gpu.Pair
	for at, count := range counts {
		pairs = append(pairs, gpu.Pair{A: at[0], B: at[1], Links: count})
	}
	slices.SortFunc(pairs, func(p, q gpu.Pair) int { return cmp.Or(cmp.Compare(p.A, q.A), cmp.Compare(p.B, q.B)) })
	return pairs
}
