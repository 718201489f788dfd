package gang

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
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

// returning returns the nodes of those whom members of a running gang replace, by member, for a few members at most: where a place is
// kept for the rank, else where the rank was planned last, else, for members without a rank, any place that is kept.
func (g *Gang) returning(t *try, p *problem) map[types.UID]int {
	kept := slices.Clone(g.places.Of(t.key))
	nodes := map[types.UID]int{}
	take := func(c int, pod *v1.Pod, isMine func(*repair.Place) bool) bool {
		i := slices.IndexFunc(kept, func(place *repair.Place) bool {
			return place.Role == p.classes[c].role && isMine(place) && p.isOpen(c, place.Node)
		})
		if i < 0 {
			return false
		}
		nodes[pod.UID], _ = p.cluster.Fabric().Number(kept[i].Node)
		kept = slices.Delete(kept, i, i+1)
		return true
	}
	for _, isRanked := range []bool{true, false} {
		for c := range p.classes {
			for _, pod := range p.classes[c].members {
				rank, ok := gang.Rank(pod)
				if ok != isRanked || len(nodes) == maxReturning {
					continue
				}
				hasHadIt := func(place *repair.Place) bool {
					other, ok := gang.Rank(place.Pod)
					return !isRanked || ok && other == rank
				}
				if home := g.homes.of(t.key, p.classes[c].role, pod); !take(c, pod, hasHadIt) && p.isOpen(c, home) {
					nodes[pod.UID], _ = p.cluster.Fabric().Number(home)
				}
			}
		}
	}
	return nodes
}

// isOpen is true for a node that has room for a member of a class and takes it, as far as the solver knows.
func (p *problem) isOpen(class int, node string) bool {
	number, isThere := p.cluster.Fabric().Number(node)
	return isThere && p.Classes[class].Excluded.By[number] == 0 && p.cluster.Fabric().Slots(p.Classes[class].Request)[number] > 0
}

// planReturn plans members of a running gang, those that replace others on the nodes of these. ok is false if nobody does, or if they
// find no place together.
func (g *Gang) planReturn(ctx context.Context, t *try, p *problem) (_ *problem, solution placement.Plan, ok bool) {
	nodes := g.returning(t, p)
	if len(nodes) == 0 {
		return nil, solution, false
	}
	var classes []class
	for _, c := range p.classes {
		rest := c
		rest.members = nil
		for _, pod := range c.members {
			if _, returns := nodes[pod.UID]; returns {
				classes = append(classes, class{role: c.role, members: []*v1.Pod{pod}, request: c.request, shares: c.shares})
			} else {
				rest.members = append(rest.members, pod)
			}
		}
		if len(rest.members) > 0 {
			classes = append(classes, rest)
		}
	}
	back := newProblem(klog.FromContext(ctx), p.cluster, classes, max(p.Minimum, len(nodes)), t.perRole)
	g.closeNodes(t, back)
	back.Required, back.Beside = p.Required, p.Beside
	for i := range back.classes {
		if home, returns := nodes[back.classes[i].pod().UID]; returns {
			back.Classes[i].Minimum = 1
			back.only(i, home)
		}
	}
	solution, why := g.solve(ctx, back)
	return back, solution, why == (gang.Waiting{})
}
