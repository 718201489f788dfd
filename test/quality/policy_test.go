package quality

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// ruleCase is a cluster by its free GPUs, and where a gang goes.
type ruleCase struct {
	members, gpus int
	free, want    string
}

func requireRules(t *testing.T, p Policy, cases map[string]ruleCase) {
	t.Helper()
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c := draw(t, test.free)
			hosts, ok := p.Place(c, Gang{Members: test.members, GPUsPerMember: test.gpus})
			if test.want == "" {
				require.False(t, ok, "%v", hosts)
				return
			}
			require.True(t, ok)
			require.Equal(t, undent(test.want), members(c, hosts))
		})
	}
}

func TestFirstFit(t *testing.T) {
	requireRules(t, FirstFit{}, map[string]ruleCase{
		"takes whole hosts by name, whatever is above them": {3, 8,
			`P: A[8 4] B[8]
			 Q: C[8 8]`,
			`P: A[1 .] B[1]
			 Q: C[1 .]`},
		"fills a host before the next": {5, 2,
			`P: A[8 1] B[4 8]`,
			`P: A[4 .] B[1 .]`},
		"refuses what does not fit": {3, 8, `P: A[8 7] B[8]`, ``},
	})
}

func TestKubeSchedulerDefault(t *testing.T) {
	requireRules(t, UpstreamDefault{}, map[string]ruleCase{
		"takes the host with the most free, pod by pod": {3, 2,
			`P: A[8 3] B[6 1]`, // the first pod makes it 6 and 6
			`P: A[2 .] B[1 .]`},
		"spreads over empty hosts": {4, 1,
			`P: A[8 8] B[8 8]`,
			`P: A[1 1] B[1 1]`},
		"refuses what does not fit": {3, 8, `P: A[8 7] B[8]`, ``},
	})
}

func TestKubeSchedulerTopology(t *testing.T) {
	requireRules(t, UpstreamTopology{}, map[string]ruleCase{
		"takes the leaf that is the fullest with the gang, by its own size": {2, 2,
			`P: A[0 0 0 8 8] B[8]`, // 28 of 40 GPUs, or 4 of 8
			`P: A[. . . 1 1] B[.]`},
		"spreads inside the leaf": {2, 2,
			`P: A[8 4] B[8 8]`,
			`P: A[2 .] B[. .]`},
		"takes the fullest spine if no leaf holds the gang": {3, 8,
			`P: A[8 8] B[8 8]
			 Q: C[0 8] D[8 8]`,
			`P: A[. .] B[. .]
			 Q: C[. 1] D[1 1]`},
		"takes any hosts if no spine does": {3, 8,
			`P: A[8 8]
			 Q: C[8 4]`,
			`P: A[1 1]
			 Q: C[1 .]`},
		"refuses what does not fit": {3, 8, `P: A[8 7] B[8]`, ``},
	})
}

func TestKueueBestFit(t *testing.T) {
	requireRules(t, Kueue{}, map[string]ruleCase{
		"takes the leaf with the fewest slots that hold the gang, whatever its size": {2, 2,
			`P: A[0 0 0 8 8] B[8]`,
			`P: A[. . . . .] B[2]`},
		"takes the first leaf by name among equals": {2, 8,
			`P: A[8 8] B[8 8]`,
			`P: A[1 1] B[. .]`},
		"goes up to the spine with the fewest slots, there to the largest leaf, and with the rest to the smallest": {4, 8,
			`P: A[8 8 8] B[8 8 8] C[8 8]
			 Q: D[8 8 8] E[8 8] F[8]`,
			`P: A[. . .] B[. . .] C[. .]
			 Q: D[1 1 1] E[. .] F[1]`},
		"takes several spines, and the largest leaves below all of them": {5, 8,
			`P: A[8 8] B[8]
			 Q: C[8 8] D[8 8]
			 R: E[8]`, // Q, and for the rest R: four and one
			`P: A[. .] B[.]
			 Q: C[1 1] D[1 1]
			 R: E[1]`},
		"fills the emptiest host first, and puts the rest on the tightest": {5, 2,
			`P: A[4 8 2]`,
			`P: A[. 4 1]`},
		"refuses what does not fit": {3, 8, `P: A[8 7] B[8]`, ``},
	})
}

func TestVolcanoBinpack(t *testing.T) {
	requireRules(t, Volcano{}, map[string]ruleCase{
		"takes the leaf that is the fullest with the gang, by its own size": {2, 2,
			`P: A[0 0 0 6 8] B[8]`, // 30 of 40 GPUs, or 4 of 8
			`P: A[. . . 2 .] B[.]`},
		"takes the fullest host inside the leaf": {3, 2,
			`P: A[8 4]`,
			`P: A[1 2]`},
		"takes the fullest spine if no leaf holds the gang": {3, 8,
			`P: A[8 8] B[8 8]
			 Q: C[0 8] D[8 8]`,
			`P: A[. .] B[. .]
			 Q: C[. 1] D[1 1]`},
		"stays in the leaf that it has begun, though a host of another is fuller": {6, 2,
			`P: A[2 8] B[4 3]`, // the first pod goes to the host with 2
			`P: A[1 4] B[. 1]`},
		"goes below all spines if none holds the gang": {3, 8,
			`P: A[8 8]
			 Q: C[8 4]`,
			`P: A[1 1]
			 Q: C[1 .]`},
		"refuses what does not fit": {3, 8, `P: A[8 7] B[8]`, ``},
	})
}

func TestTiesAreRandomButAlwaysTheSame(t *testing.T) {
	c := draw(t, `P: A[8 8 8 8] B[8 8 8 8] C[8 8 8 8]`)
	for _, p := range []Policy{UpstreamDefault{}, UpstreamTopology{}, Volcano{}} {
		leaves := map[int]bool{}
		for id := range 50 {
			g := Gang{ID: id, Members: 2, GPUsPerMember: 8}
			hosts, ok := p.Place(c, g)
			require.True(t, ok)
			again, _ := p.Place(c, g)
			require.Equal(t, hosts, again, p.Name())
			leaves[c.Hosts[hosts[0]].Leaf] = true
		}
		require.Len(t, leaves, 3, "%s: every leaf has its turn", p.Name())
	}
}

// randomCluster has up to three spines of three leaves of three hosts, and no more than so many hosts in all.
func randomCluster(t *rapid.T, most int) *Cluster {
	var hosts []trace.Host
	for _, spine := range []string{"P", "Q", "R"}[:rapid.IntRange(1, 3).Draw(t, "spines")] {
		for _, leaf := range []string{"A", "B", "C"}[:rapid.IntRange(1, 3).Draw(t, "leaves")] {
			for _, host := range []string{"1", "2", "3"}[:rapid.IntRange(1, 3).Draw(t, "hosts")] {
				if len(hosts) < most {
					hosts = append(hosts, trace.Host{Name: spine + leaf + host, Leaf: spine + leaf, Spine: spine})
				}
			}
		}
	}
	c := NewCluster(hosts)
	for h := range c.Hosts {
		c.move(h, -rapid.SampledFrom([]int{0, 0, 2, 5, 8}).Draw(t, "used"))
	}
	return c
}

func TestEveryPolicyPlacesWhatFitsAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := randomCluster(t, 27)
		free := slices.Clone(c.Free)
		g := Gang{
			ID: rapid.IntRange(0, 1000).Draw(t, "id"), Members: rapid.IntRange(1, 20).Draw(t, "members"),
			GPUsPerMember: rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(t, "gpus"),
		}
		for _, p := range Policies() {
			hosts, ok := p.Place(c, g)
			require.Equal(t, c.fits(g), ok, p.Name())
			require.Equal(t, free, c.Free, "%s changed the cluster", p.Name())
			if ok {
				require.NoError(t, c.take(g, hosts), p.Name())
				c.release(g, hosts)
			}
		}
	})
}
