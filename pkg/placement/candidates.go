package placement

import "github.com/phalanx-scheduler/phalanx/pkg/fabric"

// Candidate is a domain in which a gang may fit.
type Candidate struct {
	Depth, Domain int
	// First and Last bound its nodes: First <= node < Last.
	First, Last int
}

// maxNarrow bounds how many domains of a level narrower than the required one are candidates.
const maxNarrow = 8

// Candidates returns the domains that hold a gang as far as each class alone can tell, for a caller who knows of more that
// members take from each other than a Problem can say: the narrowest and tightest first, then all of the required
// depth, which is that of the domain to stay in if that is narrower.
func (s *Solver) Candidates(f *fabric.Fabric, p Problem) []Candidate {
	check(f, p)
	v := &s.view
	v.look(f, p)
	required := v.candidates()
	least := make([]int, len(p.Classes))
	for i, c := range p.Classes {
		least[i] = c.Minimum
	}
	if len(p.Classes) == 1 {
		least[0] = max(p.Minimum, p.Classes[0].Minimum)
	}
	var out []Candidate
	for depth := v.nodes; depth >= v.problem.Required; depth-- {
		domains := v.holders(depth, required, least)
		if depth > v.problem.Required && len(domains) > maxNarrow {
			domains = domains[:maxNarrow]
		}
		for _, domain := range domains {
			first, last := v.span(depth, domain)
			out = append(out, Candidate{depth, domain, first, last})
		}
	}
	return out
}
