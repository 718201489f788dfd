package quality

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestBound(t *testing.T) {
	for name, test := range map[string]struct {
		members, gpus int
		free          string
		want          Bound
	}{
		"one leaf holds all":          {2, 8, `P: A[8 8] B[8 8]`, Bound{Spines: 1, Leaves: 1, Best: Span{Spines: 1, Leaves: 1}}},
		"members share hosts":         {8, 2, `P: A[8 4] B[4 0]`, Bound{Spines: 1, Leaves: 2, Best: Span{Spines: 1, Leaves: 2}}},
		"crumbs hold nobody":          {3, 8, `P: A[8 7] B[8] C[8]`, Bound{Spines: 1, Leaves: 3, Best: Span{Spines: 1, Leaves: 3}}},
		"one spine may cost a leaf":   {4, 8, "P: A[8 8 8]\nQ: B[8 8] C[8] D[8]\nR: E[8]", Bound{Spines: 1, Leaves: 2, Best: Span{Spines: 1, Leaves: 3}}},
		"no matter which small spine": {3, 8, "P: A[8 8]\nQ: B[8]\nR: C[8 8]", Bound{Spines: 2, Leaves: 2, Best: Span{Spines: 2, Leaves: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, draw(t, test.free).Bound(Gang{Members: test.members, GPUsPerMember: test.gpus}))
		})
	}
}

// The dumb alternative tries every set of hosts.
func TestTheBoundIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := randomCluster(t, 12)
		g := Gang{Members: rapid.IntRange(1, 12).Draw(t, "members"), GPUsPerMember: rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(t, "gpus")}
		var want Bound
		for set := uint(1); set < 1<<len(c.Hosts); set++ {
			var hosts []int
			slots := 0
			for h, free := range c.Free {
				if set>>h&1 == 1 {
					hosts, slots = append(hosts, h), slots+free/g.GPUsPerMember
				}
			}
			if slots < g.Members || bits.OnesCount(set) > g.Members {
				continue
			}
			s := c.span(hosts)
			if want.Spines == 0 || s.Spines < want.Spines {
				want.Spines = s.Spines
			}
			if want.Leaves == 0 || s.Leaves < want.Leaves {
				want.Leaves = s.Leaves
			}
			if best := want.Best; best.Spines == 0 || s.Spines < best.Spines || s.Spines == best.Spines && s.Leaves < best.Leaves {
				want.Best = s
			}
		}
		require.Equal(t, want.Spines > 0, c.fits(g))
		if c.fits(g) {
			require.Equal(t, want, c.Bound(g))
		}
	})
}
