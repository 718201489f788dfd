package offer

import (
	"fmt"
	"math/bits"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/wish"
)

// set is GPUs of a node, by their position in its report.
type set uint32

func (s set) len() int         { return bits.OnesCount32(uint32(s)) }
func (s set) has(at int) bool  { return s>>at&1 == 1 }
func (s set) links() links.Set { return links.Set(s) }

// positions yields the GPUs of a set.
func (s set) positions(yield func(at int) bool) {
	for left := s; left != 0; left &= left - 1 {
		if !yield(bits.TrailingZeros32(uint32(left))) {
			return
		}
	}
}

// report is a node's report, laid out for what is asked of it.
type report struct {
	gpus    []device
	at      map[string]int // positions, by UUID
	whole   set            // those that are not cut into MIG instances
	bad     set            // drained or lost
	flawed  set            // degraded
	dirty   set            // much of their memory is in use
	missing int
	isDown  bool
	links   *links.Links // nil for more GPUs than are foretold of
	groups  [][]set      // what should stay whole, finest first: bridged pairs, PCI switches, NUMA nodes
	domain  string

	answers answers
}

type device struct {
	facts
	uuid    string
	freeMiB int
}

// cleanShare is the part of a GPU's memory, in quarters, that nobody uses while no pod has the GPU. The driver itself takes some
// hundred MiB; what leaks are gigabytes.
const cleanShare = 3

func newReport(r *gpu.Report) *report {
	out := &report{gpus: make([]device, len(r.GPUs)), at: make(map[string]int, len(r.GPUs)), missing: r.Missing, isDown: r.Links.IsDown}
	if !r.Fabric.IsZero() {
		out.domain = fmt.Sprintf("%s.%d", r.Fabric.UUID, r.Fabric.Clique)
	}
	for i := range r.GPUs {
		g := &r.GPUs[i]
		out.at[g.UUID] = i
		out.gpus[i] = device{facts{wish.Words(g.Product), g.Capability, g.MemoryMiB}, g.UUID, g.FreeMiB}
		if g.IsMIG {
			continue
		}
		out.whole |= 1 << i
		switch {
		case g.State >= gpu.Drain:
			out.bad |= 1 << i
		case g.State == gpu.Degraded:
			out.flawed |= 1 << i
		}
		if g.FreeMiB < g.MemoryMiB/4*cleanShare {
			out.dirty |= 1 << i
		}
	}
	if l, ok := links.Of(r); ok {
		out.links = &l
	}
	out.groups = groupsOf(r, out.whole)
	return out
}

// groupsOf finds what of a node's GPUs should stay whole. A group of one is none, and neither is one of all.
func groupsOf(r *gpu.Report, whole set) [][]set {
	var levels [][]set
	for _, isTogether := range []func(a, b int) bool{
		bridged(r),
		func(a, b int) bool { return r.Closeness(a, b) >= gpu.OneSwitch },
		func(a, b int) bool { return r.GPUs[a].NUMA >= 0 && r.GPUs[a].NUMA == r.GPUs[b].NUMA },
	} {
		var groups []set
		for left := whole; left != 0; {
			first := bits.TrailingZeros32(uint32(left))
			group := set(0)
			for b := first; b < len(r.GPUs); b++ {
				if left.has(b) && (b == first || isTogether(first, b)) {
					group |= 1 << b
				}
			}
			left &^= group
			if n := group.len(); n > 1 && n < whole.len() {
				groups = append(groups, group)
			}
		}
		if len(groups) > 0 {
			levels = append(levels, groups)
		}
	}
	return levels
}

// bridged is true for two GPUs with a bridge between them. In a mesh nearly all have links to each other: its halves are what
// should stay whole.
func bridged(r *gpu.Report) func(a, b int) bool {
	return func(a, b int) bool {
		if r.Links.Kind != gpu.Bridge {
			return false
		}
		for _, p := range r.Links.Pairs {
			if p.A == a && p.B == b {
				return true
			}
		}
		return false
	}
}
