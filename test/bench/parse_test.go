package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		output string
		want   []line
	}{
		"a line of the harness among its log": {
			output: "I1123 18:29:59.887634] Updated featureGates\nBenchmarkPerfScheduling/ours/3x1000-2   \t       1\t        61.5 decision-ms\t     250.0 pods/s\n--- BENCH: BenchmarkPerfScheduling/ours/3x1000-2\n    BenchmarkNoise\nPASS\n",
			want:   []line{{name: "PerfScheduling/ours/3x1000", result: result{"decision-ms": 61.5, "pods/s": 250}}},
		},
		"one core, so that the name has no suffix": {
			output: "BenchmarkSolve/pods=4/nodes=5000 \t 8000\t 150000 ns/op\n",
			want:   []line{{name: "Solve/pods=4/nodes=5000", result: result{"ns/op": 150000}}},
		},
		"several runs of one benchmark stay apart": {
			output: "BenchmarkSolve-2 10 100 ns/op\nBenchmarkSolve-2 10 120 ns/op\n",
			want: []line{
				{name: "Solve", result: result{"ns/op": 100}},
				{name: "Solve", result: result{"ns/op": 120}},
			},
		},
		"allocations beside the time": {
			output: "BenchmarkSolve-16 10 1.5e3 ns/op 64 B/op 2 allocs/op\n",
			want:   []line{{name: "Solve", result: result{"ns/op": 1500, "B/op": 64, "allocs/op": 2}}},
		},
		"no benchmark was run": {output: "PASS\nok  \texample\t0.1s\n"},
		"a benchmark failed":   {output: "--- FAIL: BenchmarkSolve\nBenchmarkSolve-2 \n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, parse(test.output)) })
	}
}

func TestMedian(t *testing.T) {
	tests := map[string]struct {
		values []float64
		want   float64
		isNone bool
	}{
		"one value":                         {values: []float64{7}, want: 7},
		"three values, the worst in front":  {values: []float64{90, 1, 2}, want: 2},
		"an even number has no middle":      {values: []float64{4, 1, 2, 3}, want: 2.5},
		"nothing was measured":              {isNone: true},
		"zero is a measurement like others": {values: []float64{0}, want: 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := median(test.values)
			assert.Equal(t, !test.isNone, ok)
			assert.Equal(t, test.want, got)
		})
	}
}
