package gang

import (
	"context"
	"fmt"
	"slices"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

// closeNodes keeps classes off the nodes that the GPU plugin's filter would turn away, so that the solver knows of all of them
// before it plans. The parts of a gang, each of which is a problem many times over, share what is made of it in one try.
func (g *Gang) closeNodes(t *try, p *problem) {
	if g.gpus == nil || !g.asksGPUs() {
		return
	}
	if t.closed == nil {
		t.closed = map[closing]*placement.Exclusions{}
	}
	epoch := g.gpus.Epoch() // before any answer
	for i := range p.classes {
		need, complaint := gpu.NeedOf(p.classes[i].pod(), t.group)
		if need.IsZero() || complaint != "" {
			continue
		}
		key := fmt.Sprintf("%+v", need)
		p.admission += key
		base := p.Classes[i].Excluded
		if len(base.By) == 0 {
			continue // there are no nodes
		}
		of := closing{&base.By[0], need}
		if t.closed[of] == nil {
			t.closed[of] = p.cluster.Close(base, key, epoch, func(info fwk.NodeInfo) string {
				reason, _ := g.gpus.Refusal(info, need)
				return reason
			})
		}
		p.Classes[i].Excluded = t.closed[of]
	}
}

// closing is what nodes are closed for: to whom their objects admit already, and who needs this.
type closing struct {
	admitted *uint8 // the first of what the cluster shares
	need     gpu.Need
}

// spare returns a plan that stands on no doubtful node, if there is one with as many members in as few domains of each level; else
// the plan as it is.
func (g *Gang) spare(ctx context.Context, p *problem, solution placement.Plan) placement.Plan {
	isDoubtful := func(to placement.Place) bool {
		return gpu.AsksForAny(p.classes[to.Class].pod()) && g.gpus.IsDoubtful(p.cluster.Info(to.Node))
	}
	if g.gpus == nil || !g.asksGPUs() || !slices.ContainsFunc(solution.Places, isDoubtful) {
		return solution
	}
	choosy := *p
	choosy.Classes, choosy.isOwn = slices.Clone(p.Classes), slices.Clone(p.isOwn)
	for i := range choosy.Classes {
		if !gpu.AsksForAny(p.classes[i].pod()) {
			continue
		}
		choosy.Classes[i].Excluded = p.cluster.Close(p.Classes[i].Excluded, "doubtful", g.gpus.Epoch(), func(info fwk.NodeInfo) string {
			if g.gpus.IsDoubtful(info) {
				return "doubtful GPUs"
			}
			return ""
		})
	}
	better, refusal := g.solveOnce(&choosy)
	if refusal != nil || better.Members() < solution.Members() || slices.Compare(better.Cost.Domains, solution.Cost.Domains) > 0 {
		return solution
	}
	if rejected, why := g.ask(ctx, &choosy, better, false); rejected > 0 || why != (gang.Waiting{}) {
		return solution // what the filters know is worth no further search
	}
	return better
}

// asksGPUs is true unless the profile leaves the GPU plugin's filter out.
func (g *Gang) asksGPUs() bool {
	lists, ok := g.handle.(interface{ ListPlugins() *config.Plugins })
	if !ok {
		return false
	}
	if g.hasGPUFilter == nil {
		isThere := slices.ContainsFunc(lists.ListPlugins().Filter.Enabled, func(p config.Plugin) bool { return p.Name == gpu.Name })
		g.hasGPUFilter = &isThere
	}
	return *g.hasGPUFilter
}
