// Package links foretells how well the GPUs that a pod will get on a node are linked.
//
// Purpose: the kubelet and NVIDIA's device plugin choose the GPUs, the scheduler only the node. The plugin's best-effort policy
// is known, so what it will choose from the free GPUs is known too, as far as it is not chance: [Links.Forecast]. The policy:
//
//	every pair of GPUs has a score: 10 across CPUs, 20 on one CPU, 30 on one host bridge, 40 over several
//	switches, 50 over one, 60 on one board, and 100 more for each direct NVLink
//
//	free GPUs 0 1 2 3 4, asked for 2:     {0 1} {2 3} {4}     {0 1} {2 4} {3}     {0 2} {1 3} {4}    …
//	  1. cut all free GPUs into sets of 2, and one of what is left over, in every way
//	  2. take the cut whose pairs, those inside a set, score the most together
//	  3. of that cut, give the pod the set that scores the most
//
// Links to NVSwitches score nothing, since the plugin looks for the GPU at their other end. Of cuts, and of sets, that score the
// same it takes the first, in an order that the kubelet draws by lot: so a [Forecast] has a least and a most, often the same.
//
// The policy has a flaw, and the forecast has it too: the set of what is left over may score more than any whole one. The
// plugin then answers with too few GPUs, or crashes, and the pod fails at the kubelet: see [Forecast.MayFail].
//
// What it misses: versions of the plugin that lose the best cut of 13 GPUs or more, asked for 2, while they look on; old ones, which
// score no direct links between two GPUs with more than twelve; policies other than the default; a kubelet whose topology manager narrows the choice to one NUMA node first.
//
// Invariants: the same links, free GPUs and count give the same forecast. A [Links] never changes and is comparable: nodes
// with equal Links share forecasts. A [Forecaster] belongs to one goroutine.
//
// Of several pods that want as many GPUs each, and are served in any order, [Links.ForecastAmong] tells what all of them get.
//
// Cost: with n free GPUs at most 3^n/2 steps, each a few nanoseconds: some thousand for 8, some million for 16, which is what a
// [Forecaster] remembers for. More than [MaxGPUs] are not tried.
package links

import (
	"cmp"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// MaxGPUs bounds the work. The plugin itself does not come to an end for many more.
const MaxGPUs = 16

// Kind is how two GPUs are linked at least, worst first.
type Kind uint8

// The kinds.
const (
	// Apart: the way leads over other CPUs, or is unknown.
	Apart Kind = iota
	// SameNUMA: on one NUMA node.
	SameNUMA
	// SameSwitch: behind one PCI switch.
	SameSwitch
	// NVLink: direct, or through NVSwitches.
	NVLink
	// Alone: there is but one GPU, to which no wish applies.
	Alone
)

var kindWords = [...]string{"apart", "same-numa", "same-switch", "nvlink", "alone"}

func (k Kind) String() string { return kindWords[k] }

// Quality is how well a set of GPUs is linked.
type Quality struct {
	// Kind is that of the worst pair.
	Kind Kind
	// Score is what the device plugin gives the set: the sum over its pairs.
	Score int
}

// Compare orders by kind, then by score, worst first.
func (q Quality) Compare(other Quality) int {
	return cmp.Or(cmp.Compare(q.Kind, other.Kind), cmp.Compare(q.Score, other.Score))
}

// Set is GPUs of a node by position in its report: bit i is GPU i.
type Set uint16

// link is between two GPUs.
type link struct {
	score uint16
	kind  Kind
}

// Links is how the GPUs of a node are linked.
type Links struct {
	count int
	// pairs has the link between a and b, a < b, at b(b-1)/2+a.
	pairs [MaxGPUs * (MaxGPUs - 1) / 2]link
}

// Of returns the links of a valid report, and false if there are too many GPUs.
func Of(r *gpu.Report) (Links, bool) {
	if len(r.GPUs) > MaxGPUs {
		return Links{}, false
	}
	l := Links{count: len(r.GPUs)}
	for b := range l.count {
		for a := range b {
			*l.between(a, b) = linkOf(r, a, b)
		}
	}
	for _, p := range r.Links.Pairs {
		at := l.between(p.A, p.B)
		at.kind = NVLink
		at.score += uint16(min(p.Links, mostScored)) * perLink
	}
	return l, true
}

const (
	perStep = 10
	perLink = 100
	// mostScored is the most links for which the plugin has a score; more count for as many.
	mostScored = 18
)

// linkOf is the link between two GPUs, but for direct NVLinks.
func linkOf(r *gpu.Report, a, b int) link {
	closeness := r.Closeness(a, b)
	out := link{score: uint16(closeness) * perStep}
	isOneNUMA := r.GPUs[a].NUMA >= 0 && r.GPUs[a].NUMA == r.GPUs[b].NUMA
	switch {
	case r.Links.Kind.IsSwitched() && !r.Links.IsDown && isSwitched(&r.GPUs[a]) && isSwitched(&r.GPUs[b]):
		out.kind = NVLink
	case closeness >= gpu.OneSwitch:
		out.kind = SameSwitch
	case closeness >= gpu.SameCPU || closeness == gpu.UnknownCloseness && isOneNUMA:
		out.kind = SameNUMA
	}
	return out
}

// isSwitched is true for a GPU that reaches the switches.
func isSwitched(g *gpu.GPU) bool { return g.Links > g.BadLinks }

func (l *Links) between(a, b int) *link {
	if a > b {
		a, b = b, a
	}
	return &l.pairs[b*(b-1)/2+a]
}

// Len counts the GPUs.
func (l *Links) Len() int { return l.count }

// Quality is that of these GPUs.
func (l *Links) Quality(set Set) Quality {
	q := Quality{Kind: Alone}
	for b := range l.count {
		for a := range b {
			if set>>a&1 == 1 && set>>b&1 == 1 {
				at := l.between(a, b)
				q.Kind, q.Score = min(q.Kind, at.kind), q.Score+int(at.score)
			}
		}
	}
	return q
}
