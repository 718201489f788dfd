package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// result is what one benchmark line says, by unit.
type result map[string]float64

// String is for whoever watches: the units that plans ask for.
func (r result) String() string {
	var parts []string
	for _, unit := range slices.Sorted(maps.Keys(r)) {
		if slices.Contains([]string{"attempt-ms", "attempts", "bind-cpu-s", "decision-ms", "pods/s", "process-cpu-s", "sched-cpu-s"}, unit) {
			parts = append(parts, fmt.Sprintf("%s %s", number(r[unit]), unit))
		}
	}
	return strings.Join(parts, ", ")
}

// line is one line of `go test -bench` output.
type line struct {
	name string // without "Benchmark" and the number of cores
	result
}

// cores is what go test appends to the name where there is more than one.
var cores = regexp.MustCompile(`-\d+$`)

// parse finds the benchmark lines in the output of `go test -bench`: the name, how often it ran, and pairs of value and unit.
func parse(output string) []line {
	var lines []line
	for text := range strings.Lines(output) {
		fields := strings.Fields(text)
		if len(fields) < 4 || len(fields)%2 != 0 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		if _, err := strconv.Atoi(fields[1]); err != nil {
			continue
		}
		l := line{name: cores.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), ""), result: result{}}
		for pair := range slices.Chunk(fields[2:], 2) {
			if value, err := strconv.ParseFloat(pair[0], 64); err == nil {
				l.result[pair[1]] = value
			}
		}
		lines = append(lines, l)
	}
	return lines
}

// samples are the results of all rounds.
type samples map[trial][]result

func (s samples) add(t trial, r result) { s[t] = append(s[t], r) }

// median returns the middle of what was measured, false if nothing was.
func (s samples) median(t trial, metric string) (float64, bool) {
	var values []float64
	for _, r := range s[t] {
		if v, ok := r[metric]; ok {
			values = append(values, v)
		}
	}
	return median(values)
}

func median(values []float64) (float64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2, true
	}
	return sorted[middle], true
}
