package gang

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

const (
	// maxSeats bounds how many members are remembered with their places, over all gangs.
	maxSeats = 200_000
	// maxReturning bounds how many members at a time are sent back to the places of those that they replace.
	maxReturning = 8
)

// seat is what a member and its replacement have in common.
type seat struct {
	role string
	rank int
}

// homes remembers on which node each seat of a gang was planned last. The zero value remembers nothing yet; a restart
// forgets.
type homes struct {
	gangs map[gang.Key]map[seat]string
	seats int
}

// remember notes where the members of a plan go, if there is one.
func (h *homes) remember(t *try) {
	if t.plan == nil {
		return
	}
	if h.gangs == nil || h.seats+len(t.plan) > maxSeats {
		h.gangs, h.seats = map[gang.Key]map[seat]string{}, 0
	}
	nodes := h.gangs[t.key]
	if nodes == nil {
		nodes = make(map[seat]string, len(t.plan))
		h.gangs[t.key] = nodes
		h.seats++ // so that gangs without ranks are bounded, too
	}
	before := len(nodes)
	for _, class := range t.classes {
		for _, pod := range class.members {
			place, isPlanned := t.plan[pod.UID]
			if rank, ok := gang.Rank(pod); ok && isPlanned {
				nodes[seat{class.role, rank}] = place.node
			}
		}
	}
	h.seats += len(nodes) - before
}

// of returns the node where the member that this one replaces was, "" if nothing is known of one.
func (h *homes) of(key gang.Key, role string, pod *v1.Pod) string {
	if rank, ok := gang.Rank(pod); ok {
		return h.gangs[key][seat{role, rank}]
	}
	return ""
}

// planReturn plans a few members of a running gang on the nodes of those that they replace. ok is false if one of them
// replaces nobody, or finds its place taken.
func (g *Gang) planReturn(ctx context.Context, t *try, p *problem) (_ *problem, solution placement.Plan, ok bool) {
	var single []class
	for _, c := range p.classes {
		for _, pod := range c.members {
			if g.homes.of(t.key, c.role, pod) == "" || len(single) == maxReturning {
				return nil, solution, false
			}
			single = append(single, class{role: c.role, members: []*v1.Pod{pod}, request: c.request, shares: c.shares})
		}
	}
	back := newProblem(klog.FromContext(ctx), p.cluster, single, len(single), nil)
	g.closeNodes(t, back)
	back.Required, back.Beside = p.Required, p.Beside
	for i := range back.classes {
		home, isThere := p.cluster.Fabric().Number(g.homes.of(t.key, back.classes[i].role, back.classes[i].pod()))
		if !isThere {
			return nil, solution, false
		}
		back.only(i, home)
	}
	solution, why := g.solve(ctx, back)
	return back, solution, why == (gang.Waiting{})
}
