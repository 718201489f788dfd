package quality

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

func TestLotsDecideAmongTheFewestDomainsOnly(t *testing.T) {
	hosts, err := trace.Lingjun()
	require.NoError(t, err)
	jobs, err := trace.Kalos()
	require.NoError(t, err)
	gangs := Gangs(jobs, len(hosts)*trace.GPUsPerHost, 0.9, 1, 0)
	var starts [][]int
	for lot := range uint64(2) {
		run, err := Replay(hosts, gangs, Fewest{Seed: lot})
		require.NoError(t, err)
		require.EqualValues(t, 1, run.Score().InFewest, "the replay works out the fewest by itself")
		starts = append(starts, run.Outcomes[0].Hosts)
	}
	require.NotEqual(t, starts[0], starts[1], "another lot, other hosts")
	require.Len(t, starts[0], len(starts[1]))

	var out strings.Builder
	require.NoError(t, Ties(&out, hosts, []Mix{{"Kalos", jobs}}, []float64{0.9}, 1, 2))
	require.Regexp(t, `^Kalos, load 0\.9: spines per gang, of 2 ways to break ties the best [\d.]+, the mean [\d.]+, the worst [\d.]+; Phalanx [\d.]+; Kueue [\d.]+, with [\d.]+ % in the fewest\n$`, out.String())
}
