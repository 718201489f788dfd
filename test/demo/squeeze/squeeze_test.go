package squeeze_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/test/demo/squeeze"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

func kalos(t *testing.T) []trace.Job {
	t.Helper()
	jobs, err := trace.Kalos()
	require.NoError(t, err)
	return squeeze.Busiest(jobs)
}

func TestTheStretchIsWhatTheDemoSays(t *testing.T) {
	jobs := kalos(t)
	require.Equal(t, 228, jobs[0].ID)
	require.Equal(t, 287, jobs[len(jobs)-1].ID)
	require.Equal(t, trace.Totals{
		Jobs: 60, Pods: 2652, LargestPods: 128, LargestGPUs: 1024, PeakGPUs: 3568,
		Span: 953482 * time.Second, Shortest: 25500 * time.Millisecond, Longest: 1564350 * time.Second,
	}, trace.Sum(jobs))
	for _, j := range jobs {
		require.EqualValues(t, 8, j.GPUsPerPod, "job %d: every pod takes a whole host", j.ID)
	}
}

func TestTheStretchFitsIntoTheDemo(t *testing.T) {
	plays := squeeze.Jobs(kalos(t), 1)
	require.Zero(t, plays[0].At)
	require.InDelta(t, 65, plays[len(plays)-1].At.Seconds(), 1, "the last arrival")
	for i, p := range plays {
		require.GreaterOrEqual(t, p.RunFor, 2900*time.Millisecond)
		require.LessOrEqual(t, p.RunFor, 27*time.Second)
		if i > 0 {
			require.Greater(t, p.At, plays[i-1].At)
		}
	}
}

func TestSqueezingKeepsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		second := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, 1e8).Draw(t, "seconds")) * time.Second
		})
		jobs := []trace.Job{{Duration: second.Draw(t, "d")}, {Duration: second.Draw(t, "d")}, {Duration: second.Draw(t, "d")}}
		for i := range jobs[1:] {
			jobs[i+1].Arrival = jobs[i].Arrival + second.Draw(t, "gap")
		}
		plays := squeeze.Jobs(jobs, rapid.Float64Range(0.1, 10).Draw(t, "speed"))
		for i, p := range plays {
			for _, q := range plays[i+1:] {
				require.LessOrEqual(t, p.At, q.At)
				if p.Duration <= q.Duration {
					require.LessOrEqual(t, p.RunFor, q.RunFor)
				}
			}
			require.GreaterOrEqual(t, p.RunFor, time.Second)
		}
	})
}

func TestATwiceAsFastReplayTakesHalfTheTime(t *testing.T) {
	once, twice := squeeze.Jobs(kalos(t), 1), squeeze.Jobs(kalos(t), 2)
	for i := range once {
		require.InDelta(t, once[i].At.Seconds()/2, twice[i].At.Seconds(), 0.001)
		require.InDelta(t, once[i].RunFor.Seconds()/2, twice[i].RunFor.Seconds(), 0.001)
	}
}
