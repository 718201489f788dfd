// Package summary says in numbers what the replay showed.
//
// Every number is computed from what was observed; percentiles are by nearest rank, so that each is a value that occurred.
package summary

import (
	"math"
	"slices"
	"time"

	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

// busyWindow is the time over which the most binds are looked for.
const busyWindow = time.Second

// Summary is what there is to say.
type Summary struct {
	Gangs, Started, Finished, Pods int
	// HalfStarted are the gangs that were half started for too long; Longest is the longest half start of any gang.
	HalfStarted int
	Longest     time.Duration
	Overfull    int
	Misreported int
	Violations  []oracle.Violation
	// Waits are of all started gangs, from the last member created to the last bound; AtOnce of those that had room.
	Waits, AtOnce Distribution
	// PodsPerSecond is from the first bind to the last, Busiest in the busiest second.
	PodsPerSecond, Busiest float64
	// Leaves and LeastLeaves are sums over the started gangs.
	Leaves, LeastLeaves int
	Usage               observe.Usage
}

// Of computes the summary of a replay. leastLeaves tells the fewest leaf switches that so many members can stand below.
func Of(view observe.View, judge *oracle.Judge, leastLeaves func(members int) int) Summary {
	s := Summary{Gangs: len(view.Gangs), Usage: view.Usage, Violations: judge.Violations(view.At), Longest: judge.LongestHalfStart(view.At)}
	for _, v := range s.Violations {
		switch v.(type) {
		case oracle.HalfStarted:
			s.HalfStarted++
		case oracle.Overfull:
			s.Overfull++
		case oracle.Misreported:
			s.Misreported++
		}
	}
	var waits, atOnce []time.Duration
	for _, g := range view.Gangs {
		s.Pods += g.Bound
		state := g.State()
		if state != observe.Running && state != observe.Done {
			continue
		}
		s.Started++
		if state == observe.Done {
			s.Finished++
		}
		waits = append(waits, g.Wait(view.At))
		if g.HadRoom {
			atOnce = append(atOnce, g.Wait(view.At))
		}
		s.Leaves += len(g.Leaves)
		s.LeastLeaves += leastLeaves(g.Members)
	}
	s.Waits, s.AtOnce = distributionOf(waits), distributionOf(atOnce)
	s.PodsPerSecond, s.Busiest = rates(view.Binds)
	return s
}

// IsGood is true if every gang ran, and nothing happened that must not.
func (s Summary) IsGood() bool {
	return s.Finished == s.Gangs && len(s.Violations) == 0
}

// Distribution describes durations.
type Distribution struct {
	Count       int
	Median, P99 time.Duration
}

func distributionOf(values []time.Duration) Distribution {
	slices.Sort(values)
	return Distribution{Count: len(values), Median: percentile(values, 50), P99: percentile(values, 99)}
}

// percentile returns the smallest of the sorted values that at least so many per cent of them do not exceed.
func percentile(sorted []time.Duration, percent float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(percent / 100 * float64(len(sorted))))
	return sorted[min(len(sorted), max(1, rank))-1]
}

// rates returns how many moments there are per second between the first and the last, and in the busiest window. The moments
// are in order.
func rates(moments []time.Time) (overall, busiest float64) {
	if len(moments) < 2 {
		return 0, 0
	}
	if span := moments[len(moments)-1].Sub(moments[0]).Seconds(); span > 0 {
		overall = float64(len(moments)) / span
	}
	first, most := 0, 0
	for last, at := range moments {
		for at.Sub(moments[first]) >= busyWindow {
			first++
		}
		most = max(most, last-first+1)
	}
	return overall, float64(most) / busyWindow.Seconds()
}
