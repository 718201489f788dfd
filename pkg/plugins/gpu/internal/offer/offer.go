package offer

import (
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/wish"
)

// Offer is what a node offers at one moment.
type Offer struct {
	*Node
	Taken
	// IsStale is true if the node's reporter was not heard of for too long: see package pulse.
	IsStale bool
}

// Free is how many GPUs the framework will let one more pod have.
func (o *Offer) Free() int { return max(0, o.Allocatable-o.Count) }

// Refusal is why a node does not take a pod; the zero value is that it does.
type Refusal struct {
	// Reason is the same text on every node.
	Reason string
	// IsCurable is true if it may take it once pods of others are gone.
	IsCurable bool
}

// The reasons.
var (
	recut      = Refusal{Reason: "node(s) had GPUs whose MIG instances are being reconfigured"}
	claimed    = Refusal{Reason: "node(s) had a GPU that a ResourceClaim holds and the device plugin could hand out again", IsCurable: true}
	unhealthy  = Refusal{Reason: "node(s) had an unhealthy GPU that a new pod could get"}
	down       = Refusal{Reason: "node(s) had GPUs whose links to each other are down"}
	unknown    = Refusal{Reason: "node(s) had GPUs of which it is not known whether they are as wished"}
	model      = Refusal{Reason: "node(s) had a GPU of another product than wished"}
	capability = Refusal{Reason: "node(s) had a GPU of an earlier compute capability than wished"}
	memory     = Refusal{Reason: "node(s) had a GPU with less free memory than wished"}
	apart      = Refusal{Reason: "node(s) had no GPUs left that are linked as required", IsCurable: true}
	unseen     = Refusal{Reason: "node(s) had GPUs left of which it is not known whether they are linked as required", IsCurable: true}
	short      = Refusal{Reason: "node(s) had GPUs left of which the device plugin may hand out too few", IsCurable: true}
)

// Refusal says why a pod may not come, as far as its GPUs go and apart from how many are free.
func (o *Offer) Refusal(need Need, f *Forecaster) Refusal {
	if o.isRecut {
		return recut
	}
	if o.report == nil {
		return o.byLabels(need)
	}
	p := o.pool()
	switch {
	case p.isClosed:
		return unhealthy
	case p.isClaimed:
		return claimed
	case o.report.isDown && need.Largest > 1:
		return down
	}
	if why := o.unfit(need, p); why != (Refusal{}) {
		return why
	}
	return o.badlyLinked(need, p, f)
}

// byLabels holds wishes against labels, where there is no report.
func (o *Offer) byLabels(need Need) Refusal {
	if need.Wish.IsZero() {
		return Refusal{}
	}
	if why := o.labels.unfit(need.Wish); why != (Refusal{}) {
		return why
	}
	switch {
	case need.MemoryMiB > 0 && o.labels.memoryMiB == 0, need.Link.IsRequired && need.Largest > 1:
		return unknown
	case need.MemoryMiB > o.labels.idleMiB():
		return memory
	}
	return Refusal{}
}

// unfit is why a GPU with these facts never fulfils a wish.
func (f *facts) unfit(w wish.Wish) Refusal {
	none := gpu.Capability{}
	switch {
	case w.Products != "" && f.product == "", w.Capability != none && f.capability == none:
		return unknown
	case !w.HasProduct(f.product):
		return model
	case !f.capability.IsAtLeast(w.Capability):
		return capability
	case f.memoryMiB > 0 && f.memoryMiB < w.MemoryMiB:
		return memory
	}
	return Refusal{}
}

// idleMiB is how much memory reports call free of such a GPU while nobody uses it.
func (f *facts) idleMiB() int { return gpu.RoundFreeMiB(f.memoryMiB, f.memoryMiB-1) }

// pool is the GPUs that the device plugin may hand out to one more pod.
type pool struct {
	free set
	// isClosed is true if one of them must not get pods, isClaimed if a claim holds one.
	isClosed, isClaimed bool
	// unlisted counts devices that it may hand out besides, of which the report does not tell.
	unlisted int
	// isListed is true if it may hand out each of free and nothing else, but for what pods that show nothing hold of them;
	// isExact if there are no such pods.
	isListed, isExact bool
}

func (o *Offer) pool() pool {
	r := o.report
	p := pool{free: o.whole() &^ o.held}
	// What the plugin counts and the report does not is missing from it, as far as the report says so.
	extra := o.Capacity - o.whole().len()
	missing := min(r.missing, extra)
	p.unlisted = max(0, extra-missing-o.foreign)
	// By so many free devices allocatable is below capacity: of those that pods hold they say themselves.
	withdrawn := max(0, o.Capacity-o.Allocatable-o.sick)
	bad := (p.free & r.bad).len() + missing
	p.isClosed = bad > withdrawn
	p.free &^= r.bad
	withdrawn = max(0, withdrawn-bad)
	p.isClaimed = p.free&o.claimed != 0
	p.free &^= o.claimed
	p.isListed = p.unlisted == 0 && withdrawn == 0
	p.isExact = p.isListed && o.hidden() == 0
	return p
}

// unfit is why a GPU that the plugin may hand out does not fulfil the wish.
func (o *Offer) unfit(need Need, p pool) Refusal {
	w := need.Wish
	w.Link = wish.Link{}
	if w.IsZero() {
		return Refusal{}
	}
	if p.unlisted > 0 {
		return unknown
	}
	inUse := 0
	for at := range p.free.positions {
		d := &o.report.gpus[at]
		if why := d.facts.unfit(w); why != (Refusal{}) {
			return why
		}
		switch {
		case w.MemoryMiB == 0:
		case o.IsStale && d.idleMiB() < w.MemoryMiB:
			return memory
		case !o.IsStale && d.freeMiB < w.MemoryMiB:
			inUse++
		}
	}
	if inUse > o.hiddenRunning {
		return memory
	}
	return Refusal{}
}

// badlyLinked is why a container with several GPUs would not be well off.
func (o *Offer) badlyLinked(need Need, p pool, f *Forecaster) Refusal {
	if need.Largest < 2 {
		return Refusal{}
	}
	out := o.outlook(need, p, f)
	switch {
	case out.mayFail:
		return short
	case !need.Link.IsRequired || out.kind >= need.Link.Kind:
		return Refusal{}
	case out.isKnown:
		return apart
	case o.report.links == nil || p.unlisted > 0:
		return unknown
	}
	return unseen
}

// outlook is how the GPUs of a pod's largest container will be linked at least.
type outlook struct {
	kind links.Kind
	// isKnown is true if it is known which GPUs are free; else kind is that of the worst choice.
	isKnown bool
	mayFail bool
}

// outlook foretells. Of a pod with GPUs in several containers only the first choice could be foretold: it gets the worst.
func (o *Offer) outlook(need Need, p pool, f *Forecaster) outlook {
	l := o.report.links
	if l == nil || p.unlisted > 0 || p.free.len() < need.Largest {
		return outlook{}
	}
	if others, isClear := o.rivals(need); isClear && p.isListed && need.Sets == 1 && !o.isDriven {
		if forecast, ok := f.forecast(o.report, p.free, need.Largest, others); ok {
			return outlook{kind: forecast.Least.Kind, isKnown: true, mayFail: forecast.MayFail}
		}
	}
	return outlook{kind: l.Quality(p.free.links()).Kind, isKnown: p.isExact}
}
