package main

import (
	"fmt"
	"slices"
)

// The contenders, as the harness names them.
const (
	ours          = "ours"
	upstreamTAS   = "upstream-tas"
	upstreamGang  = "upstream-gang" // the same gangs, with no topology asked for
	ceiling       = "ceiling"       // binds round-robin and decides nothing
	oursPlain     = "ours-plain"
	upstreamPlain = "upstream-plain"
)

// trial is one process of the harness.
type trial struct{ contender, workload string }

func (t trial) String() string { return fmt.Sprintf("%s %s", t.workload, t.contender) }

// figure is one thing that is compared.
type figure struct {
	name     string // in the lines
	title    string // in the table
	workload string
	metric   string // as the harness reports it
	unit     string
	isRate   bool // more is better
	ours     string
	upstream string

	// What it should come to; 0 where nothing is asked.
	times     float64 // ours against upstream's
	atMost    float64
	ofCeiling float64
}

// plan is what is measured, and how often.
type plan struct {
	rounds  int
	trials  []trial
	figures []figure
}

func full() plan {
	small, large, plain := "750x4", "3x1000", "plain"
	gangs := []string{upstreamTAS, ours, upstreamGang, ceiling}
	return plan{
		rounds:  3,
		trials:  append(append(trials(small, gangs...), trials(large, gangs...)...), trials(plain, upstreamPlain, oursPlain)...),
		figures: append(gangFigures(small, large), plainFigures(plain)...),
	}
}

// quick leaves out what takes long and says little more.
func quick() plan {
	small, large := "250x4", "2x1000"
	gangs := []string{upstreamTAS, ours, ceiling}
	return plan{
		rounds:  1,
		trials:  append(trials(small, gangs...), trials(large, gangs...)...),
		figures: gangFigures(small, large),
	}
}

// only leaves out all workloads but one.
func (p plan) only(workload string) plan {
	p.trials = slices.DeleteFunc(slices.Clone(p.trials), func(t trial) bool { return t.workload != workload })
	p.figures = slices.DeleteFunc(slices.Clone(p.figures), func(f figure) bool { return f.workload != workload })
	return p
}

func trials(workload string, contenders ...string) []trial {
	list := make([]trial, 0, len(contenders))
	for _, c := range contenders {
		list = append(list, trial{contender: c, workload: workload})
	}
	return list
}

func gangFigures(small, large string) []figure {
	list := []figure{
		{name: "decision-1000", title: "decision for a 1,000-pod gang", workload: large, metric: "decision-ms", unit: "ms", times: 400, atMost: 55},
		{name: "decision-4", title: "decision for a 4-pod gang", workload: small, metric: "decision-ms", unit: "ms", times: 40, atMost: 2.4},
		{name: "attempt-1000", title: "whole attempt for a 1,000-pod gang", workload: large, metric: "attempt-ms", unit: "ms", times: 20},
		{name: "attempt-4", title: "whole attempt for a 4-pod gang", workload: small, metric: "attempt-ms", unit: "ms"},
		{name: "cpu-1000", title: "scheduler CPU per 1,000-pod gang, arrival to binding", workload: large, metric: "sched-cpu-s", unit: "s", atMost: 0.3},
		{name: "cpu-4", title: "scheduler CPU per 4-pod gang, arrival to binding", workload: small, metric: "sched-cpu-s", unit: "s"},
		{name: "pods-1000", title: "pods/s in gangs of 1,000", workload: large, metric: "pods/s", unit: "pods/s", isRate: true, times: 4, ofCeiling: 0.9},
		{name: "pods-4", title: "pods/s in gangs of 4", workload: small, metric: "pods/s", unit: "pods/s", isRate: true, times: 4, ofCeiling: 0.9},
	}
	for i := range list {
		list[i].ours, list[i].upstream = ours, upstreamTAS
	}
	return list
}

func plainFigures(workload string) []figure {
	return []figure{
		{name: "pods-plain", title: "pods/s of plain pods (SchedulingBasic)", workload: workload, metric: "pods/s", unit: "pods/s", isRate: true, times: 0.95, ours: oursPlain, upstream: upstreamPlain},
		{name: "cpu-plain", title: "scheduler CPU for all plain pods, arrival to binding", workload: workload, metric: "sched-cpu-s", unit: "s", ours: oursPlain, upstream: upstreamPlain},
	}
}
