package quality

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// Gang is members that start together, or not at all.
type Gang struct {
	ID, Members   int
	GPUsPerMember int
	// Arrival counts from the beginning of the replay. Both times are whole seconds.
	Arrival, Duration time.Duration
}

// GPUs is what the whole gang asks for.
func (g Gang) GPUs() int { return g.Members * g.GPUsPerMember }

// Host is a host, with the indexes of the switches above it.
type Host struct {
	Name        string
	Leaf, Spine int
}

// Domain is the hosts below a switch: those from First up to, but without, End.
type Domain struct {
	Name       string
	First, End int
}

// Cluster is hosts in the order of their names, which along the tree of switches is the same, and what is free on them.
// Policies read it; only the replay changes it.
type Cluster struct {
	Hosts          []Host
	Leaves, Spines []Domain
	// Free is GPUs by host.
	Free []int
	// census counts hosts by their free GPUs.
	census [trace.GPUsPerHost + 1]int
}

// NewCluster makes a cluster whose hosts are all free.
func NewCluster(hosts []trace.Host) *Cluster {
	sorted := slices.SortedFunc(slices.Values(hosts), func(a, b trace.Host) int {
		return cmp.Or(cmp.Compare(a.Spine, b.Spine), cmp.Compare(a.Leaf, b.Leaf), cmp.Compare(a.Name, b.Name))
	})
	c := &Cluster{Free: make([]int, len(sorted))}
	for i, h := range sorted {
		c.Leaves = extend(c.Leaves, h.Leaf, i)
		c.Spines = extend(c.Spines, h.Spine, i)
		c.Hosts = append(c.Hosts, Host{Name: h.Name, Leaf: len(c.Leaves) - 1, Spine: len(c.Spines) - 1})
		c.Free[i] = trace.GPUsPerHost
	}
	c.census[trace.GPUsPerHost] = len(sorted)
	return c
}

// extend puts a host into the last domain, or into a new one if it is the first of its name.
func extend(domains []Domain, name string, host int) []Domain {
	if len(domains) == 0 || domains[len(domains)-1].Name != name {
		domains = append(domains, Domain{Name: name, First: host})
	}
	domains[len(domains)-1].End = host + 1
	return domains
}

// All is the domain that holds every host.
func (c *Cluster) All() Domain { return Domain{End: len(c.Hosts)} }

// Slots is how many members of so many GPUs find room in a domain.
func (c *Cluster) Slots(d Domain, gpusPerMember int) int {
	slots := 0
	for _, free := range c.Free[d.First:d.End] {
		slots += free / gpusPerMember
	}
	return slots
}

// Used is how many GPUs of a domain are not free.
func (c *Cluster) Used(d Domain) int {
	used := (d.End - d.First) * trace.GPUsPerHost
	for _, free := range c.Free[d.First:d.End] {
		used -= free
	}
	return used
}

// fits tells whether a gang finds room at all. It is exact: members are equal, and each needs one host only.
func (c *Cluster) fits(g Gang) bool {
	slots := 0
	for free, hosts := range c.census {
		slots += free / g.GPUsPerMember * hosts
	}
	return slots >= g.Members
}

// idle is how many GPUs are free.
func (c *Cluster) idle() int {
	idle := 0
	for free, hosts := range c.census {
		idle += free * hosts
	}
	return idle
}

// take places a gang, one host per member. An error says why that cannot be, and leaves the cluster as it is.
func (c *Cluster) take(g Gang, hosts []int) error {
	if len(hosts) != g.Members {
		return fmt.Errorf("gang %d has %d members, %d are placed", g.ID, g.Members, len(hosts))
	}
	for i, h := range hosts {
		if h < 0 || h >= len(c.Hosts) || c.Free[h] < g.GPUsPerMember {
			c.release(g, hosts[:i])
			return fmt.Errorf("gang %d: member %d does not fit on host %d", g.ID, i, h)
		}
		c.move(h, -g.GPUsPerMember)
	}
	return nil
}

// release gives back what a gang has taken.
func (c *Cluster) release(g Gang, hosts []int) {
	for _, h := range hosts {
		c.move(h, g.GPUsPerMember)
	}
}

func (c *Cluster) move(host, gpus int) {
	c.census[c.Free[host]]--
	c.Free[host] += gpus
	c.census[c.Free[host]]++
}
