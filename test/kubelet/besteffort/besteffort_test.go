package besteffort_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/test/kubelet/besteffort"
)

// golden reads a report of package gpu's.
func golden(t *testing.T, name string) gpu.Report {
	text, err := os.ReadFile("../../../pkg/gpu/testdata/" + name + ".json")
	require.NoError(t, err)
	r, err := gpu.Parse([]byte(strings.TrimSpace(string(text))))
	require.NoError(t, err)
	return r
}

// pairs is four GPUs on CPUs of their own, with so many links between the first and the last.
func pairs(direct int) gpu.Report {
	r := gpu.Report{GPUs: []gpu.GPU{{UUID: "0"}, {UUID: "1"}, {UUID: "2"}, {UUID: "3"}}}
	r.Links = gpu.Links{Kind: gpu.Bridge, Pairs: []gpu.Pair{{A: 0, B: 3, Links: direct}}}
	r.Near = [][]gpu.Closeness{{gpu.CrossCPU, gpu.CrossCPU, gpu.CrossCPU}, {gpu.CrossCPU, gpu.CrossCPU}, {gpu.CrossCPU}}
	return r
}

// The four on a DGX-1 are what NVIDIA's own tests expect.
func TestPreferences(t *testing.T) {
	for name, test := range map[string]struct {
		system string
		free   []int
		size   int
		want   []int
		score  int
		link   string
	}{
		"one link over one PCI switch, rather than one over a bridge": {"dgx1-v100", []int{0, 2, 4, 5}, 2, []int{4, 5}, 150, "nvlink"},
		"two links on one CPU":                                   {"dgx1-v100", []int{0, 4, 5, 6}, 2, []int{5, 6}, 230, "nvlink"},
		"two links rather than one":                              {"dgx1-v100", []int{0, 1, 3}, 2, []int{0, 3}, 230, "nvlink"},
		"two links across CPUs, rather than one on a PCI switch": {"dgx1-v100", []int{0, 1, 4}, 2, []int{0, 4}, 210, "nvlink"},
		"the first of what scores the same":                      {"a100-pcie", []int{2, 3, 0, 1}, 2, []int{2, 3}, 1220, "nvlink"},
		"a bridged pair and one more of its NUMA node":           {"a100-pcie", []int{0, 1, 4, 5, 6}, 3, []int{4, 5, 6}, 1260, "same-numa"},
		"what is close on the bus behind NVSwitches":             {"h100", []int{0, 5, 1}, 2, []int{0, 1}, 20, "nvlink"},
		"the first for a single GPU":                             {"l40s", []int{5, 1}, 1, []int{5}, 0, ""},
		"all that are free":                                      {"l40s", []int{0, 4}, 2, []int{0, 4}, 10, "apart"},
		"nothing where too few are free":                         {"l40s", []int{0}, 2, nil, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := golden(t, test.system)
			uuids := func(positions []int) (out []string) {
				for _, at := range positions {
					out = append(out, r.GPUs[at].UUID)
				}
				return out
			}
			p := besteffort.New(r)
			got := p.Prefer(uuids(test.free), test.size)
			assert.Equal(t, uuids(test.want), got)
			assert.Equal(t, test.score, p.Score(got))
			assert.Equal(t, test.link, p.Link(got))
		})
	}
}

func TestThirteenLinksScoreMoreThanTwelve(t *testing.T) {
	for direct, want := range map[int]int{0: 10, 12: 1210, 13: 1310, 18: 1810, 19: 1810} {
		assert.Equal(t, want, besteffort.New(pairs(direct)).Score([]string{"0", "3"}), "%d links", direct)
	}
}
