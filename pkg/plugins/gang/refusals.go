package gang

import (
	"encoding/json"
	"fmt"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// maxRefusals bounds how many gangs are remembered with the problem that had no solution.
const maxRefusals = 10_000

// refusals remembers problems without a solution. A gang that asks the same again, while nothing happened that could help
// anybody, gets the same answer without solving. The zero value remembers nothing yet.
type refusals struct{ last map[gang.Key]refusal }

type refusal struct {
	asked string
	why   gang.Waiting
}

// of returns why the gang was refused when it asked the same, the zero value if it did not.
func (r *refusals) of(key gang.Key, asked string) gang.Waiting {
	if last, ok := r.last[key]; ok && last.asked == asked {
		refusalsRepeated.Inc()
		return last.why
	}
	delete(r.last, key)
	return gang.Waiting{}
}

func (r *refusals) remember(key gang.Key, asked string, why gang.Waiting) {
	if r.last == nil || len(r.last) >= maxRefusals {
		r.last = map[gang.Key]refusal{}
	}
	r.last[key] = refusal{asked, why}
}

// fingerprint is the same for the same problem on nodes that give nobody more room.
func (p *problem) fingerprint() string {
	bare := p.Problem
	bare.Classes = append([]placement.Class(nil), p.Classes...)
	for i := range bare.Classes {
		bare.Classes[i].Excluded = nil // the nodes' objects decide, a change of which may help
	}
	encoded, err := json.Marshal(bare)
	if err != nil { // cannot be: it is made of numbers and names
		encoded = fmt.Appendf(nil, "%+v", bare)
	}
	return fmt.Sprintf("%d %p %s %s %v", p.cluster.Helped(), p.cluster, p.admission, encoded, p.cluster.Held())
}
