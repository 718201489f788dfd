package replay

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/demo/manifest"
	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/demo/squeeze"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }

func TestDialectsTakeTurns(t *testing.T) {
	plays := []squeeze.Play{
		{Job: trace.Job{ID: 7, Pods: 2, GPUsPerPod: 8}, RunFor: 3 * time.Second},
		{Job: trace.Job{ID: 8, Pods: 1, GPUsPerPod: 4}, At: time.Second, RunFor: 4 * time.Second},
		{Job: trace.Job{ID: 9, Pods: 1, GPUsPerPod: 8}, At: 2 * time.Second, RunFor: 5 * time.Second},
	}
	selector := map[string]string{"spine": "P"}
	gangs := Gangs(plays, []manifest.Dialect{manifest.Volcano, manifest.Native}, "ns", selector)
	require.Equal(t, []Gang{
		{At: 0, Gang: manifest.Gang{Dialect: manifest.Volcano, Namespace: "ns", Name: "job-7", Members: 2, GPUsPerMember: 8, RunFor: 3 * time.Second, NodeSelector: selector}},
		{At: time.Second, Gang: manifest.Gang{Dialect: manifest.Native, Namespace: "ns", Name: "job-8", Members: 1, GPUsPerMember: 4, RunFor: 4 * time.Second, NodeSelector: selector}},
		{At: 2 * time.Second, Gang: manifest.Gang{Dialect: manifest.Volcano, Namespace: "ns", Name: "job-9", Members: 1, GPUsPerMember: 8, RunFor: 5 * time.Second, NodeSelector: selector}},
	}, gangs)
}

func aView() observe.View {
	key := func(dialect, name string) oracle.Gang {
		return oracle.Gang{Dialect: dialect, Namespace: "ns", Name: name}
	}
	leaves := func(n int) []string { return strings.Split(strings.Repeat("x ", n-1)+"x", " ") }
	return observe.View{
		At: at(41.3),
		Gangs: []observe.Gang{
			{Key: key("volcano", "job-1"), Members: 1, GPUs: 8, Created: 1, Bound: 1, Succeeded: 1, Ended: at(9)},
			{Key: key("volcano", "job-2"), Members: 64, GPUs: 512, Created: 64, Bound: 64, Running: 64, LastCreated: at(10), LastBound: at(10.4), Leaves: leaves(31)},
			{Key: key("coscheduling", "job-3"), Members: 128, GPUs: 1024, Created: 128, Bound: 60, LastCreated: at(11), Leaves: leaves(9)},
			{Key: key("native", "job-4"), Members: 128, GPUs: 1024, Created: 128, LastCreated: at(29), Because: "InsufficientGPUs: 128 members need 1024 nvidia.com/gpu, 400 are free on 50 nodes; 541 nodes excluded"},
			{Key: key("volcano", "job-5"), Members: 32, GPUs: 256, Created: 7},
			{Key: key("volcano", "job-6"), Members: 32, GPUs: 256},
		},
		Usage: observe.Usage{Total: 2448, Used: 992, Wanted: 2104},
	}
}

func picture(r *Replay, width, height int) []string {
	h := &history{used: []int64{0, 400, 1000, 2448}}
	var lines []string
	for _, line := range r.picture(aView(), h, 41300*time.Millisecond, width, height) {
		lines = append(lines, line.Cut(width).String())
	}
	return lines
}

func TestThePictureShowsWhoRunsAndWhoWaits(t *testing.T) {
	r := &Replay{LeastLeaves: func(members int) int { return members / 8 }}
	require.Equal(t, []string{
		"  gangs        ████████████████████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒··········  1 of 6 done, 1 running, 1 starting, 2 waiting",
		"  GPUs in use  ████████████████████████····································  992 of 2,448 GPUs, 2,104 wanted",
		"  41 s          ▁▃█                                                          GPUs in use, a mark each 2 s",
		"",
		"  gang     dialect       members   GPUs  state     leaf switches    wait",
		"  job-2    volcano            64    512  running    31, least  8   0.4 s",
		"  job-3    coscheduling   60/128  1,024  starting    9, least 16    30 s",
		"  job-4    native            128  1,024  waiting                    12 s  InsufficientGPUs: 128 members need 1024 nvidia.com/gpu, 400 are free on 50 nodes",
		"  job-5    volcano          7/32    256  arriving",
	}, picture(r, 160, 40))
}

func TestThePictureFitsASmallScreen(t *testing.T) {
	r := &Replay{LeastLeaves: func(members int) int { return members / 8 }}
	lines := picture(r, 79, 8)
	require.Len(t, lines, 8)
	require.Equal(t, "  gangs        ███▒▒▒▒▒··  1 of 6 done, 1 running, 1 starting, 2 waiting", lines[0])
	require.Equal(t, "  … and 2 more", lines[7])
}

func TestTheHistoryHasOneMarkForEachInterval(t *testing.T) {
	var h history
	for _, seconds := range []float64{0, 0.2, 1.9, 2, 2.2, 4.1} {
		view := aView()
		view.At = at(seconds)
		h.add(view)
	}
	require.Len(t, h.used, 3)
}
