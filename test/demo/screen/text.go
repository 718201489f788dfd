package screen

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Style is how a span looks on a terminal.
type Style string

// The styles. They add to the text's meaning only where the words say it too.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Blue   Style = "34"
	Cyan   Style = "36"
)

// Span is text in one style. Every rune is one column wide: that is up to who writes it.
type Span struct {
	Text  string
	Style Style
}

// Line is one line of text, without its end.
type Line []Span

// Text makes a plain line.
func Text(format string, args ...any) Line { return Line{{Text: fmt.Sprintf(format, args...)}} }

// Styled makes a line in one style.
func Styled(style Style, format string, args ...any) Line {
	return Line{{Text: fmt.Sprintf(format, args...), Style: style}}
}

// Width is the number of columns.
func (l Line) Width() int {
	width := 0
	for _, s := range l {
		width += utf8.RuneCountInString(s.Text)
	}
	return width
}

// Cut shortens a line to so many columns; what is cut shows as "…".
func (l Line) Cut(width int) Line {
	if l.Width() <= width {
		return l
	}
	var out Line
	room := width - 1
	for _, s := range l {
		if n := utf8.RuneCountInString(s.Text); n <= room {
			room -= n
			out = append(out, s)
			continue
		}
		return append(out, Span{string([]rune(s.Text)[:max(0, room)]) + "…", s.Style})
	}
	return out
}

// String is the line without its styles and without trailing blanks.
func (l Line) String() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.Text)
	}
	return strings.TrimRight(b.String(), " ")
}

// coloured is the line as a terminal shows it.
func (l Line) coloured() string {
	var b strings.Builder
	for _, s := range l {
		if s.Style == Plain || strings.TrimSpace(s.Text) == "" {
			b.WriteString(s.Text)
		} else {
			fmt.Fprintf(&b, "\x1b[%sm%s\x1b[0m", s.Style, s.Text)
		}
	}
	return b.String()
}

// Wrap breaks text into lines of at most so many columns, where there are blanks.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// Seconds writes a duration for people: "0.04 s", "3.2 s", "41 s", "2 min 5 s".
func Seconds(d time.Duration) string {
	s := d.Seconds()
	switch {
	case s < 0.0995:
		return fmt.Sprintf("%.2f s", s)
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 99.5:
		return fmt.Sprintf("%.0f s", s)
	}
	whole := int(d.Round(time.Second).Seconds())
	return fmt.Sprintf("%d min %d s", whole/60, whole%60)
}

// Number writes a count for people: "2,652".
func Number[T ~int | ~int64](n T) string {
	digits := fmt.Sprint(int64(n))
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Plural writes a count with its noun: "1 host", "847 hosts".
func Plural[T ~int | ~int64](n T, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "ch"):
		return Number(n) + " " + noun + "es"
	}
	return Number(n) + " " + noun + "s"
}
