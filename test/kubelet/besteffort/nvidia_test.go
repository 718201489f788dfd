//go:build cgo

package besteffort_test

import (
	"math/rand/v2"
	"testing"

	"github.com/NVIDIA/go-gpuallocator/gpuallocator"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
	"github.com/phalanx-scheduler/phalanx/test/kubelet/besteffort"
)

// kinds are NVIDIA's kinds of links in the order in which it numbers them, whose type has no name outside of its module: how near
// two GPUs are on the bus, then 1 to 18 NVLinks.
var kinds = [...]gpuallocator.P2PLink{
	{Type: 0}, {Type: 1}, {Type: 2}, {Type: 3}, {Type: 4}, {Type: 5}, {Type: 6}, {Type: 7}, {Type: 8}, {Type: 9}, {Type: 10}, {Type: 11}, {Type: 12},
	{Type: 13}, {Type: 14}, {Type: 15}, {Type: 16}, {Type: 17}, {Type: 18}, {Type: 19}, {Type: 20}, {Type: 21}, {Type: 22}, {Type: 23}, {Type: 24},
}

// devices are a report's GPUs as NVIDIA's code would have found them.
func devices(r *gpu.Report) []*gpuallocator.Device {
	out := make([]*gpuallocator.Device, len(r.GPUs))
	for i := range out {
		out[i] = &gpuallocator.Device{Index: i, Links: map[int][]gpuallocator.P2PLink{}}
		out[i].UUID = r.GPUs[i].UUID
	}
	link := func(a, b, kind int) {
		out[a].Links[b] = append(out[a].Links[b], kinds[kind])
		out[b].Links[a] = append(out[b].Links[a], kinds[kind])
	}
	for b := range out {
		for a := range b {
			link(a, b, int(r.Closeness(a, b)))
		}
	}
	for _, p := range r.Links.Pairs {
		link(p.A, p.B, int(gpu.SameBoard)+p.Links)
	}
	return out
}

// pick is those of the devices that a set has, in random order.
func pick(random *rand.Rand, all []*gpuallocator.Device, set int) (free []*gpuallocator.Device, uuids []string) {
	for _, i := range random.Perm(len(all)) {
		if set>>i&1 == 1 {
			free, uuids = append(free, all[i]), append(uuids, all[i].UUID)
		}
	}
	return free, uuids
}

func TestThePolicyAndTheForecastAreNVIDIAs(t *testing.T) {
	for _, name := range []string{"dgx1-v100", "a100-pcie", "h100", "l40s", "gb200", "a100"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, 2))
			r := golden(t, name)
			theirs, ours := devices(&r), besteffort.New(r)
			forecasts, ok := links.Of(&r)
			require.True(t, ok)
			failures := 0
			for set := 1; set < 1<<len(theirs); set++ {
				free, uuids := pick(random, theirs, set)
				for count := 1; count <= len(free); count++ {
					chosen := uuidsOf(gpuallocator.NewBestEffortPolicy().Allocate(free, nil, count))
					require.Equal(t, chosen, ours.Prefer(uuids, count), "%d of %v", count, uuids)

					f, ok := forecasts.Forecast(links.Set(set), count)
					require.True(t, ok)
					if len(chosen) < count {
						require.True(t, f.MayFail, "%d of %v: it fails", count, uuids)
						failures++
						continue
					}
					requireForetold(t, f, ours, chosen)
				}
			}
			t.Logf("the plugin would have failed %d times", failures)
		})
	}
}

// uuidsOf leaves out the devices that are not there, on which the plugin would have crashed.
func uuidsOf(chosen []*gpuallocator.Device) (uuids []string) {
	for _, d := range chosen {
		if d != nil {
			uuids = append(uuids, d.UUID)
		}
	}
	return uuids
}

// requireForetold wants a choice to be no worse than the forecast's least, and no better than its most.
func requireForetold(t *testing.T, f links.Forecast, p *besteffort.Policy, chosen []string) {
	t.Helper()
	got := links.Quality{Kind: kindOf[p.Link(chosen)], Score: p.Score(chosen)}
	require.True(t, got.Compare(f.Least) >= 0 && got.Compare(f.Most) <= 0, "%v is %v, foretold was %v", chosen, got, f)
}

var kindOf = map[string]links.Kind{
	"apart": links.Apart, "same-numa": links.SameNUMA, "same-switch": links.SameSwitch, "nvlink": links.NVLink, "": links.Alone,
}

func TestPairsScoreAsNVIDIAsDo(t *testing.T) {
	for _, direct := range []int{1, 12, 13, 18} {
		r := pairs(direct)
		chosen := gpuallocator.NewBestEffortPolicy().Allocate(devices(&r), nil, 2)
		want := []string{chosen[0].UUID, chosen[1].UUID}
		require.Equal(t, want, besteffort.New(r).Prefer([]string{"0", "1", "2", "3"}, 2), "%d links", direct)
	}
}
