// Package besteffort chooses GPUs as NVIDIA's device plugin does when nobody tells it otherwise.
//
// Purpose: the other side of package links' forecasts, on a real kubelet. It shares no code with it, nor any idea: it lists all
// cuts of the free GPUs in the plugin's order and keeps the first of the best. With cgo, a test holds it against NVIDIA's own
// code, which does not compile without.
//
// Cost: it grows with the number of cuts: some thousand for 8 GPUs, too many for 16.
package besteffort

import "github.com/phalanx-scheduler/phalanx/pkg/gpu"

// Policy is the plugin's policy on one node.
type Policy struct {
	report gpu.Report
	at     map[string]int // positions, by UUID
}

// New returns the policy on a node that is linked as its report says.
func New(r gpu.Report) *Policy {
	p := &Policy{report: r, at: map[string]int{}}
	for i := range r.GPUs {
		p.at[r.GPUs[i].UUID] = i
	}
	return p
}

// Prefer returns which of the free GPUs a container with so many gets. What scores the same is decided by their order. It
// returns fewer where the plugin would fail.
func (p *Policy) Prefer(free []string, size int) []string {
	switch {
	case size < 1 || size > len(free):
		return nil
	case size == 1:
		return free[:1]
	}
	padded := append([]string{}, free...)
	for len(padded)%size != 0 {
		padded = append(padded, nobody)
	}
	var best [][]string
	bestScore := 0
	eachCut(padded, size, nil, func(cut [][]string) {
		score := 0
		for _, set := range cut {
			score += p.Score(set)
		}
		if best == nil || score > bestScore {
			best, bestScore = append([][]string{}, cut...), score
		}
	})
	chosen := best[0]
	for _, set := range best[1:] {
		if p.Score(set) > p.Score(chosen) {
			chosen = set
		}
	}
	return without(chosen, nobody)
}

// nobody stands for a GPU that is not there, so that the cuts come out even. They are all in one set.
const nobody = ""

// eachCut calls for every way to cut GPUs into sets of one size. Each set begins with the first GPU that is left.
func eachCut(left []string, size int, sets [][]string, do func(cut [][]string)) {
	if len(left) == size {
		do(append(sets, left))
		return
	}
	absent := count(left, nobody)
	eachChoice(left[1:], size-1, nil, func(others []string) {
		set := append([]string{left[0]}, others...)
		if n := count(set, nobody); n > 0 && n < absent {
			return
		}
		eachCut(without(left, set...), size, append(sets[:len(sets):len(sets)], set), do)
	})
}

// eachChoice calls for every choice of so many, in order.
func eachChoice(from []string, size int, chosen []string, do func(chosen []string)) {
	if size == 0 {
		do(chosen)
		return
	}
	for i := 0; i+size <= len(from); i++ {
		eachChoice(from[i+1:], size-1, append(chosen[:len(chosen):len(chosen)], from[i]), do)
	}
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

func without(list []string, what ...string) []string {
	var out []string
	for _, s := range list {
		if count(what, s) == 0 {
			out = append(out, s)
		}
	}
	return out
}

// Score is what the plugin gives a set of GPUs: ten for each step that a pair is nearer on the bus, a hundred for each link.
func (p *Policy) Score(set []string) (score int) {
	p.eachPair(set, func(a, b int) {
		score += 10*int(p.report.Closeness(a, b)) + 100*min(p.links(a, b), 18)
	})
	return score
}

// Link is how the worst pair of a set is linked, in the words of the annotation phalanx.dev/gpu-link; "apart" if in none of them,
// and "" for less than two GPUs.
func (p *Policy) Link(set []string) string {
	worst := ""
	p.eachPair(set, func(a, b int) {
		if link := p.link(a, b); worst == "" || rank[link] < rank[worst] {
			worst = link
		}
	})
	return worst
}

var rank = map[string]int{"apart": 0, "same-numa": 1, "same-switch": 2, "nvlink": 3}

func (p *Policy) link(a, b int) string {
	r := &p.report
	switch near := r.Closeness(a, b); {
	case p.links(a, b) > 0 || r.Links.Kind.IsSwitched():
		return "nvlink"
	case near >= gpu.OneSwitch:
		return "same-switch"
	case near >= gpu.SameCPU:
		return "same-numa"
	}
	return "apart"
}

func (p *Policy) links(a, b int) int {
	for _, pair := range p.report.Links.Pairs {
		if pair.A == min(a, b) && pair.B == max(a, b) {
			return pair.Links
		}
	}
	return 0
}

func (p *Policy) eachPair(set []string, do func(a, b int)) {
	for i, one := range set {
		for _, other := range set[:i] {
			if one != nobody && other != nobody {
				do(p.at[one], p.at[other])
			}
		}
	}
}
