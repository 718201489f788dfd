package quality

import (
	"fmt"
	"io"
	"math"
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

// legendOfShifts says what is different with several shifts.
const legendOfShifts = `
Every number is the mean over %d shifts, ± the standard deviation among them: the same jobs at other times. The best mean of a
column is bold, and with it what ties: a mean whose distance from the best, shift by shift, is within two standard errors.
`

// Report replays every mix at every load with every policy, and writes a Markdown table for each.
func Report(w io.Writer, hosts []trace.Host, mixes []Mix, loads []float64, copies, shifts int, policies []Policy) error {
	text := legend
	if shifts > 1 {
		text += fmt.Sprintf(legendOfShifts, shifts)
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	for _, mix := range mixes {
		for _, load := range loads {
			scores := make([][]Score, len(policies))
			for shift := range shifts {
				gangs := Gangs(mix.Jobs, len(hosts)*trace.GPUsPerHost, load, copies, shift)
				for i, p := range policies {
					run, err := Replay(hosts, gangs, p)
					if err != nil {
						return fmt.Errorf("%s at load %.1f: %w", mix.Name, load, err)
					}
					scores[i] = append(scores[i], run.Score())
				}
			}
			one := scores[0][0]
			_, err := fmt.Fprintf(w, "\n### %s, load %.1f: %d gangs, %d of more than one member\n\n%s", mix.Name, load, one.Gangs, one.Multi, table(scores))
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

// table has a row for each policy, given by its scores in each shift.
func table(scores [][]Score) string {
	var b strings.Builder
	b.WriteString("| policy |")
	rule := "\n|---|"
	for _, c := range columns {
		b.WriteString(" " + c.title + " |")
		rule += "--:|"
	}
	b.WriteString(rule + "\n")
	cells := make([][]string, len(columns))
	for i, c := range columns {
		cells[i] = c.cells(scores)
	}
	for p, s := range scores {
		b.WriteString("| " + s[0].Policy + " |")
		for i := range columns {
			b.WriteString(" " + cells[i][p] + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// cells are a column from top to bottom.
func (c column) cells(scores [][]Score) []string {
	values := make([][]float64, len(scores)) // by policy and shift
	best := 0
	for p := range scores {
		for _, s := range scores[p] {
			values[p] = append(values[p], c.value(s))
		}
		if float64(c.goal)*(mean(values[p])-mean(values[best])) > 0 {
			best = p
		}
	}
	cells := make([]string, len(scores))
	bestText := fmt.Sprintf(c.text, mean(values[best]))
	for p := range scores {
		text := fmt.Sprintf(c.text, mean(values[p]))
		// What reads the same is as good: a difference that is not shown is none.
		isBest := c.goal != 0 && (text == bestText || ties(values[p], values[best]))
		if len(values[p]) > 1 {
			number, unit, _ := strings.Cut(c.text, " ")
			text = fmt.Sprintf(number+" ±"+number, mean(values[p]), deviation(values[p]))
			if unit != "" {
				text += " " + strings.ReplaceAll(unit, "%%", "%")
			}
		}
		if isBest {
			text = "**" + text + "**"
		}
		cells[p] = text
	}
	return cells
}

// ties tells whether two policies differ by no more than two standard errors, shift by shift.
func ties(a, b []float64) bool {
	if len(a) < 2 {
		return false
	}
	apart := make([]float64, len(a))
	for i := range a {
		apart[i] = a[i] - b[i]
	}
	return math.Abs(mean(apart)) <= 2*deviation(apart)/math.Sqrt(float64(len(apart)))
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// deviation is the standard deviation of what the values are a sample of.
func deviation(values []float64) float64 {
	squares := 0.0
	for _, v := range values {
		squares += (v - mean(values)) * (v - mean(values))
	}
	return math.Sqrt(squares / float64(len(values)-1))
}
