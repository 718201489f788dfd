package screen

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func plain(lines []Line) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line.String() + "\n")
	}
	return b.String()
}

func TestATableIsAlignedAndStandsStill(t *testing.T) {
	lines := Table([]Column{{Title: "gang"}, {Title: "GPUs", IsRight: true}, {Title: "state", Least: 9}, {Title: "wait", IsRight: true}}, [][]Span{
		{{Text: "job-1"}, {Text: "8"}, {Text: "running", Style: Green}, {Text: "0.2 s"}},
		{{Text: "job-228"}, {Text: "1,024"}, {Text: "waiting"}, {Text: "12 s"}},
	})
	require.Equal(t, strings.Join([]string{
		"gang      GPUs  state       wait",
		"job-1        8  running    0.2 s",
		"job-228  1,024  waiting     12 s",
		"",
	}, "\n"), plain(lines))
	for _, line := range lines {
		require.Equal(t, 32, line.Width())
	}
	require.Contains(t, lines[1].coloured(), "\x1b[32mrunning\x1b[0m")
	lines = Table([]Column{{Title: "gang"}, {Title: ""}}, [][]Span{{{Text: "job-1"}, {Text: "why it waits"}}, {{Text: "job-2"}, {}}})
	require.Equal(t, []int{7, 19, 7}, []int{lines[0].Width(), lines[1].Width(), lines[2].Width()}, "the last column ends with its text")
}

func TestBar(t *testing.T) {
	done, runs := Part{Fill: '█'}, Part{Fill: '▒'}
	for _, test := range []struct {
		done, runs int64
		want       string
	}{
		{0, 0, "··········"},
		{30, 0, "█████·····"},
		{30, 30, "█████▒▒▒▒▒"},
		{60, 0, "██████████"},
		{0, 1, "▒·········"},  // what exists shows
		{59, 1, "██████████"}, // unless there is no room
		{57, 1, "██████████"},
	} {
		done.Count, runs.Count = test.done, test.runs
		require.Equal(t, test.want, Bar(10, 60, done, runs).String(), "%d done, %d running", test.done, test.runs)
	}
}

func TestABarIsAlwaysAsWideAsItShould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width, whole := rapid.IntRange(0, 80).Draw(t, "width"), rapid.Int64Range(0, 5000).Draw(t, "whole")
		var parts []Part
		for range rapid.IntRange(0, 4).Draw(t, "parts") {
			parts = append(parts, Part{Count: rapid.Int64Range(0, 3000).Draw(t, "count"), Fill: '#'})
		}
		require.Equal(t, width, Bar(width, whole, parts...).Width())
	})
}

func TestSparkline(t *testing.T) {
	for _, test := range []struct {
		width  int
		values []int64
		most   int64
		marks  string
		per    int
	}{
		{10, []int64{0, 1, 50, 100}, 100, " ▁▄█", 1},
		{2, []int64{0, 1, 50, 100}, 100, " ▆", 2},
		{2, []int64{100, 0, 50}, 100, "▄▄", 2},
		{5, []int64{100, 200}, 100, "██", 1},
		{5, []int64{1}, 0, " ", 1},
		{5, nil, 100, "", 1},
	} {
		marks, per := Sparkline(test.width, test.values, test.most)
		require.Equal(t, test.marks, marks)
		require.Equal(t, test.per, per)
	}
}

func TestCut(t *testing.T) {
	line := Line{{Text: "InsufficientGPUs"}, {Text: ": 8 members", Style: Dim}}
	require.Equal(t, "InsufficientGPUs: 8 members", line.Cut(27).String())
	require.Equal(t, "InsufficientGPUs: …", line.Cut(19).String())
	require.Equal(t, "Insuffici…", line.Cut(10).String())
	rapid.Check(t, func(t *rapid.T) {
		line := Line{{Text: rapid.StringN(0, 20, -1).Draw(t, "a")}, {Text: rapid.StringN(0, 20, -1).Draw(t, "b")}}
		require.LessOrEqual(t, line.Cut(rapid.IntRange(1, 50).Draw(t, "width")).Width(), 50)
	})
}

func TestWrap(t *testing.T) {
	require.Equal(t, []string{"a gang starts", "all at once"}, Wrap("a gang  starts\nall at once", 13))
	require.Equal(t, []string{"Unbreakable", "word"}, Wrap("Unbreakable word", 4))
	require.Empty(t, Wrap("  ", 10))
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                       "0.00 s",
		42 * time.Millisecond:   "0.04 s",
		420 * time.Millisecond:  "0.4 s",
		9940 * time.Millisecond: "9.9 s",
		9960 * time.Millisecond: "10 s",
		41 * time.Second:        "41 s",
		125 * time.Second:       "2 min 5 s",
	} {
		require.Equal(t, want, Seconds(d))
	}
}

func TestNumbersAndPlurals(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1024: "1,024", 1234567: "1,234,567", -1024: "-1,024"} {
		require.Equal(t, want, Number(n))
	}
	require.Equal(t, "1 host", Plural(1, "host"))
	require.Equal(t, "847 hosts", Plural(847, "host"))
	require.Equal(t, "119 leaf switches", Plural(119, "leaf switch"))
}

func terminal(t *testing.T, height int) (*Screen, *strings.Builder) {
	t.Helper()
	out := &strings.Builder{}
	return &Screen{out: out, isTerminal: true, size: func() (int, int) { return 60, height }}, out
}

func TestAPictureIsRedrawnInPlace(t *testing.T) {
	s, out := terminal(t, 24)
	s.Draw([]Line{Text("one"), Text("two")})
	require.Equal(t, "\x1b[?25lone\x1b[K\ntwo\x1b[K\n\x1b[J", out.String())
	out.Reset()
	s.Draw([]Line{Text("three")})
	require.Equal(t, "\x1b[2A\rthree\x1b[K\n\x1b[J", out.String())
	out.Reset()
	s.Print(Text("stays"))
	require.Equal(t, "\x1b[1A\r\x1b[K\n\x1b[1A\r\x1b[?25hstays\n", out.String())
	out.Reset()
	s.Erase()
	require.Empty(t, out.String())
	s.Draw([]Line{Text("four")})
	out.Reset()
	s.Keep()
	s.Print(Text("below"))
	require.Equal(t, "\x1b[?25hbelow\n", out.String())
}

func TestAPictureIsCutToTheScreen(t *testing.T) {
	s, out := terminal(t, 3)
	s.Draw([]Line{Text("%s", strings.Repeat("x", 100)), Text("two"), Text("three")})
	require.Equal(t, "\x1b[?25l"+strings.Repeat("x", 58)+"…\x1b[K\ntwo\x1b[K\n\x1b[J", out.String())
}

func TestAFileGetsNoPicturesAndNoColours(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	file, err := os.Create(path)
	require.NoError(t, err)
	defer file.Close()
	s := New(file)
	require.False(t, s.IsTerminal())
	require.Equal(t, 99, s.TextWidth())
	s.Draw([]Line{Text("picture")})
	s.Print(Styled(Red, "text"))
	s.Erase()
	s.Keep()
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "text\n", string(written))
}
