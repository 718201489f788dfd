package screen

import (
	"slices"
	"strings"
)

// Column is a column of a table.
type Column struct {
	Title   string
	IsRight bool // aligned to the right, as numbers are
	Least   int  // columns that it takes at least, so that a table that is drawn again and again stands still
}

// gap is between columns.
const gap = 2

// Table lays out rows of cells below their titles.
func Table(columns []Column, rows [][]Span) []Line {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = max(c.Least, Line{{Text: c.Title}}.Width())
		for _, row := range rows {
			widths[i] = max(widths[i], Line{row[i]}.Width())
		}
	}
	titles := make([]Span, len(columns))
	for i, c := range columns {
		titles[i] = Span{c.Title, Dim}
	}
	lines := make([]Line, 0, len(rows)+1)
	for _, row := range append([][]Span{titles}, rows...) {
		var line Line
		for i, cell := range row {
			pad := Span{Text: strings.Repeat(" ", widths[i]-Line{cell}.Width())}
			isLast := i == len(row)-1
			switch {
			case columns[i].IsRight:
				line = append(line, pad, cell)
			case isLast:
				line = append(line, cell)
			default:
				line = append(line, cell, pad)
			}
			if !isLast {
				line = append(line, Span{Text: strings.Repeat(" ", gap)})
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// Part is a part of a bar.
type Part struct {
	Count int64
	Fill  rune
	Style Style
}

// Bar draws parts of a whole side by side, in so many columns. Each ends where the sum of those up to it belongs, so that
// the whole bar is never longer or shorter than it should be. A part that exists shows, if there is room.
func Bar(width int, whole int64, parts ...Part) Line {
	var line Line
	var sum int64
	drawn := 0
	for _, p := range parts {
		sum += p.Count
		end := drawn
		if whole > 0 {
			end = min(width, int((sum*int64(width)+whole/2)/whole))
		}
		if p.Count > 0 && end <= drawn {
			end = min(width, drawn+1)
		}
		if end > drawn {
			line = append(line, Span{strings.Repeat(string(p.Fill), end-drawn), p.Style})
			drawn = end
		}
	}
	return append(line, Span{strings.Repeat("·", width-drawn), Dim})
}

// Sparkline draws values between 0 and most in at most so many columns. Each mark stands for as many values as it takes,
// and shows their mean.
func Sparkline(width int, values []int64, most int64) (marks string, valuesPerMark int) {
	levels := []rune(" ▁▂▃▄▅▆▇█")
	per := max(1, (len(values)+width-1)/width)
	var b strings.Builder
	for some := range slices.Chunk(values, per) {
		var v int64
		for _, value := range some {
			v += value
		}
		v /= int64(len(some))
		level := 0
		if most > 0 && v > 0 {
			level = max(1, min(len(levels)-1, int((v*int64(len(levels)-1)+most/2)/most)))
		}
		b.WriteRune(levels[level])
	}
	return b.String(), per
}
