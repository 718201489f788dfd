package quality

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheBestOfAColumnIsBold(t *testing.T) {
	rows := strings.Split(table([][]Score{
		{{Policy: "near", Leaves: 2, LeavesNow: 1, Spines: 1, InFewest: 0.5, MeanWait: time.Hour}},
		{{Policy: "far", Leaves: 3, LeavesNow: 2, Spines: 1.0001, InFewest: 0.25, MeanWait: time.Minute}},
	}), "\n")
	require.Equal(t, []string{
		"| policy | leaves | now | empty | spines | now | empty | in fewest | idle | stranded | GPU-hours stranded | mean wait | p95 wait | makespan |",
		"|---|" + strings.Repeat("--:|", 13),
		"| near | **2.00** | 1.00 | 0.00 | **1.000** | 0.000 | 0.000 | **50.0 %** | **0.00 %** | **0.00 %** | **0** | 1.00 h | **0.00 h** | **0.0 h** |",
		"| far | 3.00 | 2.00 | 0.00 | **1.000** | 0.000 | 0.000 | 25.0 % | **0.00 %** | **0.00 %** | **0** | **0.02 h** | **0.00 h** | **0.0 h** |",
		"",
	}, rows)
}

func TestWhatShiftsDoNotTellApartTies(t *testing.T) {
	column := func(title string, policies ...[]float64) []string {
		scores := make([][]Score, len(policies))
		for p, values := range policies {
			for _, v := range values {
				scores[p] = append(scores[p], Score{Leaves: v, LeavesNow: v, InFewest: v / 10})
			}
		}
		at := slices.IndexFunc(columns, func(c column) bool { return c.title == title })
		return columns[at].cells(scores)
	}
	// The second is as bad as the first in the one shift and better in the other; the third is worse in both, if by little.
	require.Equal(t, []string{"**2.00 ±1.41**", "**1.90 ±1.27**", "2.10 ±1.27"},
		column("leaves", []float64{1, 3}, []float64{1, 2.8}, []float64{1.2, 3}))
	require.Equal(t, []string{"**50.0 ±0.0 %**", "25.0 ±0.0 %"}, column("in fewest", []float64{5, 5}, []float64{2.5, 2.5}))
	require.Equal(t, []string{"1.00 ±0.00", "2.00 ±0.00"}, column("now", []float64{1, 1}, []float64{2, 2}), "a bound is no merit")
}
