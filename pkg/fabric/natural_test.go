package fabric

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompareNatural(t *testing.T) {
	ordered := []string{"", "01", "1", "2", "10", "100", "a", "a0", "a01", "a1", "a1b", "a2", "a10", "a10b2", "a10b10", "ab", "b", "é"}
	shuffled := slices.Clone(ordered)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, compareNatural)
	assert.Equal(t, ordered, shuffled)
	assert.Negative(t, compareNatural("n99999999999999999998", "n99999999999999999999"), "numbers of any size")
}

// FuzzCompareNatural looks for what is no total order: pairs that compare differently from the other side, texts that differ
// and compare as equal, and circles.
func FuzzCompareNatural(f *testing.F) {
	f.Add("r2", "r10", "r02")
	f.Add("1a", "01b", "1")
	f.Add("a", "1", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		require.Equal(t, cmp.Compare(compareNatural(a, b), 0), -cmp.Compare(compareNatural(b, a), 0))
		require.Equal(t, a == b, compareNatural(a, b) == 0)
		three := []string{a, b, c}
		slices.SortFunc(three, compareNatural)
		require.LessOrEqual(t, compareNatural(three[0], three[2]), 0, "%q", three)
	})
}

// FuzzNames builds a fabric of nodes and domains with any names: every node is found where it was put, and numbers follow
// the order.
func FuzzNames(f *testing.F) {
	f.Add("n1 n2,n3", "b1 b1,", "r1,r2")
	f.Add("a a", "", "a")
	f.Fuzz(func(t *testing.T, names, blocks, racks string) {
		at := func(texts string, i int) string {
			all := strings.Split(texts, ",")
			return all[i%len(all)]
		}
		fabric := New("block", "rack")
		for i, name := range strings.Split(names, ",") {
			fabric.Set(Node{Name: name, Domains: []string{at(blocks, i), at(racks, i)}})
		}
		tree := fabric.Tree()
		for i, r := range fabric.order {
			number, ok := fabric.Number(r.name)
			require.True(t, ok)
			require.Equal(t, i, number)
			if i > 0 {
				require.Negative(t, compareRecords(fabric.order[i-1], r))
			}
			for level, name := range tree.Path(2, tree.Of(2, i)) {
				if r.domains[level] != "" {
					require.Equal(t, r.domains[level], name)
				}
			}
		}
	})
}
