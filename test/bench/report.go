package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// measured is a figure with its medians.
type measured struct {
	figure
	values map[string]float64 // by contender
}

func measure(f figure, s samples) measured {
	m := measured{figure: f, values: map[string]float64{}}
	for _, contender := range []string{f.ours, f.upstream, upstreamGang, ceiling} {
		if v, ok := s.median(trial{contender, f.workload}, f.metric); ok {
			m.values[contender] = v
		}
	}
	return m
}

// timesBetter is how many times better ours is than another contender, false where there is nothing to divide by.
func (m measured) timesBetter(other string) (float64, bool) {
	a, okA := m.values[m.ours]
	b, okB := m.values[other]
	if !m.isRate {
		a, b = b, a
	}
	if !okA || !okB || b == 0 {
		return 0, false
	}
	return a / b, true
}

// goals says what is asked, and whether it is met: "≥ 400 ×: met".
func (m measured) goals() string {
	var parts []string
	say := func(isMet bool, format string, args ...any) {
		verdict := "missed"
		if isMet {
			verdict = "met"
		}
		parts = append(parts, fmt.Sprintf(format, args...)+": "+verdict)
	}
	if m.times > 0 {
		better, ok := m.timesBetter(m.upstream)
		say(ok && better >= m.times, "≥ %s ×", number(m.times))
	}
	if m.atMost > 0 {
		value, ok := m.values[m.ours]
		say(ok && value <= m.atMost, "≤ %s %s", number(m.atMost), m.unit)
	}
	if m.ofCeiling > 0 {
		share, ok := m.timesBetter(ceiling)
		say(ok && share >= m.ofCeiling, "≥ %.0f %% of the ceiling", 100*m.ofCeiling)
	}
	return strings.Join(parts, ", ")
}

// writeTable writes the table as docs/benchmarks.md has it.
func writeTable(w io.Writer, p plan, s samples) {
	fmt.Fprintln(w, "| | upstream TAS | upstream gang, no topology | ceiling | Phalanx | against TAS | asked |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, f := range p.figures {
		m := measure(f, s)
		cell := func(contender string) string {
			if v, ok := m.values[contender]; ok {
				return number(v) + " " + f.unit
			}
			return ""
		}
		times := ""
		if better, ok := m.timesBetter(f.upstream); ok {
			times = number(better) + " ×"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", f.title, cell(f.upstream), cell(upstreamGang), cell(ceiling), cell(f.ours), times, m.goals())
	}
}

// writeLines writes one line per figure, for programs.
func writeLines(w io.Writer, p plan, s samples) {
	for _, f := range p.figures {
		m := measure(f, s)
		own, ok := m.values[f.ours]
		if !ok {
			continue
		}
		if better, ok := m.timesBetter(f.upstream); ok {
			fmt.Fprintf(w, "RATIO %s ours=%s%s upstream=%s%s ratio=%s\n", f.name, number(own), f.unit, number(m.values[f.upstream]), f.unit, number(better))
		} else {
			fmt.Fprintf(w, "FIGURE %s ours=%s%s\n", f.name, number(own), f.unit)
		}
		if share, ok := m.timesBetter(ceiling); ok && f.ofCeiling > 0 {
			fmt.Fprintf(w, "FIGURE %s-of-ceiling ours=%s%s ceiling=%s%s ratio=%s\n", f.name, number(own), f.unit, number(m.values[ceiling]), f.unit, number(share))
		}
	}
}

// writeSolver writes what the solver takes alone, which upstream has no counterpart of.
func writeSolver(w io.Writer, lines []line) {
	byName := map[string][]float64{}
	var names []string
	for _, l := range lines {
		ns, ok := l.result["ns/op"]
		if !ok {
			continue
		}
		if byName[l.name] == nil {
			names = append(names, l.name)
		}
		byName[l.name] = append(byName[l.name], ns)
	}
	for _, name := range names {
		if ns, ok := median(byName[name]); ok {
			fmt.Fprintf(w, "FIGURE %s ours=%sms\n", name, number(ns/1e6))
		}
	}
}

// number writes three digits that count, and all digits before the point.
func number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}
