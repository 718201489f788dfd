package trace

import (
	"math"
	"time"
)

// Play is a job in the demo's time.
type Play struct {
	Job
	// At counts from the beginning of the replay.
	At, RunFor time.Duration
}

// A gap or a run of ten times the length takes this much longer in the demo.
const (
	gapPerTenfold = 400 * time.Millisecond
	runPerTenfold = 5 * time.Second
	// runOffset lets the shortest job of the stretch, 26 s, run for 3 s.
	runOffset = -4 * time.Second
	// shortestRun is as exact as starts of pods are, which have whole seconds.
	shortestRun = time.Second
)

// Squeeze puts the jobs, which must be in the order of their arrival, into the demo's time. A speed of 2 halves all times.
func Squeeze(jobs []Job, speed float64) []Play {
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
