package quality

import (
	"slices"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// Phalanx is the solver of this project, asked for nothing but a place for all members: no level is required. The zero value
// is ready.
type Phalanx struct {
	solver placement.Solver
	fabric *fabric.Fabric
	gpu    fabric.Resource
	// cluster is what the fabric was made of, free what it has been told.
	cluster *Cluster
	free    []int
	hosts   []int // by node number
}

func (*Phalanx) Name() string { return "Phalanx" }

func (p *Phalanx) Place(c *Cluster, g Gang) ([]int, bool) {
	p.follow(c)
	plan, refusal := p.solver.Solve(p.fabric, placement.Problem{
		Classes: []placement.Class{{
			Request: fabric.Request{{Resource: p.gpu, Quantity: int64(g.GPUsPerMember)}},
			Members: g.Members, Minimum: g.Members,
		}},
		Minimum: g.Members,
	})
	if refusal != nil {
		return nil, false
	}
	hosts := make([]int, 0, g.Members)
	for _, place := range plan.Places {
		hosts = append(hosts, slices.Repeat([]int{p.hosts[place.Node]}, place.Members)...)
	}
	return hosts, true
}

// follow tells the fabric what has changed.
func (p *Phalanx) follow(c *Cluster) {
	isNew := p.cluster != c
	if isNew {
		p.cluster, p.free = c, make([]int, len(c.Hosts))
		p.fabric = fabric.New("spine", "leaf")
		p.gpu = p.fabric.Resource("gpu")
	}
	byName := make(map[string]int, len(c.Hosts))
	for h, host := range c.Hosts {
		byName[host.Name] = h
		if isNew || p.free[h] != c.Free[h] {
			p.free[h] = c.Free[h]
			p.fabric.Set(fabric.Node{
				Name: host.Name, Domains: []string{c.Spines[host.Spine].Name, c.Leaves[host.Leaf].Name},
				Free: []int64{int64(c.Free[h])}, IsWhole: c.Free[h] == trace.GPUsPerHost,
			})
		}
	}
	if isNew {
		tree := p.fabric.Tree()
		p.hosts = make([]int, tree.Len())
		for n := range p.hosts {
			p.hosts[n] = byName[tree.Node(n)]
		}
	}
}
