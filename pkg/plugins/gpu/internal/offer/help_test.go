package offer

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/wish"
)

func TestWhoIsHelpedByAChange(t *testing.T) {
	drained := scene{system: "h100", report: bad(gpu.Drain, 0)}
	leaky := scene{system: "h100", report: leaks(0)}
	for name, test := range map[string]struct {
		before, after scene
		need          Need
		want          bool
	}{
		"nothing happened":                            {h100s(), h100s(), one(1), false},
		"a GPU recovered":                             {drained, h100s(), one(1), true},
		"a GPU recovered, of a node too small":        {drained, h100s(), one(9), false},
		"a GPU recovered, of another product":         {drained, h100s(), one(1).with(wish.Wish{Products: "b200"}), false},
		"a GPU drains":                                {h100s(), drained, one(1), false},
		"one of two GPUs recovered":                   {scene{system: "h100", report: bad(gpu.Drain, 0, 1)}, drained, one(1), true},
		"one GPU recovered, all are wanted":           {scene{system: "h100", report: bad(gpu.Drain, 0, 1)}, drained, one(8), false},
		"the plugin withdrew the bad GPU":             {drained, scene{system: "h100", report: bad(gpu.Drain, 0), node: withdrawn(1)}, one(1), true},
		"the plugin withdrew a GPU":                   {h100s(), scene{system: "h100", node: withdrawn(1)}, one(1), false},
		"the plugin brought a GPU back":               {scene{system: "h100", node: withdrawn(1)}, h100s(), one(1), true},
		"the bad GPU was taken out":                   {scene{system: "h100", report: bad(gpu.Lost, 7)}, scene{system: "h100", report: lose, node: func(n *v1.Node) { setGPUs(n, 7, 7) }}, one(1), true},
		"a missing GPU came back":                     {scene{system: "h100", report: func(r *gpu.Report) { lose(r); r.Missing = 1 }}, h100s(), one(1), true},
		"a leak is gone":                              {leaky, h100s(), one(1).with(memory40), true},
		"a leak is gone, of who wishes for no memory": {leaky, h100s(), one(1), false},
		"a leak began":                                {h100s(), leaky, one(1).with(memory40), false},
		"links came up":                               {scene{system: "h100", report: isDown}, h100s(), one(2), true},
		"links came up, for who has one GPU":          {scene{system: "h100", report: isDown}, h100s(), one(1), false},
		"links went down":                             {h100s(), scene{system: "h100", report: isDown}, one(2), false},
		"GPUs are linked otherwise":                   {scene{system: "h100", report: flat}, h100s(), one(2), true},
		"GPUs are linked otherwise, for who has one":  {scene{system: "h100", report: flat}, h100s(), one(1), false},
		"the first report":                            {scene{}, h100s(), one(1).with(memory40), true},
		"the report is bad now":                       {drained, scene{text: "{}"}, one(1), true},
		"the report is bad now, and the wish unheard": {drained, scene{text: "{}"}, one(1).with(memory40), false},
		"MIG instances are done":                      {scene{system: "h100", node: labelled("nvidia.com/mig.config.state", "pending")}, h100s(), one(1), true},
		"MIG instances are begun":                     {h100s(), scene{system: "h100", node: labelled("nvidia.com/mig.config.state", "pending")}, one(1), false},
		"labels tell the product":                     {scene{}, scene{node: labelled("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3")}, one(1).with(wish.Wish{Products: "h100"}), true},
		"labels tell of something else":               {scene{}, scene{node: labelled("rack", "r1")}, one(1), false},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := test.before.offer(t), test.after.offer(t)
			assert.Equal(t, test.want, after.HelpedByChange(before.Node, test.need))
		})
	}
	o := h100s().offer(t)
	assert.True(t, o.HelpedByChange(nil, one(8)), "a new node")
	assert.False(t, o.HelpedByChange(nil, one(9)), "a new node that is too small")
}

func TestWhoIsHelpedByFreshness(t *testing.T) {
	for name, test := range map[string]struct {
		scene        scene
		need         Need
		stale, fresh bool // whether it helps that the report is now
		isSwayed     bool
	}{
		"nothing is wrong":             {h100s(), one(1), false, false, false},
		"a GPU is lost, and stays so":  {scene{system: "h100", report: bad(gpu.Lost, 0)}, one(1), false, false, false},
		"a GPU is degraded":            {scene{system: "h100", report: bad(gpu.Degraded, 0)}, one(1), false, false, false},
		"links are down, and stay so":  {scene{system: "h100", report: isDown}, one(2), false, false, false},
		"a leak, and a wish":           {scene{system: "h100", report: leaks(0)}, one(1).with(memory40), true, false, true},
		"a leak, and no wish":          {scene{system: "h100", report: leaks(0)}, one(1), false, false, true},
		"memory free beyond the usual": {scene{system: "h100", report: func(r *gpu.Report) { r.GPUs[0].FreeMiB = r.GPUs[0].MemoryMiB }}, one(1).with(wish.Wish{MemoryMiB: 81559}), false, true, true},
		"a device is withdrawn":        {scene{system: "h100", node: withdrawn(1)}, one(2), false, false, false},
		"no report":                    {scene{}, one(1), false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.scene.offer(t)
			assert.Equal(t, test.stale, o.HelpedByFreshness(true, test.need), "stale")
			assert.Equal(t, test.fresh, o.HelpedByFreshness(false, test.need), "fresh")
			assert.Equal(t, test.isSwayed, o.IsSwayed())
		})
	}
}

func TestWhoIsHelpedByPods(t *testing.T) {
	drained := scene{system: "h100", report: bad(gpu.Drain, 0)}
	starts, shows := pod{gpus: 1}, pod{gpus: 1, shows: []int{0}}
	runs := pod{gpus: 1, isRunning: true}
	for name, test := range map[string]struct {
		scene         scene
		before, after pod
		need          Need
		want          bool
	}{
		"it shows the bad GPU":                           {drained, starts, shows, one(1), true},
		"it showed it before":                            {drained, shows, shows, one(1), false},
		"it shows a GPU where none is bad":               {h100s(), starts, shows, one(1), false},
		"it shows a GPU, so that links are known":        {h100s(), starts, shows, one(2), true},
		"it shows a GPU, so that a leak is explained":    {h100s(), starts, shows, one(1).with(memory40), true},
		"it runs, and explains a leak":                   {h100s(), starts, runs, one(1).with(memory40), true},
		"it shows a device of nobody":                    {h100s(), starts, pod{gpus: 1, shows: []int{-1}}, one(1).with(memory40), true},
		"it shows a GPU on a node that tells of nothing": {scene{}, starts, pod{gpus: 1, shows: []int{-1}}, one(2), false},
	} {
		t.Run(name, func(t *testing.T) {
			o, r := test.scene.offer(t), golden(t, "h100")
			assert.Equal(t, test.want, o.HelpedByShowing(test.before.object("p", r), test.after.object("p", r), test.need))
		})
	}
	o, blind := h100s().offer(t), scene{}.offer(t)
	assert.True(t, o.HelpedByLeaving(one(2)), "more GPUs may be linked better")
	assert.False(t, o.HelpedByLeaving(one(1)))
	assert.False(t, blind.HelpedByLeaving(one(2)))
}
