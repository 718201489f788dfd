package links_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
)

// golden reads a report of package gpu's.
func golden(t require.TestingT, name string) gpu.Report {
	text, err := os.ReadFile("../testdata/" + name + ".json")
	require.NoError(t, err)
	r, err := gpu.Parse([]byte(strings.TrimSuffix(string(text), "\n")))
	require.NoError(t, err)
	return r
}

func of(t require.TestingT, r gpu.Report) links.Links {
	l, ok := links.Of(&r)
	require.True(t, ok)
	return l
}

func set(gpus ...int) links.Set {
	s := links.Set(0)
	for _, g := range gpus {
		s |= 1 << g
	}
	return s
}

// all is so many GPUs from the first on.
func all(n int) links.Set { return links.Set(1<<n - 1) }

func TestForecasts(t *testing.T) {
	quality := func(kind links.Kind, score int) links.Quality { return links.Quality{Kind: kind, Score: score} }
	sure := func(kind links.Kind, score int) links.Forecast {
		return links.Forecast{Least: quality(kind, score), Most: quality(kind, score)}
	}
	for name, test := range map[string]struct {
		system string
		free   links.Set
		count  int
		want   links.Forecast
	}{
		// The first four are what the plugin's own tests expect of a DGX-1.
		"one link over one PCI switch, rather than one over a bridge": {"dgx1-v100", set(0, 2, 4, 5), 2, sure(links.NVLink, 150)},
		"two links on one CPU":                                   {"dgx1-v100", set(0, 4, 5, 6), 2, sure(links.NVLink, 230)},
		"two links rather than one":                              {"dgx1-v100", set(0, 1, 3), 2, sure(links.NVLink, 230)},
		"two links across CPUs, rather than one on a PCI switch": {"dgx1-v100", set(0, 1, 4), 2, sure(links.NVLink, 210)},
		"half a DGX-1":                                           {"dgx1-v100", all(8), 4, sure(links.NVLink, 1120)},
		"six of a DGX-1, in which some pairs have no link":       {"dgx1-v100", all(8), 6, sure(links.Apart, 1750)},
		"a whole DGX-1":                                          {"dgx1-v100", all(8), 8, sure(links.Apart, 3000)},
		"a DGX-1 of which GPUs without a link are left":          {"dgx1-v100", set(0, 5), 2, sure(links.Apart, 10)},
		"two of a whole DGX-1, whose best cuts are several":      {"dgx1-v100", all(8), 2, links.Forecast{Least: quality(links.NVLink, 230), Most: quality(links.NVLink, 250)}},
		"three of a DGX-1, where chance may put them apart":      {"dgx1-v100", set(0, 1, 2, 4, 5), 3, links.Forecast{Least: quality(links.Apart, 450), Most: quality(links.NVLink, 510)}},
		"a bridged pair":                                         {"a100-pcie", all(8), 2, sure(links.NVLink, 1220)},
		"the last bridged pair":                                  {"a100-pcie", set(0, 2, 4, 5), 2, sure(links.NVLink, 1220)},
		"halves of bridged pairs":                                {"a100-pcie", set(0, 2, 4), 2, sure(links.SameNUMA, 20)},
		"halves of bridged pairs across CPUs":                    {"a100-pcie", set(0, 4), 2, sure(links.Apart, 10)},
		"two bridged pairs on one NUMA node":                     {"a100-pcie", all(8), 4, sure(links.SameNUMA, 2520)},
		"a bridged pair and one more":                            {"a100-pcie", set(0, 1, 4, 5, 6), 3, sure(links.SameNUMA, 1260)},
		"behind NVSwitches":                                      {"h100", set(0, 5), 2, sure(links.NVLink, 10)},
		"behind NVSwitches, those that are close on the bus":     {"h100", set(0, 1, 5), 2, sure(links.NVLink, 20)},
		"half the GPUs behind NVSwitches":                        {"h100", all(8), 4, sure(links.NVLink, 120)},
		"all GPUs of a tray":                                     {"gb200", all(4), 4, sure(links.NVLink, 80)},
		"behind one PCI switch":                                  {"l40s", all(8), 2, sure(links.SameSwitch, 50)},
		"behind PCI switches of one NUMA node":                   {"l40s", all(8), 4, sure(links.SameNUMA, 180)},
		"on one NUMA node":                                       {"l40s", set(0, 2, 4), 2, sure(links.SameNUMA, 20)},
		"a single GPU":                                           {"l40s", all(8), 1, sure(links.Alone, 0)},
		"4 of 16 behind NVSwitches":                              {"hgx2-v100", all(16), 4, sure(links.NVLink, 260)},
		"8 of 16 behind NVSwitches":                              {"hgx2-v100", all(16), 8, sure(links.NVLink, 840)},
	} {
		t.Run(name, func(t *testing.T) {
			l := of(t, golden(t, test.system))
			got, ok := l.Forecast(test.free, test.count)
			assert.True(t, ok)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestNothingIsForetold(t *testing.T) {
	l := of(t, golden(t, "h100"))
	for name, test := range map[string]struct {
		free  links.Set
		count int
	}{
		"for more GPUs than are free":  {set(1, 2), 3},
		"for no GPUs":                  {all(8), 0},
		"for less than none":           {all(8), -1},
		"where no GPU is free":         {0, 1},
		"for GPUs that the node lacks": {1 << 8, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f, ok := l.Forecast(test.free, test.count)
			assert.False(t, ok)
			assert.Zero(t, f)
		})
	}
	_, ok := links.Of(&gpu.Report{GPUs: make([]gpu.GPU, links.MaxGPUs+1)})
	assert.False(t, ok)
}

// mixed is two GPUs with two links between them on CPUs of their own, and three on one PCI switch.
func mixed() gpu.Report {
	r := gpu.Report{Links: gpu.Links{Kind: gpu.Bridge, Pairs: []gpu.Pair{{A: 0, B: 1, Links: 2}}}, GPUs: make([]gpu.GPU, 5)}
	r.Near = [][]gpu.Closeness{
		{gpu.CrossCPU, gpu.CrossCPU, gpu.CrossCPU, gpu.CrossCPU},
		{gpu.CrossCPU, gpu.CrossCPU, gpu.CrossCPU},
		{gpu.OneSwitch, gpu.OneSwitch}, {gpu.OneSwitch},
	}
	return r
}

func TestThePluginMayChooseWhatIsLeftOver(t *testing.T) {
	l := of(t, mixed())
	f, ok := l.Forecast(all(5), 3)
	assert.True(t, ok)
	assert.Equal(t, links.Forecast{MayFail: true}, f, "0 and 1 score 210, 2 to 4 only 150")

	r := mixed()
	r.Links.Pairs[0].Links = 1
	l = of(t, r)
	f, _ = l.Forecast(all(5), 3)
	assert.False(t, f.MayFail, "with one link less they are the better set")
	assert.Equal(t, links.Quality{Kind: links.SameSwitch, Score: 150}, f.Least)
}

func TestHowPairsCount(t *testing.T) {
	pair := func(change func(r *gpu.Report)) string {
		r := gpu.Report{GPUs: []gpu.GPU{{Links: 18, NUMA: 1}, {Links: 18, NUMA: 1}}, Links: gpu.Links{Kind: gpu.Switch}, Near: [][]gpu.Closeness{{gpu.CrossCPU}}}
		change(&r)
		l := of(t, r)
		q := l.Quality(set(0, 1))
		return fmt.Sprint(q.Kind, " ", q.Score)
	}
	direct := func(n int) func(r *gpu.Report) {
		return func(r *gpu.Report) { r.Links = gpu.Links{Kind: gpu.Bridge, Pairs: []gpu.Pair{{A: 0, B: 1, Links: n}}} }
	}
	for name, test := range map[string]struct {
		change func(r *gpu.Report)
		want   string
	}{
		"NVSwitches score nothing":                 {func(*gpu.Report) {}, "nvlink 10"},
		"switches of many nodes too":               {func(r *gpu.Report) { r.Links.Kind = gpu.MultiNode }, "nvlink 10"},
		"switches that are down connect nobody":    {func(r *gpu.Report) { r.Links.IsDown = true }, "apart 10"},
		"nor do they a GPU whose links are down":   {func(r *gpu.Report) { r.GPUs[1].BadLinks = 18 }, "apart 10"},
		"nor one that has none":                    {func(r *gpu.Report) { r.GPUs[0].Links = 0 }, "apart 10"},
		"each direct link is 100":                  {direct(12), "nvlink 1210"},
		"each of thirteen too":                     {direct(13), "nvlink 1310"},
		"more than eighteen count for eighteen":    {direct(19), "nvlink 1810"},
		"a bridge between others is no link":       {func(r *gpu.Report) { r.Links = gpu.Links{Kind: gpu.Bridge} }, "apart 10"},
		"one CPU":                                  {func(r *gpu.Report) { r.Links, r.Near[0][0] = gpu.Links{}, gpu.SameCPU }, "same-numa 20"},
		"one host bridge":                          {func(r *gpu.Report) { r.Links, r.Near[0][0] = gpu.Links{}, gpu.SameHostBridge }, "same-numa 30"},
		"several switches":                         {func(r *gpu.Report) { r.Links, r.Near[0][0] = gpu.Links{}, gpu.SeveralSwitches }, "same-numa 40"},
		"one switch":                               {func(r *gpu.Report) { r.Links, r.Near[0][0] = gpu.Links{}, gpu.OneSwitch }, "same-switch 50"},
		"one board":                                {func(r *gpu.Report) { r.Links, r.Near[0][0] = gpu.Links{}, gpu.SameBoard }, "same-switch 60"},
		"one NUMA node, where the bus is unknown":  {func(r *gpu.Report) { r.Links, r.Near = gpu.Links{}, nil }, "same-numa 0"},
		"two unknown NUMA nodes are not the same":  {func(r *gpu.Report) { r.Links, r.Near, r.GPUs[0].NUMA, r.GPUs[1].NUMA = gpu.Links{}, nil, -1, -1 }, "apart 0"},
		"the bus knows better than the NUMA nodes": {func(r *gpu.Report) { r.Links = gpu.Links{} }, "apart 10"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, pair(test.change)) })
	}
}

// plugin does what NVIDIA's device plugin does, as literally as can be: it lists the cuts of the free GPUs in the order in which it was given
// them, keeps the first that scores the most, and takes the first set of it that scores the most.
type plugin struct {
	links     *links.Links
	count     int
	best      [][]int
	bestScore int
}

func (p *plugin) choose(free []int) []int {
	padded := slices.Clone(free)
	for len(padded)%p.count != 0 {
		padded = append(padded, -1)
	}
	p.cut(padded, len(padded)-len(free), nil)
	var chosen []int
	for _, s := range p.best {
		if chosen == nil || p.score(s) > p.score(chosen) {
			chosen = s
		}
	}
	return chosen
}

func (p *plugin) score(gpus []int) int { return p.links.Quality(complete(gpus)).Score }

// complete is the GPUs without the padding.
func complete(gpus []int) links.Set {
	return set(slices.DeleteFunc(slices.Clone(gpus), func(g int) bool { return g < 0 })...)
}

func (p *plugin) cut(left []int, padding int, sets [][]int) {
	if len(left) == p.count {
		sets = append(slices.Clone(sets), left)
		score := 0
		for _, s := range sets {
			score += p.score(s)
		}
		if score > p.bestScore || p.best == nil {
			p.best, p.bestScore = sets, score
		}
		return
	}
	for picked := range 1 << (len(left) - 1) {
		s, others, pads := []int{left[0]}, []int(nil), 0
		for i, g := range left[1:] {
			if picked>>i&1 == 0 {
				others = append(others, g)
				continue
			}
			if s = append(s, g); g < 0 {
				pads++
			}
		}
		if len(s) == p.count && (pads == 0 || pads == padding) {
			p.cut(others, padding, append(slices.Clone(sets), s))
		}
	}
}

// drawLinks makes links between so many GPUs, of few scores, so that many cuts score the same.
func drawLinks(t *rapid.T, n int) links.Links {
	r := gpu.Report{GPUs: make([]gpu.GPU, n), Links: gpu.Links{Kind: gpu.Mesh}}
	for a := range n {
		var row []gpu.Closeness
		for b := a + 1; b < n; b++ {
			row = append(row, gpu.Closeness(rapid.SampledFrom([]int{1, 2, 5}).Draw(t, "closeness")))
			if direct := rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "links"); direct > 0 {
				r.Links.Pairs = append(r.Links.Pairs, gpu.Pair{A: a, B: b, Links: direct})
			}
		}
		r.Near = append(r.Near, row)
	}
	return of(t, r)
}

// orders calls with all orders of some GPUs.
func orders(gpus []int, at int, do func([]int)) {
	if at == len(gpus) {
		do(gpus)
		return
	}
	for i := at; i < len(gpus); i++ {
		gpus[at], gpus[i] = gpus[i], gpus[at]
		orders(gpus, at+1, do)
		gpus[at], gpus[i] = gpus[i], gpus[at]
	}
}

// foretold is the forecast that what the plugin did in every order would have been.
func foretold(l *links.Links, gpus []int, count int) links.Forecast {
	f, hasChoice := links.Forecast{}, false
	orders(gpus, 0, func(order []int) {
		p := plugin{links: l, count: count}
		chosen := p.choose(order)
		q := l.Quality(complete(chosen))
		switch {
		case slices.Contains(chosen, -1):
			f.MayFail = true
		case !hasChoice:
			f.Least, f.Most, hasChoice = q, q, true
		case q.Compare(f.Least) < 0:
			f.Least = q
		case q.Compare(f.Most) > 0:
			f.Most = q
		}
	})
	return f
}

// On up to five GPUs, whatever order the kubelet draws, and nothing else.
func TestTheForecastIsWhatThePluginDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 5).Draw(t, "gpus")
		l := drawLinks(t, n)
		gpus := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, n, rapid.ID).Draw(t, "free")
		count := rapid.IntRange(1, len(gpus)).Draw(t, "count")
		got, ok := l.Forecast(set(gpus...), count)
		require.True(t, ok)
		require.Equal(t, foretold(&l, gpus, count), got)
	})
}

// On the systems, for all sets of free GPUs and a few orders each.
func TestTheForecastHoldsOnKnownSystems(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"dgx1-v100", "a100-pcie", "l40s", "gb200", "h100"} {
		t.Run(name, func(t *testing.T) {
			l := of(t, golden(t, name))
			for free := 1; free < 1<<l.Len(); free++ {
				var gpus []int
				for i := range l.Len() {
					if free>>i&1 == 1 {
						gpus = append(gpus, i)
					}
				}
				for count := 2; count < len(gpus); count++ {
					random.Shuffle(len(gpus), func(i, j int) { gpus[i], gpus[j] = gpus[j], gpus[i] })
					p := plugin{links: &l, count: count}
					q := l.Quality(set(p.choose(gpus)...))
					f, _ := l.Forecast(links.Set(free), count)
					require.False(t, f.MayFail)
					require.True(t, q.Compare(f.Least) >= 0 && q.Compare(f.Most) <= 0, "%v: %d of %v: %v is not within %v", name, count, gpus, q, f)
				}
			}
		})
	}
}

func TestForecastsAreRemembered(t *testing.T) {
	var f links.Forecaster
	h100, mesh := of(t, golden(t, "h100")), of(t, golden(t, "dgx1-v100"))
	for range 2 {
		for _, l := range []links.Links{h100, mesh} {
			for free := range links.Set(256) {
				for count := range 10 {
					want, wantOK := l.Forecast(free, count)
					got, ok := f.Forecast(&l, free, count)
					require.Equal(t, wantOK, ok)
					require.Equal(t, want, got)
				}
			}
		}
	}
	again := of(t, golden(t, "h100"))
	allocations := testing.AllocsPerRun(10, func() { f.Forecast(&again, all(7), 3) })
	assert.Zero(t, allocations, "a node of a kind that was seen costs nothing")
}

func BenchmarkForecast(b *testing.B) {
	for _, test := range []struct {
		system      string
		free, count int
	}{{"h100", 8, 4}, {"dgx1-v100", 7, 2}, {"hgx2-v100", 16, 2}, {"hgx2-v100", 16, 5}} {
		l := of(b, golden(b, test.system))
		b.Run(fmt.Sprintf("%d of %d on %s", test.count, test.free, test.system), func(b *testing.B) {
			for b.Loop() {
				l.Forecast(all(test.free), test.count)
			}
		})
	}
}

// A few pods on up to six GPUs, in whatever orders the kubelet draws for each of them.
func TestTheForecastAmongPodsIsWhatThePluginDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 6).Draw(t, "gpus")
		l := drawLinks(t, n)
		gpus := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, min(n, 5), rapid.ID).Draw(t, "free")
		count := rapid.IntRange(1, len(gpus)).Draw(t, "count")
		others := rapid.IntRange(0, len(gpus)/count-1).Draw(t, "others")
		want, isFirst := links.Forecast{}, true
		var serve func(free []int, left int)
		serve = func(free []int, left int) {
			outcomes := map[links.Set]bool{}
			orders(slices.Clone(free), 0, func(order []int) {
				p := plugin{links: &l, count: count}
				chosen := p.choose(order)
				if slices.Contains(chosen, -1) {
					want.MayFail = true
					return
				}
				outcomes[set(chosen...)] = true
			})
			for chosen := range outcomes {
				q := l.Quality(chosen)
				if isFirst || q.Compare(want.Least) < 0 {
					want.Least = q
				}
				if isFirst || q.Compare(want.Most) > 0 {
					want.Most = q
				}
				isFirst = false
				if left > 0 {
					serve(slices.DeleteFunc(slices.Clone(free), func(g int) bool { return chosen>>g&1 == 1 }), left-1)
				}
			}
		}
		serve(gpus, others)
		got, ok := l.ForecastAmong(set(gpus...), count, others)
		require.True(t, ok)
		require.Equal(t, want.MayFail, got.MayFail)
		if !want.MayFail {
			require.Equal(t, want, got)
		}
	})
}

func TestForecastsAmongPods(t *testing.T) {
	for name, test := range map[string]struct {
		system              string
		free, count, others int
		want                links.Kind
		ok                  bool
	}{
		"four pairs of a mesh":                     {"dgx1-v100", 8, 2, 3, links.NVLink, true},
		"two halves of a mesh":                     {"dgx1-v100", 8, 4, 1, links.NVLink, true},
		"all bridged pairs":                        {"a100-pcie", 8, 2, 3, links.NVLink, true},
		"pods of three have no three bridged GPUs": {"a100-pcie", 8, 3, 1, links.Apart, true},
		"more pods than there are GPUs":            {"h100", 8, 4, 2, 0, false},
		"more GPUs than are looked through":        {"hgx2-v100", 16, 2, 1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := of(t, golden(t, test.system))
			f, ok := l.ForecastAmong(all(test.free), test.count, test.others)
			require.Equal(t, test.ok, ok)
			assert.Equal(t, test.want, f.Least.Kind)
		})
	}
}
