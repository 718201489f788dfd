package quality

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// WithSmall adds two small gangs after each job, spread over the time until the next one arrives. Their sizes take turns;
// their durations are those of jobs from all over the trace.
func WithSmall(jobs []trace.Job) []trace.Job {
	const perJob = 2
	var (
		pods    = []int{2, 4, 8, 16}
		gpus    = []int64{1, 2, 4} // as many as are coprime with the number of pods: every pair has its turn
		mixed   []trace.Job
		stride  = golden(len(jobs))
		between time.Duration
	)
	for i, j := range jobs {
		mixed = append(mixed, j)
		if i+1 < len(jobs) {
			between = jobs[i+1].Arrival - j.Arrival
		}
		for k := range perJob {
			n := i*perJob + k
			mixed = append(mixed, trace.Job{
				ID:       j.ID,
				Arrival:  j.Arrival + between*time.Duration(k+1)/(perJob+1),
				Duration: jobs[(n+1)*stride%len(jobs)].Duration,
				Pods:     pods[n%len(pods)], GPUsPerPod: gpus[n%len(gpus)],
			})
		}
	}
	return mixed
}

// golden returns the golden part of n: its multiples, modulo n, spread evenly however many there are.
func golden(n int) int { return int(float64(n) * (math.Sqrt(5) - 1) / 2) }

// Gangs makes gangs of the jobs, which come in the order of their arrival, so that they ask for load × so many GPUs while
// they arrive. The jobs come several times, each time rotated by the golden part of the trace's length. The next shift goes
// on with the rotations where the one before has stopped, so that no two have one in common.
func Gangs(jobs []trace.Job, gpus int, load float64, copies, shift int) []Gang {
	var asked float64 // GPUs × seconds
	for _, j := range jobs {
		asked += float64(j.GPUs()) * j.Duration.Seconds()
	}
	length := int(asked / (load * float64(gpus))) // seconds
	first, last := jobs[0].Arrival, jobs[len(jobs)-1].Arrival
	scale := float64(length) / (last - first).Seconds()

	var gangs []Gang
	for k := range copies {
		for _, j := range jobs {
			at := (int((j.Arrival-first).Seconds()*scale) + (shift*copies+k)*golden(length)) % length
			gangs = append(gangs, Gang{
				Members: j.Pods, GPUsPerMember: int(j.GPUsPerPod),
				Arrival:  time.Duration(k*length+at) * time.Second,
				Duration: max(time.Second, j.Duration.Round(time.Second)),
			})
		}
	}
	slices.SortStableFunc(gangs, func(a, b Gang) int { return cmp.Compare(a.Arrival, b.Arrival) })
	for i := range gangs {
		gangs[i].ID = i
	}
	return gangs
}
