package summary

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/phalanx-scheduler/phalanx/test/demo/manifest"
	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }

func TestPercentilesAreValuesThatOccurred(t *testing.T) {
	var values []time.Duration
	for i := range 200 {
		values = append(values, time.Duration(i+1)*time.Second)
	}
	require.Equal(t, 100*time.Second, percentile(values, 50))
	require.Equal(t, 198*time.Second, percentile(values, 99))
	require.Equal(t, 60*time.Second, percentile(values[:60], 99), "of 60 it is the largest")
	require.Equal(t, 2*time.Second, percentile(values[:3], 50))
	require.Equal(t, time.Second, percentile(values, 0))
	require.Zero(t, percentile(nil, 50))
	require.Equal(t, Distribution{3, 2 * time.Second, 3 * time.Second}, distributionOf([]time.Duration{3 * time.Second, time.Second, 2 * time.Second}))
}

func TestRates(t *testing.T) {
	var moments []time.Time
	for i := range 10 { // one each second, from 0 to 9
		moments = append(moments, at(float64(i)))
	}
	for range 20 { // and 20 at once
		moments = append(moments, at(10))
	}
	overall, busiest := rates(moments)
	require.InDelta(t, 3.0, overall, 1e-9)
	require.InDelta(t, 20, busiest, 1e-9)
	overall, busiest = rates(moments[:1])
	require.Zero(t, overall+busiest)
}

// aView has a gang that ran, one that ran after a wait, and one that waits still.
func aView() observe.View {
	key := func(name string) oracle.Gang { return oracle.Gang{Dialect: "volcano", Namespace: "ns", Name: name} }
	return observe.View{
		At: at(60),
		Gangs: []observe.Gang{
			{Key: key("quick"), Members: 2, GPUs: 16, Created: 2, Bound: 2, Succeeded: 2, LastCreated: at(1), FirstBound: at(1), LastBound: at(1.5), Ended: at(9), Leaves: []string{"a"}, HadRoom: true},
			{Key: key("slow"), Members: 9, GPUs: 72, Created: 9, Bound: 9, Running: 9, LastCreated: at(2), FirstBound: at(11), LastBound: at(12), Leaves: []string{"a", "b", "c"}},
			{Key: key("never"), Members: 4, GPUs: 32, Created: 4, LastCreated: at(2)},
		},
		Usage: observe.Usage{Total: 100, Used: 72, Wanted: 104, MostUsed: 72, MostWanted: 120, Average: 50},
		Binds: []time.Time{at(1), at(1.5), at(11), at(12)},
	}
}

func leastLeaves(members int) int { return (members + 7) / 8 }

func TestASummarySaysWhatWasSeen(t *testing.T) {
	s := Of(aView(), oracle.New(oracle.DefaultGrace), leastLeaves)
	require.False(t, s.IsGood(), "a gang never ran")
	var lines []string
	for _, line := range s.Lines() {
		lines = append(lines, line.String())
	}
	require.Equal(t, []string{
		"  ✗ 2 gangs of 3 did not run.",
		"",
		"  gangs started whole                2 of 3, with 11 pods; 1 ran to their end",
		"  partial gangs                      0 seen half started for longer than 5 s; the longest was so for 0.00 s",
		"  overfull nodes                     0",
		"  bound pods told to wait            0",
		"",
		"  from the last member created to the last one bound",
		"    all gangs, with waiting for GPUs median 0.5 s, p99 10 s (2 gangs)",
		"    gangs that had room at once      median 0.5 s, p99 0.5 s (1 gang)",
		"  pods bound                         0 a second over the whole replay, 2 in its busiest second",
		"  leaf switches per gang             2.0 on average; an empty cluster could do with 1.5",
		"  GPUs in use                        50 % of 100 on average; at most 72 at once, when up to 120 were wanted",
	}, lines)
}

func TestASummaryIsGoodOnlyIfAllRanAndNothingWasWrong(t *testing.T) {
	view := aView()
	view.Gangs = view.Gangs[:1]
	judge := oracle.New(oracle.DefaultGrace)
	require.True(t, Of(view, judge, leastLeaves).IsGood())

	// A planted half start: one of two members is bound, and stays alone for six seconds.
	g := manifest.Gang{Dialect: manifest.Native, Namespace: "ns", Name: "half", Members: 2, GPUsPerMember: 8}
	judge.SetMinimum(at(0), g.Key(), g.Members)
	pod := g.Pod(0)
	pod.UID, pod.Spec.NodeName, pod.Status.Phase = "uid", "node", corev1.PodRunning
	judge.Observe(at(10), watch.Added, pod)
	view.At = at(14)
	require.True(t, Of(view, judge, leastLeaves).IsGood(), "within the grace")
	view.At = at(16)
	s := Of(view, judge, leastLeaves)
	require.False(t, s.IsGood())
	require.Equal(t, 1, s.HalfStarted)
	var text strings.Builder
	for _, line := range s.Lines() {
		text.WriteString(line.String() + "\n")
	}
	require.Contains(t, text.String(), "1 seen half started for longer than 5 s; the longest was so for 6.0 s")
	require.Contains(t, text.String(), "native ns/half was half started for 6s: at most 1 of 2 members were placed")
}
