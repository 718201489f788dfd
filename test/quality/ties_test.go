package quality

import (
	"fmt"
	"math/bits"
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

// Two gangs come one after the other to a fabric of one spine with two small leaves and one with two large ones:
//
//	A: [4 hosts] = 2 + 2      B: [8 hosts] = 4 + 4
//
// The first wants 4 hosts: A is the tightest spine, and a leaf of B the fewest leaves. The second wants 8, which B holds if it is
// whole. All ways to place both are tried: no policy, whatever it knows beforehand, has every gang in the fewest domains of its
// moment and also the fewest spines.
func TestNoPolicyIsFirstInEveryColumn(t *testing.T) {
	var hosts []trace.Host
	for leaf, size := range map[string]int{"A1": 2, "A2": 2, "B1": 4, "B2": 4} {
		for i := range size {
			hosts = append(hosts, trace.Host{Name: fmt.Sprint(leaf, "-", i), Leaf: leaf, Spine: leaf[:1]})
		}
	}
	first, second := Gang{Members: 4, GPUsPerMember: trace.GPUsPerHost}, Gang{Members: 8, GPUsPerMember: trace.GPUsPerHost}
	const all = 1<<12 - 1
	fewestSpines, fewestSpinesInFewest := 4, 4
	for chosen := range all {
		if bits.OnesCount(uint(chosen)) != first.Members {
			continue
		}
		c := NewCluster(hosts)
		spines, isInFewest := 0, true
		place := func(g Gang, at []int) {
			span := c.span(at)
			spines, isInFewest = spines+span.Spines, isInFewest && span == c.Bound(g).Best
			for _, h := range at {
				c.Free[h] = 0
			}
		}
		place(first, positions(chosen))
		place(second, positions(all&^chosen))
		fewestSpines = min(fewestSpines, spines)
		if isInFewest {
			fewestSpinesInFewest = min(fewestSpinesInFewest, spines)
		}
	}
	require.Equal(t, 2, fewestSpines, "each gang below one spine")
	require.Equal(t, 3, fewestSpinesInFewest, "if both are to have the fewest domains of their moment")
}

func positions(mask int) (set []int) {
	for i := range 12 {
		if mask>>i&1 == 1 {
			set = append(set, i)
		}
	}
	return set
}
