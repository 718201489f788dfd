// Package screen writes to a terminal or to a file: lines that stay, and a picture that is redrawn in place.
//
// Purpose: the same demo is watched by people and kept in logs of CI. Where the output is no terminal, there are no colours
// and no pictures, and lines are as they come.
package screen

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// textWidth is how wide text is where the terminal is wider, or where there is none: it is read more easily so.
const textWidth = 100

// Screen is where the demo is seen. Its methods may be called from several goroutines.
type Screen struct {
	out        io.Writer
	isTerminal bool
	hasColours bool
	size       func() (width, height int)

	mu    sync.Mutex
	drawn int // lines of the picture that is on the screen
}

// New returns a screen on a file; it asks the file whether it is a terminal. Colours are off where NO_COLOR is set.
func New(file *os.File) *Screen {
	s := &Screen{out: file, size: func() (int, int) { return textWidth, 0 }}
	if term.IsTerminal(int(file.Fd())) {
		s.isTerminal, s.hasColours = true, os.Getenv("NO_COLOR") == ""
		s.size = func() (int, int) {
			width, height, err := term.GetSize(int(file.Fd()))
			if err != nil || width < 1 || height < 1 {
				return 80, 24
			}
			return width, height
		}
	}
	return s
}

// IsTerminal is true if somebody watches.
func (s *Screen) IsTerminal() bool { return s.isTerminal }

// Size is how many columns and lines a picture may have. It is at least 40 columns.
func (s *Screen) Size() (width, height int) {
	width, height = s.size()
	return max(40, width-1), height - 1
}

// TextWidth is how many columns text may have.
func (s *Screen) TextWidth() int {
	width, _ := s.Size()
	return min(width, textWidth)
}

// Print writes lines that stay. A picture makes room for them.
func (s *Screen) Print(lines ...Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	s.erase(&b)
	for _, line := range lines {
		b.WriteString(s.text(line))
		b.WriteString("\n")
	}
	s.write(b.String())
}

// Printf writes plain text that stays, one line.
func (s *Screen) Printf(format string, args ...any) { s.Print(Text(format, args...)) }

// Draw draws a picture in the place of the last one; without a terminal it does nothing. The picture is cut to the screen.
func (s *Screen) Draw(lines []Line) {
	if !s.isTerminal {
		return
	}
	width, height := s.Size()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(lines) > height {
		lines = lines[:height]
	}
	var b strings.Builder
	if s.drawn == 0 {
		b.WriteString("\x1b[?25l") // no cursor
	} else {
		fmt.Fprintf(&b, "\x1b[%dA\r", s.drawn)
	}
	for _, line := range lines {
		b.WriteString(s.text(line.Cut(width)))
		b.WriteString("\x1b[K\n")
	}
	b.WriteString("\x1b[J") // what a longer picture left
	s.drawn = len(lines)
	s.write(b.String())
}

// Erase takes the picture away.
func (s *Screen) Erase() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	s.erase(&b)
	s.write(b.String())
}

// Keep leaves the picture where it is: what comes is written below it.
func (s *Screen) Keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drawn > 0 {
		s.drawn = 0
		s.write("\x1b[?25h")
	}
}

func (s *Screen) erase(b *strings.Builder) {
	if s.drawn > 0 {
		up := fmt.Sprintf("\x1b[%dA\r", s.drawn)
		// Line by line: a screen that is erased from its top on is kept, by some terminals, as if it had been text.
		b.WriteString(up + strings.Repeat("\x1b[K\n", s.drawn) + up + "\x1b[?25h")
		s.drawn = 0
	}
}

func (s *Screen) text(line Line) string {
	if s.hasColours {
		return line.coloured()
	}
	return line.String()
}

// write ignores errors: nobody is left to tell.
func (s *Screen) write(text string) { _, _ = io.WriteString(s.out, text) }
