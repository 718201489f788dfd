package replay

import (
	"fmt"
	"strings"
	"time"

	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
)

const (
	pictureInterval = 200 * time.Millisecond
	plainInterval   = 5 * time.Second
	// historyInterval is how much time a mark of the history of GPUs stands for.
	historyInterval = 2 * time.Second
	// pictureHead is how many lines of a picture are not gangs.
	pictureHead = 6
	// plainWidth is for pictures where there is no screen.
	plainWidth = 160
	labelWidth = 13
	mostBar    = 60
	// wordsWidth is for what stands beside a bar.
	wordsWidth = 56
)

// history is how many GPUs were in use, one value for each interval, and what has been shown of it.
type history struct {
	used     []int64
	next     time.Time
	nextLine time.Time // where nobody watches
}

func (h *history) add(view observe.View) {
	if view.At.Before(h.next) {
		return
	}
	h.used, h.next = append(h.used, view.Usage.Used), view.At.Add(historyInterval)
}

// show draws the picture, or writes a line where nobody watches.
func (r *Replay) show(view observe.View, h *history, elapsed time.Duration) {
	if !r.Screen.IsTerminal() {
		if view.At.Before(h.nextLine) {
			return
		}
		h.nextLine = view.At.Add(plainInterval)
		r.Screen.Printf("    %4.0f s   %s; %s", elapsed.Seconds(), gangsWords(view), usageWords(view.Usage))
		return
	}
	width, height := r.Screen.Size()
	r.Screen.Draw(r.picture(view, h, elapsed, width, height))
}

// picture is the bars and the table of the gangs that are here, in at most so many lines.
func (r *Replay) picture(view observe.View, h *history, elapsed time.Duration, width, height int) []screen.Line {
	lines := append(head(view, h, elapsed, width), screen.Line{})
	var here []observe.Gang
	for _, g := range view.Gangs {
		if s := g.State(); s != observe.Expected && s != observe.Done {
			here = append(here, g)
		}
	}
	hidden := max(0, len(here)-max(1, height-pictureHead))
	lines = append(lines, r.table(here[:len(here)-hidden], view.At)...)
	if hidden > 0 {
		lines = append(lines, screen.Styled(screen.Dim, "  … and %s more", screen.Number(hidden)))
	}
	return lines
}

// head is how far all gangs together have come: two bars, and the use of GPUs over time.
func head(view observe.View, h *history, elapsed time.Duration, width int) []screen.Line {
	bar := max(10, min(mostBar, width-labelWidth-wordsWidth))
	states, usage := view.Count(), view.Usage
	marks, per := screen.Sparkline(bar, h.used, usage.Total)
	return []screen.Line{
		labelled("gangs", screen.Bar(bar, int64(len(view.Gangs)),
			screen.Part{Count: int64(states[observe.Done]), Fill: '█', Style: screen.Blue},
			screen.Part{Count: int64(states[observe.Running]), Fill: '█', Style: screen.Green},
			screen.Part{Count: int64(states[observe.Starting] + states[observe.Waiting] + states[observe.Arriving]), Fill: '▒', Style: screen.Yellow},
		), gangsWords(view)),
		labelled("GPUs in use", screen.Bar(bar, usage.Total, screen.Part{Count: usage.Used, Fill: '█', Style: screen.Green}), usageWords(usage)),
		labelled(fmt.Sprintf("%.0f s", elapsed.Seconds()), screen.Line{{Text: fmt.Sprintf("%-*s", bar, marks), Style: screen.Green}},
			fmt.Sprintf("GPUs in use, a mark each %.0f s", (historyInterval*time.Duration(per)).Seconds())),
	}
}

func labelled(label string, bar screen.Line, words string) screen.Line {
	line := screen.Line{{Text: fmt.Sprintf("  %-*s", labelWidth, label), Style: screen.Dim}}
	return append(append(line, bar...), screen.Span{Text: "  " + words})
}

func gangsWords(view observe.View) string {
	states := view.Count()
	words := fmt.Sprintf("%d of %d done, %d running", states[observe.Done], len(view.Gangs), states[observe.Running])
	if n := states[observe.Starting]; n > 0 {
		words += fmt.Sprintf(", %d starting", n)
	}
	return words + fmt.Sprintf(", %d waiting", states[observe.Waiting]+states[observe.Arriving])
}

func usageWords(u observe.Usage) string {
	return fmt.Sprintf("%s of %s GPUs, %s wanted", screen.Number(u.Used), screen.Number(u.Total), screen.Number(u.Wanted))
}

var columns = []screen.Column{
	{Title: "  gang", Least: 9},
	{Title: "dialect", Least: 12},
	{Title: "members", IsRight: true},
	{Title: "GPUs", IsRight: true, Least: 5},
	{Title: "state", Least: 8},
	{Title: "leaf switches", IsRight: true},
	{Title: "wait", IsRight: true, Least: 6},
	{Title: ""},
}

// table has a row for each gang.
func (r *Replay) table(gangs []observe.Gang, now time.Time) []screen.Line {
	rows := make([][]screen.Span, len(gangs))
	for i, g := range gangs {
		state := g.State()
		members, leaves, wait, because := screen.Number(g.Members), "", "", ""
		var style screen.Style
		switch state {
		case observe.Arriving:
			members, style = fmt.Sprintf("%d/%d", g.Created, g.Members), screen.Dim
		case observe.Waiting:
			style, because = screen.Yellow, g.Because
		case observe.Starting:
			members, style = fmt.Sprintf("%d/%d", g.Bound, g.Members), screen.Cyan
		case observe.Running:
			style = screen.Green
		}
		if g.Bound > 0 {
			leaves = fmt.Sprintf("%d, least %2d", len(g.Leaves), r.LeastLeaves(g.Members))
		}
		if !g.LastCreated.IsZero() {
			wait = screen.Seconds(g.Wait(now))
		}
		// What is behind the semicolon tells of nodes that no gang here may use.
		because, _, _ = strings.Cut(because, ";")
		rows[i] = []screen.Span{
			{Text: "  " + g.Key.Name}, {Text: g.Key.Dialect, Style: screen.Dim}, {Text: members}, {Text: screen.Number(g.GPUs)},
			{Text: state.String(), Style: style}, {Text: leaves}, {Text: wait}, {Text: because, Style: screen.Dim},
		}
	}
	return screen.Table(columns, rows)
}
