package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// taken are three rounds in which ours decides in 50 ms, upstream in 22,500, and a third of the rounds was disturbed.
func taken() samples {
	s := samples{}
	for _, disturbance := range []float64{1, 1, 8} {
		s.add(trial{ours, "3x1000"}, result{"decision-ms": 50 * disturbance, "pods/s": 270 / disturbance, "sched-cpu-s": 0.4})
		s.add(trial{upstreamTAS, "3x1000"}, result{"decision-ms": 22500 * disturbance, "pods/s": 45 / disturbance})
		s.add(trial{ceiling, "3x1000"}, result{"decision-ms": 10, "pods/s": 360 / disturbance})
	}
	return s
}

func figures() []figure {
	return []figure{
		{name: "decision-1000", title: "decision", workload: "3x1000", metric: "decision-ms", unit: "ms", ours: ours, upstream: upstreamTAS, times: 400, atMost: 55},
		{name: "pods-1000", title: "pods/s", workload: "3x1000", metric: "pods/s", unit: "pods/s", isRate: true, ours: ours, upstream: upstreamTAS, times: 4, ofCeiling: 0.9},
		{name: "cpu-1000", title: "CPU", workload: "3x1000", metric: "sched-cpu-s", unit: "s", ours: ours, upstream: upstreamTAS, atMost: 0.3},
		{name: "decision-4", title: "never run", workload: "750x4", metric: "decision-ms", unit: "ms", ours: ours, upstream: upstreamTAS, times: 40},
	}
}

func TestLines(t *testing.T) {
	var out strings.Builder
	writeLines(&out, plan{figures: figures()}, taken())
	assert.Equal(t, `RATIO decision-1000 ours=50ms upstream=22500ms ratio=450
RATIO pods-1000 ours=270pods/s upstream=45pods/s ratio=6
FIGURE pods-1000-of-ceiling ours=270pods/s ceiling=360pods/s ratio=0.75
FIGURE cpu-1000 ours=0.4s
`, out.String())
}

func TestSolverLines(t *testing.T) {
	var out strings.Builder
	writeSolver(&out, parse("BenchmarkSolve/pods=4-2 1 150000 ns/op\nBenchmarkSolve/pods=1000-2 1 2e7 ns/op\nBenchmarkSolve/pods=4-2 1 170000 ns/op\nBenchmarkSolve/pods=4-2 1 160000 ns/op\n"))
	assert.Equal(t, "FIGURE Solve/pods=4 ours=0.16ms\nFIGURE Solve/pods=1000 ours=20ms\n", out.String())
}

func TestTable(t *testing.T) {
	var out strings.Builder
	writeTable(&out, plan{figures: figures()}, taken())
	rows := strings.Split(strings.TrimSpace(out.String()), "\n")
	assert.Equal(t, []string{
		"| decision | 22500 ms |  | 10 ms | 50 ms | 450 × | ≥ 400 ×: met, ≤ 55 ms: met |",
		"| pods/s | 45 pods/s |  | 360 pods/s | 270 pods/s | 6 × | ≥ 4 ×: met, ≥ 90 % of the ceiling: missed |",
		"| CPU |  |  |  | 0.4 s |  | ≤ 0.3 s: missed |",
		"| never run |  |  |  |  |  | ≥ 40 ×: missed |",
	}, rows[2:])
}

func TestPlansMeasureWhatTheyCompare(t *testing.T) {
	require.Empty(t, full().only("4x1000").trials)
	for name, p := range map[string]plan{"full": full(), "quick": quick(), "one workload": full().only("3x1000")} {
		t.Run(name, func(t *testing.T) {
			require.NotEmpty(t, p.figures)
			for _, f := range p.figures {
				for _, contender := range []string{f.ours, f.upstream} {
					require.Contains(t, p.trials, trial{contender, f.workload}, "for %s", f.name)
				}
				if f.ofCeiling > 0 {
					require.Contains(t, p.trials, trial{ceiling, f.workload}, "for %s", f.name)
				}
			}
		})
	}
}

func TestNumber(t *testing.T) {
	for value, want := range map[float64]string{22504.4: "22504", 99.5: "99.5", 2.3456: "2.35", 0.1639: "0.164", 0: "0"} {
		assert.Equal(t, want, number(value))
	}
}
