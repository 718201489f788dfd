package trace_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/test/demo/trace"
)

func kalos(t *testing.T) []trace.Job {
	t.Helper()
	file, err := os.Open("../testdata/kalos/jobs.csv")
	require.NoError(t, err)
	defer file.Close()
	jobs, err := trace.Read(file)
	require.NoError(t, err)
	return jobs
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
	plays := trace.Squeeze(kalos(t), 1)
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
		plays := trace.Squeeze(jobs, rapid.Float64Range(0.1, 10).Draw(t, "speed"))
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
	once, twice := trace.Squeeze(kalos(t), 1), trace.Squeeze(kalos(t), 2)
	for i := range once {
		require.InDelta(t, once[i].At.Seconds()/2, twice[i].At.Seconds(), 0.001)
		require.InDelta(t, once[i].RunFor.Seconds()/2, twice[i].RunFor.Seconds(), 0.001)
	}
}

func TestThePeakCountsNoJobTwice(t *testing.T) {
	second := time.Second
	totals := trace.Sum([]trace.Job{
		{Arrival: 0, Duration: 10 * second, Pods: 2, GPUsPerPod: 8},
		{Arrival: 5 * second, Duration: 5 * second, Pods: 1, GPUsPerPod: 4},
		{Arrival: 10 * second, Duration: second, Pods: 2, GPUsPerPod: 8}, // at the moment at which the others end
	})
	require.EqualValues(t, 20, totals.PeakGPUs)
	require.Equal(t, trace.Totals{}, trace.Sum(nil))
}

func TestABrokenTraceIsRefused(t *testing.T) {
	const header = "job_id,arrival_time,num_iteration,iteration_computing_time,iteration_networking_time,gpu_workers,gpu_per_worker\n"
	for name, test := range map[string]struct{ csv, want string }{
		"empty":            {"", "the trace is empty"},
		"without a column": {"job_id\n1\n", "the trace has no column arrival_time"},
		"with a word":      {header + "1,0,1,1,1,many,8\n", `job in line 2: gpu_workers: strconv.ParseFloat: parsing "many": invalid syntax`},
		"with no number":   {header + "1,NaN,1,1,1,1,8\n", "job in line 2: arrival_time: NaN is out of range"},
		"with a short row": {header + "1,0\n", "record on line 2: wrong number of fields"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := trace.Read(strings.NewReader(test.csv))
			require.EqualError(t, err, test.want)
		})
	}
}
