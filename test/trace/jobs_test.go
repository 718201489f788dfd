package trace_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

func TestKalosIsWhatTheReadmeSays(t *testing.T) {
	jobs, err := trace.Kalos()
	require.NoError(t, err)
	totals := trace.Sum(jobs)
	require.Equal(t, trace.Totals{
		Jobs: 319, Pods: 12520, LargestPods: 128, LargestGPUs: 1024, PeakGPUs: 3568,
		Span: 7779474 * time.Second, Shortest: 21 * time.Second, Longest: 1564350 * time.Second,
	}, totals)
	perPod := map[int64]int{}
	for _, j := range jobs {
		perPod[j.GPUsPerPod]++
		require.True(t, j.GPUsPerPod == 8 || j.Pods == 1, "job %d: only whole hosts are taken by gangs", j.ID)
	}
	require.Equal(t, map[int64]int{1: 29, 2: 41, 8: 249}, perPod)
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
			_, err := trace.ReadJobs(strings.NewReader(test.csv))
			require.EqualError(t, err, test.want)
		})
	}
}
