package quality

import (
	"cmp"
	"slices"
)

// Kueue is Topology Aware Scheduling's BestFit, with the leaf as the preferred level.
//
// Up: at the preferred level, the domain with the fewest slots that holds the gang. If none does, one level up. If no
// single domain of the top level does either, domains of the top level from the one with the most slots, and for the rest
// the one with the fewest slots that holds it.
// Down: at each level the children of all chosen domains together, again from the one with the most slots, and for the
// rest the one with the fewest slots that holds it, to the hosts.
// Ties go by name.
//
// Source: findLevelWithFitDomains, updateCountsToMinimumGeneric and sortedDomains in tas_flavor_snapshot.go of Kueue's main
// branch, and KEP 2724. Balanced placement is off by default there.
type Kueue struct{}

func (Kueue) Name() string { return "Kueue BestFit" }

func (Kueue) Place(c *Cluster, g Gang) ([]int, bool) {
	hosts := make([]Domain, len(c.Hosts))
	for h := range hosts {
		hosts[h] = Domain{First: h, End: h + 1}
	}
	leaves := bestFit(c, g, c.Leaves)
	if len(leaves) != 1 { // none, or more than one
		spines := bestFit(c, g, c.Spines)
		if len(spines) == 0 {
			return nil, false
		}
		leaves = bestFit(c, g, below(spines, c.Leaves))
	}
	var placed []int
	for _, host := range bestFit(c, g, below(leaves, hosts)) {
		for range min(c.Free[host.First]/g.GPUsPerMember, g.Members-len(placed)) {
			placed = append(placed, host.First)
		}
	}
	return placed, len(placed) == g.Members
}

// bestFit returns the domains to fill, in this order; none if all together do not hold the gang.
func bestFit(c *Cluster, g Gang, domains []Domain) []Domain {
	type candidate struct {
		Domain
		slots int
	}
	sorted := make([]candidate, len(domains))
	for i, d := range domains {
		sorted[i] = candidate{d, c.Slots(d, g.GPUsPerMember)}
	}
	slices.SortStableFunc(sorted, func(a, b candidate) int { return cmp.Compare(b.slots, a.slots) })
	var chosen []Domain
	rest := g.Members
	for i, d := range sorted {
		if d.slots >= rest {
			for _, e := range sorted[i:] {
				if e.slots >= rest && e.slots < d.slots {
					d = e
				}
			}
			return append(chosen, d.Domain)
		}
		chosen, rest = append(chosen, d.Domain), rest-d.slots
	}
	return nil
}

// below keeps the children of the parents.
func below(parents, children []Domain) []Domain {
	var kept []Domain
	for _, child := range children {
		if slices.ContainsFunc(parents, func(p Domain) bool { return child.First >= p.First && child.End <= p.End }) {
			kept = append(kept, child)
		}
	}
	return kept
}
