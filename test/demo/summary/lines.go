package summary

import (
	"fmt"

	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

const (
	labelWidth = 34
	// mostViolations is how many are written out.
	mostViolations = 10
)

// Lines writes the summary for people.
func (s Summary) Lines() []screen.Line {
	verdict := func(isGood bool) screen.Style {
		if isGood {
			return screen.Green
		}
		return screen.Red
	}
	lines := []screen.Line{
		screen.Styled(verdict(s.IsGood()), "  %s", s.verdict()),
		{},
		fact("gangs started whole", verdict(s.Started == s.Gangs), "%d of %d, with %s pods; %d ran to their end", s.Started, s.Gangs, screen.Number(s.Pods), s.Finished),
		fact("partial gangs", verdict(s.HalfStarted == 0), "%d seen half started for longer than %.0f s; the longest was so for %s", s.HalfStarted, oracle.DefaultGrace.Seconds(), screen.Seconds(s.Longest)),
		fact("overfull nodes", verdict(s.Overfull == 0), "%d", s.Overfull),
		fact("bound pods told to wait", verdict(s.Misreported == 0), "%d", s.Misreported),
		{},
		screen.Text("  from the last member created to the last one bound"),
		fact("  all gangs, with waiting for GPUs", screen.Plain, "%s", s.Waits),
		fact("  gangs that had room at once", screen.Plain, "%s", s.AtOnce),
		fact("pods bound", screen.Plain, "%.0f a second over the whole replay, %.0f in its busiest second", s.PodsPerSecond, s.Busiest),
		fact("leaf switches per gang", screen.Plain, "%.1f on average; an empty cluster could do with %.1f", average(s.Leaves, s.Started), average(s.LeastLeaves, s.Started)),
		fact("GPUs in use", screen.Plain, "%.0f %% of %s on average; at most %s at once, when up to %s were wanted",
			100*s.Usage.Average/float64(max(1, s.Usage.Total)), screen.Number(s.Usage.Total), screen.Number(s.Usage.MostUsed), screen.Number(s.Usage.MostWanted)),
	}
	if len(s.Violations) > 0 {
		lines = append(lines, screen.Line{}, screen.Styled(screen.Red, "  What must not happen:"))
		for i, v := range s.Violations {
			if i == mostViolations {
				lines = append(lines, screen.Styled(screen.Red, "    … and %s more", screen.Number(len(s.Violations)-i)))
				break
			}
			lines = append(lines, screen.Styled(screen.Red, "    %s", v))
		}
	}
	return lines
}

// verdict is the summary in a sentence.
func (s Summary) verdict() string {
	switch {
	case len(s.Violations) > 0:
		return "✗ Something happened that must not: see below."
	case s.Finished < s.Gangs:
		return fmt.Sprintf("✗ %s of %d did not run.", screen.Plural(s.Gangs-s.Finished, "gang"), s.Gangs)
	}
	return "✓ Every gang started whole and ran, and no node ever held more than it has."
}

func fact(label string, style screen.Style, format string, args ...any) screen.Line {
	return screen.Line{{Text: fmt.Sprintf("  %-*s ", labelWidth, label)}, {Text: fmt.Sprintf(format, args...), Style: style}}
}

// String is "median 0.2 s, p99 1.4 s (32 gangs)".
func (d Distribution) String() string {
	if d.Count == 0 {
		return "no gang"
	}
	return fmt.Sprintf("median %s, p99 %s (%s)", screen.Seconds(d.Median), screen.Seconds(d.P99), screen.Plural(d.Count, "gang"))
}

func average(sum, count int) float64 { return float64(sum) / float64(max(1, count)) }
