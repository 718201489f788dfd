package offer

import (
	"cmp"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
)

// Merits are how good it would be to put a pod on a node, each from 0 to 100.
type Merits struct {
	// Fit is the more, the fewer GPUs are left over.
	Fit int
	// WholeNodes is 0 if the pod would break a whole node, of which it needs but a part.
	WholeNodes int
	// WholeGroups is the less, the more bridged pairs, PCI switches and NUMA nodes it would have to break.
	WholeGroups int
	// WholeDomains is 0 if it would break a multi-node NVLink domain that nobody uses.
	WholeDomains int
	// Links is how its GPUs would be linked: against what it prefers, if it prefers anything.
	Links int
	// Health is the part of the free GPUs that nothing is known against.
	Health int
	// Freshness is more if there is a report than if there is none, and more then than if it is stale.
	Freshness int
}

const (
	most    = 100
	halfway = most / 2
)

// Merits says how good it would be to put a pod here that is not refused. isDomainWhole is true while nobody uses any node of
// the node's domain.
func (o *Offer) Merits(need Need, isDomainWhole bool, f *Forecaster) Merits {
	m := Merits{WholeNodes: most, WholeGroups: halfway, WholeDomains: most, Links: halfway, Health: most, Freshness: halfway}
	left := max(0, o.Free()-need.Count)
	if o.Capacity > 0 {
		m.Fit = most * max(0, o.Capacity-left) / o.Capacity
	}
	if o.Count == 0 && left > 0 {
		m.WholeNodes = 0
	}
	if o.Domain != "" && isDomainWhole {
		m.WholeDomains = 0
	}
	if o.report == nil {
		return m
	}
	m.Freshness = most
	if o.IsStale {
		m.Freshness = 0
	}
	p := o.pool()
	if p.isExact {
		m.WholeGroups = o.wholeGroups(need.Count, p.free)
	}
	m.Health = o.health(p.free)
	m.Links = o.linked(need, p, f)
	return m
}

// wholeGroups is how many of the levels of groups need not break one: the GPUs that are left over of groups that are broken
// already suffice for what is no whole number of groups.
//
// What it misses: the plugin draws lots for a single GPU, so a pod may break a pair though the node has a loose GPU.
func (o *Offer) wholeGroups(count int, free set) int {
	if len(o.report.groups) == 0 {
		return most
	}
	unbroken := 0
	for _, level := range o.report.groups {
		size, loose := 0, free
		for _, group := range level {
			size = max(size, group.len())
			if group&free == group {
				loose &^= group
			}
		}
		if count%size <= loose.len() {
			unbroken++
		}
	}
	return most * unbroken / len(o.report.groups)
}

// health is the part of free GPUs that nothing is known against: neither that they are degraded nor that memory is in use that no
// pod explains.
func (o *Offer) health(free set) int {
	if free == 0 {
		return most
	}
	flawed := (free & o.report.flawed).len()
	if !o.IsStale {
		flawed += max(0, (free&o.report.dirty&^o.report.flawed).len()-o.hiddenRunning)
	}
	return most * (free.len() - flawed) / free.len()
}

// IsDoubtful is true for a node whose report is stale, or where something is known against a GPU that is free.
func (o *Offer) IsDoubtful() bool {
	return o.report != nil && (o.IsStale || o.health(o.pool().free) < most)
}

// linked is how the pod's GPUs would be linked, of what it prefers or else of the best.
func (o *Offer) linked(need Need, p pool, f *Forecaster) int {
	if need.Largest < 2 {
		return most
	}
	out := o.outlook(need, p, f)
	if !out.isKnown && out.kind == links.Apart {
		return halfway
	}
	want := cmp.Or(need.Link.Kind, links.NVLink)
	return most * int(min(out.kind, want)) / int(want)
}
