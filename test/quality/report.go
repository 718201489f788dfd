package quality

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// Mix is jobs with a name.
type Mix struct {
	Name string
	Jobs []trace.Job
}

// Mixes returns the jobs of Kalos, as they are and with small gangs among them.
func Mixes(jobs []trace.Job) []Mix {
	return []Mix{{"Kalos", jobs}, {"Kalos with small gangs", WithSmall(jobs)}}
}

// legend says what the columns mean.
const legend = `Leaves and spines are means over the gangs of more than one member. Two bounds stand beside each: "now" is the fewest that any
placement could have had at that moment, given what this policy had left free; "empty" is the fewest on the empty fabric.
Each bound is for itself: the fewest leaves may take another spine. "In fewest" is the share of these gangs that stand
below the fewest spines possible at that moment, and below the fewest leaves that go with them.

Idle are GPUs that are free while any gang waits, stranded those that are free while a gang waits that asks for no more than
that; both as parts of all GPUs over the whole replay. The best of a column is bold.
`

// Report replays every mix at every load with every policy, and writes a Markdown table for each.
func Report(w io.Writer, hosts []trace.Host, mixes []Mix, loads []float64, copies int, policies []Policy) error {
	if _, err := fmt.Fprint(w, legend); err != nil {
		return err
	}
	gpus := len(hosts) * trace.GPUsPerHost
	for _, mix := range mixes {
		for _, load := range loads {
			gangs := Gangs(mix.Jobs, gpus, load, copies)
			scores := make([]Score, 0, len(policies))
			for _, p := range policies {
				run, err := Replay(hosts, gangs, p)
				if err != nil {
					return fmt.Errorf("%s at load %.1f: %w", mix.Name, load, err)
				}
				scores = append(scores, run.Score())
			}
			_, err := fmt.Fprintf(w, "\n### %s, load %.1f: %d gangs, %d of more than one member\n\n%s", mix.Name, load, scores[0].Gangs, scores[0].Multi, table(scores))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// column is a column of the table. Its goal is -1 if less is better, 1 if more is, 0 if it is a bound and no merit.
type column struct {
	title string
	goal  int
	value func(Score) float64
	text  string // the format
}

var columns = []column{
	{"leaves", -1, func(s Score) float64 { return s.Leaves }, "%.2f"},
	{"now", 0, func(s Score) float64 { return s.LeavesNow }, "%.2f"},
	{"empty", 0, func(s Score) float64 { return s.LeavesEmpty }, "%.2f"},
	{"spines", -1, func(s Score) float64 { return s.Spines }, "%.3f"},
	{"now", 0, func(s Score) float64 { return s.SpinesNow }, "%.3f"},
	{"empty", 0, func(s Score) float64 { return s.SpinesEmpty }, "%.3f"},
	{"in fewest", 1, func(s Score) float64 { return s.InFewest * 100 }, "%.1f %%"},
	{"idle", -1, func(s Score) float64 { return s.IdleShare * 100 }, "%.2f %%"},
	{"stranded", -1, func(s Score) float64 { return s.StrandedShare * 100 }, "%.2f %%"},
	{"GPU-hours stranded", -1, func(s Score) float64 { return s.StrandedGPUHours }, "%.0f"},
	{"mean wait", -1, hours(func(s Score) time.Duration { return s.MeanWait }), "%.2f h"},
	{"p95 wait", -1, hours(func(s Score) time.Duration { return s.P95Wait }), "%.2f h"},
	{"makespan", -1, hours(func(s Score) time.Duration { return s.Makespan }), "%.1f h"},
}

func hours(of func(Score) time.Duration) func(Score) float64 {
	return func(s Score) float64 { return of(s).Hours() }
}

// table has a row for each policy.
func table(scores []Score) string {
	var b strings.Builder
	b.WriteString("| policy |")
	rule := "\n|---|"
	for _, c := range columns {
		b.WriteString(" " + c.title + " |")
		rule += "--:|"
	}
	b.WriteString(rule + "\n")
	best := make([]string, len(columns))
	for i, c := range columns {
		best[i] = c.best(scores)
	}
	for _, s := range scores {
		b.WriteString("| " + s.Policy + " |")
		for i, c := range columns {
			// What reads the same is as good: a difference that is not shown is none.
			if text := fmt.Sprintf(c.text, c.value(s)); text == best[i] {
				b.WriteString(" **" + text + "** |")
			} else {
				b.WriteString(" " + text + " |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// best is what the best value of the column reads like, "" if none is better than another.
func (c column) best(scores []Score) string {
	if c.goal == 0 {
		return ""
	}
	values := make([]float64, len(scores))
	for i, s := range scores {
		values[i] = c.value(s)
	}
	if c.goal < 0 {
		return fmt.Sprintf(c.text, slices.Min(values))
	}
	return fmt.Sprintf(c.text, slices.Max(values))
}
