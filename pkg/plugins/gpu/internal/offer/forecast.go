package offer

import (
	"sync"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
)

// Forecaster foretells how the GPUs that a pod will get are linked, for many goroutines. Nodes of one kind share its work, and
// each report remembers the answers for its own node, so that hardly anybody waits for another. The zero value is ready.
type Forecaster struct {
	mu    sync.Mutex
	known links.Forecaster
}

// forecast foretells what a pod gets, or the worst off of several that want as many.
func (f *Forecaster) forecast(r *report, free set, count, others int) (links.Forecast, bool) {
	q := question{free, count, others}
	a, isKnown := r.answers.get(q)
	if !isKnown {
		f.mu.Lock()
		a.forecast, a.ok = f.known.ForecastAmong(r.links, free.links(), count, others)
		f.mu.Unlock()
		r.answers.put(q, a)
	}
	return a.forecast, a.ok
}

// maxAnswers bounds what a report remembers: its node's free GPUs are the same for most of the questions.
const maxAnswers = 32

// answers is what was foretold for one node.
type answers struct {
	mu    sync.Mutex
	known map[question]answer
}

type question struct {
	free          set
	count, others int
}

type answer struct {
	forecast links.Forecast
	ok       bool
}

func (a *answers) get(q question) (answer, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known, ok := a.known[q]
	return known, ok
}

func (a *answers) put(q question, known answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) >= maxAnswers {
		a.known = map[question]answer{}
	}
	a.known[q] = known
}
