// Package squeeze fits the time of real jobs into the demo's.
//
// Purpose: in the trace the jobs that the demo plays arrive over eleven days and run for 26 seconds to 18 days; the demo has
// a minute or two. No constant factor turns the one into the other: what shows the long runs at all leaves nothing of the
// short ones. So time is squeezed by its logarithm. Order is kept, jobs that came close together come close together,
// longer ones run longer; the proportions are not the real ones, and nothing that the demo measures pretends so.
package squeeze

import (
	"math"
	"slices"
	"time"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// Play is a job in the demo's time.
type Play struct {
	trace.Job
	// At counts from the beginning of the replay.
	At, RunFor time.Duration
}

// Busiest returns the jobs that the demo plays, 60 of them.
func Busiest(jobs []trace.Job) []trace.Job {
	return slices.DeleteFunc(slices.Clone(jobs), func(j trace.Job) bool { return j.ID < firstID || j.ID > lastID })
}

// firstID and lastID bound the busiest stretch of the Kalos trace.
const firstID, lastID = 228, 287

// A gap or a run of ten times the length takes this much longer in the demo.
const (
	gapPerTenfold = 400 * time.Millisecond
	runPerTenfold = 5 * time.Second
	// runOffset lets the shortest job of the stretch, 26 s, run for 3 s.
	runOffset = -4 * time.Second
	// shortestRun is as exact as starts of pods are, which have whole seconds.
	shortestRun = time.Second
)

// Jobs puts the jobs, which must be in the order of their arrival, into the demo's time. A speed of 2 halves all times.
func Jobs(jobs []trace.Job, speed float64) []Play {
	plays := make([]Play, len(jobs))
	var at time.Duration
	for i, j := range jobs {
		if i > 0 {
			at += scale(gapPerTenfold, math.Log10(1+(j.Arrival-jobs[i-1].Arrival).Seconds())/speed)
		}
		run := runOffset + scale(runPerTenfold, math.Log10(max(1, j.Duration.Seconds())))
		plays[i] = Play{Job: j, At: at, RunFor: max(shortestRun, scale(run, 1/speed)).Round(time.Millisecond)}
	}
	return plays
}

func scale(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }
