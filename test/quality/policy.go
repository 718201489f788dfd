package quality

import (
	"math/rand/v2"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// Policy decides where a gang goes.
type Policy interface {
	Name() string
	// Place returns a host for each member, or false if the gang has to wait. It is asked only for gangs that fit, and
	// does not change the cluster.
	Place(c *Cluster, g Gang) (hosts []int, ok bool)
}

// Policies returns all policies, in the order of the tables.
func Policies() []Policy {
	return []Policy{FirstFit{}, UpstreamDefault{}, UpstreamTopology{}, Kueue{}, Volcano{}, &Phalanx{}}
}

// FirstFit takes the first host by name that has room, for one member after the other.
//
// Generous: the replay names hosts after their leaf, so that the order of names follows the fabric.
type FirstFit struct{}

func (FirstFit) Name() string { return "first-fit" }

func (FirstFit) Place(c *Cluster, g Gang) ([]int, bool) {
	hosts := make([]int, 0, g.Members)
	for h, free := range c.Free {
		for ; free >= g.GPUsPerMember; free -= g.GPUsPerMember {
			if hosts = append(hosts, h); len(hosts) == g.Members {
				return hosts, true
			}
		}
	}
	return nil, false
}

// seed makes the ties that others break at random fall the same way each time.
const seed = 20260101

// shuffled returns 0 to n-1 in an order that depends on the gang alone. The first of equals in this order is a random one
// among them.
func shuffled(n int, g Gang) []int { return rand.New(rand.NewPCG(seed, uint64(g.ID))).Perm(n) }

// inside keeps the hosts of a domain.
func inside(d Domain, hosts []int) []int {
	kept := make([]int, 0, d.End-d.First)
	for _, h := range hosts {
		if h >= d.First && h < d.End {
			kept = append(kept, h)
		}
	}
	return kept
}

// fullest returns the domain that is the fullest once the gang is in it, among those that hold it, and false if none does.
// The score is used GPUs of capacity in steps of 1/scale, 0 for exactly; domains come in the order in which ties fall.
func fullest(c *Cluster, g Gang, domains []Domain, order []int, scale int) (Domain, bool) {
	best, bestUsed, bestCapacity := -1, 0, 1
	for _, i := range order {
		d := domains[i]
		if c.Slots(d, g.GPUsPerMember) < g.Members {
			continue
		}
		used, capacity := c.Used(d)+g.GPUs(), (d.End-d.First)*trace.GPUsPerHost
		if scale > 0 {
			used, capacity = used*scale/capacity, scale
		}
		if best < 0 || used*bestCapacity > bestUsed*capacity {
			best, bestUsed, bestCapacity = i, used, capacity
		}
	}
	if best < 0 {
		return Domain{}, false
	}
	return domains[best], true
}
