package quality

import (
	"bytes"
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

func realData(t *testing.T) ([]trace.Host, []Mix) {
	t.Helper()
	hosts, err := trace.Lingjun()
	require.NoError(t, err)
	jobs, err := trace.Kalos()
	require.NoError(t, err)
	return hosts, Mixes(jobs)
}

func TestNoPolicyOvercommitsOrBeatsTheBound(t *testing.T) {
	hosts, mixes := realData(t)
	for _, mix := range mixes {
		for _, load := range []float64{0.5, 1.1} {
			gangs := Gangs(mix.Jobs, len(hosts)*trace.GPUsPerHost, load, 1, 0)
			for _, p := range Policies() {
				run, err := Replay(hosts, gangs, p)
				require.NoError(t, err)
				require.Len(t, run.Outcomes, len(gangs), "every gang has run")
				requireNoOvercommit(t, len(hosts), run)
				for _, o := range run.Outcomes {
					requireBound(t, p, o)
				}
			}
		}
	}
}

// requireNoOvercommit adds up by itself what each host holds.
func requireNoOvercommit(t *testing.T, hosts int, run *Run) {
	t.Helper()
	type change struct {
		at         time.Duration
		host, gpus int
	}
	var changes []change
	for _, o := range run.Outcomes {
		require.GreaterOrEqual(t, o.Start, o.Arrival)
		require.Len(t, o.Hosts, o.Members)
		for _, h := range o.Hosts {
			changes = append(changes, change{o.Start, h, o.GPUsPerMember}, change{o.Start + o.Duration, h, -o.GPUsPerMember})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.gpus, b.gpus)) })
	used := make([]int, hosts)
	for _, c := range changes {
		used[c.host] += c.gpus
		if used[c.host] < 0 || used[c.host] > trace.GPUsPerHost {
			require.Failf(t, "overcommitted", "%s: host %d holds %d GPUs at %v", run.Policy, c.host, used[c.host], c.at)
		}
	}
	require.Equal(t, make([]int, hosts), used, "everything is given back")
}

func requireBound(t *testing.T, p Policy, o Outcome) {
	t.Helper()
	beaten := o.Span.Spines < o.Now.Spines || o.Span.Leaves < o.Now.Leaves ||
		o.Span.Spines == o.Now.Best.Spines && o.Span.Leaves < o.Now.Best.Leaves ||
		o.Now.Spines < o.Empty.Spines || o.Now.Leaves < o.Empty.Leaves
	require.False(t, beaten, "%s: %+v", p.Name(), o)
}

func TestTheReportIsTheSameEachTime(t *testing.T) {
	hosts, mixes := realData(t)
	report := func() []byte {
		var b bytes.Buffer
		require.NoError(t, Report(&b, hosts, mixes, []float64{0.9}, 1, 1, Policies()))
		return b.Bytes()
	}
	first := report()
	require.Contains(t, string(first), "### Kalos with small gangs, load 0.9: 957 gangs, 868 of more than one member\n")
	require.Equal(t, string(first), string(report()))
}

// twoHosts are below one leaf.
var twoHosts = []trace.Host{{Name: "a1", Leaf: "A", Spine: "P"}, {Name: "a2", Leaf: "A", Spine: "P"}}

// gang arrives and runs for so many seconds.
func gang(id, members, gpus, arrival, duration int) Gang {
	return Gang{
		ID: id, Members: members, GPUsPerMember: gpus, Arrival: time.Duration(arrival) * time.Second, Duration: time.Duration(duration) * time.Second,
	}
}

// starts are the seconds at which gangs start, by ID.
func starts(r *Run) map[int]int {
	at := map[int]int{}
	for _, o := range r.Outcomes {
		at[o.ID] = int(o.Start / time.Second)
	}
	return at
}

func TestWhoDoesNotFitHoldsUpNobody(t *testing.T) {
	run, err := Replay(twoHosts, []Gang{
		gang(0, 1, 8, 0, 10), gang(1, 2, 8, 1, 10), gang(2, 1, 8, 2, 3), gang(3, 1, 8, 2, 4), gang(4, 1, 4, 9, 1),
	}, FirstFit{})
	require.NoError(t, err)
	// 2 goes past 1, which waits for two hosts; 3 comes when 2 ends; all are gone when 0 ends, and it is 1's turn.
	require.Equal(t, map[int]int{0: 0, 2: 2, 3: 5, 4: 9, 1: 10}, starts(run))
	require.Equal(t, 20*time.Second, run.End)
	require.Equal(t, 9*time.Second, run.Score().P95Wait)
	require.Equal(t, (9+3)*time.Second/5, run.Score().MeanWait)
	// One host is free from 1 to 2, half of one from 9 to 10. Gang 1, which asks for two, waits all the while; 16 were never free.
	require.EqualValues(t, 8+4, run.Idle)
	require.EqualValues(t, 0, run.Stranded)
}

func TestGPUsThatASpreadLeavesInCrumbsAreStranded(t *testing.T) {
	gangs := []Gang{gang(0, 1, 4, 0, 10), gang(1, 1, 4, 0, 10), gang(2, 1, 8, 2, 5)}
	spread, err := Replay(twoHosts, gangs, UpstreamDefault{})
	require.NoError(t, err)
	require.Equal(t, map[int]int{0: 0, 1: 0, 2: 10}, starts(spread))
	require.EqualValues(t, 8*8, spread.Stranded, "8 GPUs for 8 seconds")
	require.EqualValues(t, 8*8, spread.Idle)

	packed, err := Replay(twoHosts, gangs, FirstFit{})
	require.NoError(t, err)
	require.Equal(t, map[int]int{0: 0, 1: 0, 2: 2}, starts(packed))
	require.Zero(t, packed.Stranded)
}

// broken places all members on the same host.
type broken struct{ host int }

func (broken) Name() string { return "broken" }
func (b broken) Place(_ *Cluster, g Gang) ([]int, bool) {
	return slices.Repeat([]int{b.host}, g.Members), true
}

// reluctant never places anything.
type reluctant struct{}

func (reluctant) Name() string                       { return "reluctant" }
func (reluctant) Place(*Cluster, Gang) ([]int, bool) { return nil, false }

func TestWhatCannotBeIsRefused(t *testing.T) {
	for want, test := range map[string]struct {
		gang   Gang
		policy Policy
	}{
		"broken: gang 7: member 1 does not fit on host 0": {gang(7, 2, 8, 0, 1), broken{0}},
		"broken: gang 7: member 0 does not fit on host 2": {gang(7, 2, 8, 0, 1), broken{2}},
		"reluctant: gang 7 never starts":                  {gang(7, 1, 8, 0, 1), reluctant{}},
		"first-fit: gang 7 never starts":                  {gang(7, 3, 8, 0, 1), FirstFit{}},
	} {
		_, err := Replay(twoHosts, []Gang{test.gang}, test.policy)
		require.EqualError(t, err, want)
	}
}
