package quality

import (
	"slices"
	"time"
)

// Score is a replay in numbers. Those of leaves and spines are of gangs with more than one member, means over gangs.
type Score struct {
	Policy       string
	Gangs, Multi int

	Leaves, LeavesNow, LeavesEmpty float64
	Spines, SpinesNow, SpinesEmpty float64
	// InFewest is the share of gangs that stand below the fewest spines, and below the fewest leaves that go with them.
	InFewest float64

	// IdleShare and StrandedShare are parts of all GPUs over the whole replay.
	IdleShare, StrandedShare float64
	StrandedGPUHours         float64

	MeanWait, P95Wait, Makespan time.Duration
}

// Score adds up what became of the gangs.
func (r *Run) Score() Score {
	s := Score{Policy: r.Policy, Gangs: len(r.Outcomes), Makespan: r.End}
	var achieved, now, empty Span
	var inFewest int
	var waits []time.Duration
	var waited time.Duration
	for _, o := range r.Outcomes {
		waits = append(waits, o.Wait())
		waited += o.Wait()
		if o.Members < 2 {
			continue
		}
		s.Multi++
		achieved = achieved.plus(o.Span)
		now = now.plus(Span{Spines: o.Now.Spines, Leaves: o.Now.Leaves})
		empty = empty.plus(Span{Spines: o.Empty.Spines, Leaves: o.Empty.Leaves})
		if o.Span == o.Now.Best {
			inFewest++
		}
	}
	mean := func(sum int) float64 { return float64(sum) / float64(max(1, s.Multi)) }
	s.Leaves, s.LeavesNow, s.LeavesEmpty = mean(achieved.Leaves), mean(now.Leaves), mean(empty.Leaves)
	s.Spines, s.SpinesNow, s.SpinesEmpty = mean(achieved.Spines), mean(now.Spines), mean(empty.Spines)
	s.InFewest = mean(inFewest)

	capacity := float64(r.GPUs) * r.End.Seconds()
	s.IdleShare, s.StrandedShare = float64(r.Idle)/capacity, float64(r.Stranded)/capacity
	s.StrandedGPUHours = float64(r.Stranded) / time.Hour.Seconds()

	slices.Sort(waits)
	s.MeanWait = waited / time.Duration(len(waits))
	s.P95Wait = waits[(len(waits)*95+99)/100-1]
	return s
}

func (s Span) plus(t Span) Span {
	return Span{Spines: s.Spines + t.Spines, Leaves: s.Leaves + t.Leaves}
}
