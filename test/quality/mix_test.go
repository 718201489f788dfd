package quality

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheLoadIsWhatItIsSaidToBe(t *testing.T) {
	_, mixes := realData(t)
	for _, mix := range mixes {
		for _, load := range []float64{0.5, 1.1} {
			const gpus, copies = 6776, 3
			gangs := Gangs(mix.Jobs, gpus, load, copies, 0)
			require.Len(t, gangs, copies*len(mix.Jobs))
			var asked float64
			for i, g := range gangs {
				require.Equal(t, i, g.ID)
				require.True(t, i == 0 || g.Arrival >= gangs[i-1].Arrival, "in the order of their arrival")
				require.Zero(t, g.Arrival%time.Second)
				require.Zero(t, g.Duration%time.Second)
				asked += float64(g.GPUs()) * g.Duration.Seconds()
			}
			length := gangs[len(gangs)-1].Arrival.Seconds()
			require.InDelta(t, load, asked/length/gpus, 0.02)
		}
	}
}

func TestShiftsAreOtherArrivalsOfTheSameJobs(t *testing.T) {
	_, mixes := realData(t)
	bySize := func(a, b Gang) int {
		return cmp.Or(cmp.Compare(a.Members, b.Members), cmp.Compare(a.GPUsPerMember, b.GPUsPerMember), cmp.Compare(a.Duration, b.Duration))
	}
	var first []Gang
	for shift := range 3 {
		gangs := Gangs(mixes[0].Jobs, 6776, 0.9, 2, shift)
		jobs := slices.SortedFunc(slices.Values(gangs), bySize)
		for i := range jobs {
			jobs[i].ID, jobs[i].Arrival = 0, 0
		}
		if shift == 0 {
			first = jobs
		}
		require.Equal(t, first, jobs)
		require.Equal(t, shift == 0, slices.Equal(gangs, Gangs(mixes[0].Jobs, 6776, 0.9, 2, 0)))
	}
}

func TestSmallGangsAreSmallAndReal(t *testing.T) {
	_, mixes := realData(t)
	jobs, mixed := mixes[0].Jobs, mixes[1].Jobs
	require.Len(t, mixed, 3*len(jobs))
	durations := map[time.Duration]bool{}
	for _, j := range jobs {
		durations[j.Duration] = true
	}
	sizes := map[[2]int64]int{}
	for i, j := range mixed {
		require.True(t, i == 0 || j.Arrival >= mixed[i-1].Arrival, "in the order of their arrival")
		if i%3 == 0 {
			require.Equal(t, jobs[i/3], j)
			continue
		}
		require.True(t, durations[j.Duration])
		sizes[[2]int64{int64(j.Pods), j.GPUsPerPod}]++
	}
	require.Len(t, sizes, 4*3, "every number of pods comes with every number of GPUs")
}
