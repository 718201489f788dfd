package quality

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheBestOfAColumnIsBold(t *testing.T) {
	rows := strings.Split(table([]Score{
		{Policy: "near", Leaves: 2, LeavesNow: 1, Spines: 1, InFewest: 0.5, MeanWait: time.Hour},
		{Policy: "far", Leaves: 3, LeavesNow: 2, Spines: 1.0001, InFewest: 0.25, MeanWait: time.Minute},
	}), "\n")
	require.Equal(t, []string{
		"| policy | leaves | now | empty | spines | now | empty | in fewest | idle | stranded | GPU-hours stranded | mean wait | p95 wait | makespan |",
		"|---|" + strings.Repeat("--:|", 13),
		"| near | **2.00** | 1.00 | 0.00 | **1.000** | 0.000 | 0.000 | **50.0 %** | **0.00 %** | **0.00 %** | **0** | 1.00 h | **0.00 h** | **0.0 h** |",
		"| far | 3.00 | 2.00 | 0.00 | **1.000** | 0.000 | 0.000 | 25.0 % | **0.00 %** | **0.00 %** | **0** | **0.02 h** | **0.00 h** | **0.0 h** |",
		"",
	}, rows)
}
