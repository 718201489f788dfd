package offer

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/wish"
)

type row struct {
	scene scene
	need  Need
	want  Refusal
}

func check(t *testing.T, rows map[string]row) {
	t.Helper()
	for name, test := range rows {
		t.Run(name, func(t *testing.T) {
			o := test.scene.offer(t)
			assert.Equal(t, test.want, o.Refusal(test.need, &Forecaster{}))
			assert.LessOrEqual(t, o.Free(), o.Allocatable, "nothing makes it more than it is")
		})
	}
}

// The table of package comment: how a GPU counts whose health is in doubt.
func TestHealth(t *testing.T) {
	drain := bad(gpu.Drain, 0)
	shown := pod{gpus: 1, shows: []int{0}, isRunning: true}
	check(t, map[string]row{
		"all is well":                                             {h100s(), one(1), Refusal{}},
		"a degraded GPU is a GPU":                                 {scene{system: "h100", report: bad(gpu.Degraded, 0)}, one(8), Refusal{}},
		"a draining GPU that is free closes the node":             {scene{system: "h100", report: drain}, one(1), unhealthy},
		"a lost GPU that is free closes the node":                 {scene{system: "h100", report: bad(gpu.Lost, 7)}, one(1), unhealthy},
		"a bad GPU that a running pod holds closes nothing":       {scene{system: "h100", report: drain, pods: []pod{shown}}, one(7), Refusal{}},
		"a bad GPU that a starting pod holds closes nothing":      {scene{system: "h100", report: drain, pods: []pod{{gpus: 1, shows: []int{0}}}}, one(7), Refusal{}},
		"another pod's GPU is no excuse for a bad one":            {scene{system: "h100", report: drain, pods: []pod{{gpus: 1, shows: []int{1}, isRunning: true}}}, one(1), unhealthy},
		"a bad GPU that the plugin withdrew closes nothing":       {scene{system: "h100", report: drain, node: withdrawn(1)}, one(7), Refusal{}},
		"one of two bad GPUs is withdrawn, the other closes":      {scene{system: "h100", report: bad(gpu.Drain, 0, 1), node: withdrawn(1)}, one(1), unhealthy},
		"one of two bad GPUs is held, the other closes":           {scene{system: "h100", report: bad(gpu.Drain, 0, 1), pods: []pod{shown}}, one(1), unhealthy},
		"one of two bad GPUs is held, the other withdrawn":        {scene{system: "h100", report: bad(gpu.Drain, 0, 1), node: withdrawn(1), pods: []pod{{gpus: 1, shows: []int{0}, isRunning: true}}}, one(1), Refusal{}},
		"a held GPU that the plugin withdrew excuses no other":    {scene{system: "h100", report: bad(gpu.Drain, 0, 1), node: withdrawn(1), pods: []pod{{gpus: 1, shows: []int{0}, isRunning: true, unhealthy: true}}}, one(1), unhealthy},
		"both are withdrawn, of which one is held":                {scene{system: "h100", report: bad(gpu.Drain, 0, 1), node: withdrawn(2), pods: []pod{{gpus: 1, shows: []int{0}, isRunning: true, unhealthy: true}}}, one(1), Refusal{}},
		"a GPU that the plugin alone takes for bad":               {scene{system: "h100", node: withdrawn(1)}, one(7), Refusal{}},
		"a held GPU that the plugin alone takes for bad":          {scene{system: "h100", node: withdrawn(1), pods: []pod{{gpus: 1, shows: []int{0}, isRunning: true, unhealthy: true}}}, one(6), Refusal{}},
		"a GPU that is missing closes the node":                   {scene{system: "h100", report: func(r *gpu.Report) { lose(r); r.Missing = 1 }}, one(1), unhealthy},
		"a GPU that is missing and withdrawn":                     {scene{system: "h100", report: func(r *gpu.Report) { lose(r); r.Missing = 1 }, node: withdrawn(1)}, one(7), Refusal{}},
		"a GPU is missing that the plugin never had":              {scene{system: "h100", report: func(r *gpu.Report) { lose(r); r.Missing = 1 }, node: func(n *v1.Node) { setGPUs(n, 7, 7) }}, one(7), Refusal{}},
		"a pod that shows nothing may hold the bad GPU, or not":   {scene{system: "h100", report: drain, pods: []pod{{gpus: 1, isRunning: true}}}, one(1), unhealthy},
		"a pod that was just placed neither":                      {scene{system: "h100", report: drain, pods: []pod{{gpus: 1}}}, one(1), unhealthy},
		"a bad GPU that is cut into MIG instances is no GPU":      {scene{system: "h100", report: both(drain, cut(0)), node: func(n *v1.Node) { setGPUs(n, 7, 7) }}, one(7), Refusal{}},
		"what a stale report calls ok is open":                    {scene{system: "h100", isStale: true}, one(8), Refusal{}},
		"what a stale report calls degraded too":                  {scene{system: "h100", report: bad(gpu.Degraded, 0), isStale: true}, one(8), Refusal{}},
		"a lost GPU stays so when the report is stale":            {scene{system: "h100", report: bad(gpu.Lost, 0, 1), isStale: true}, one(1), unhealthy},
		"and closes nothing once the plugin withdraws it":         {scene{system: "h100", report: drain, node: withdrawn(1), isStale: true}, one(7), Refusal{}},
		"nor while a pod holds it":                                {scene{system: "h100", report: drain, pods: []pod{shown}, isStale: true}, one(7), Refusal{}},
		"a missing GPU stays so when the report is stale":         {scene{system: "h100", report: func(r *gpu.Report) { lose(r); r.Missing = 1 }, isStale: true}, one(1), unhealthy},
		"links to the switches are down: not two":                 {scene{system: "h100", report: isDown}, one(2), down},
		"links to the switches are down: one":                     {scene{system: "h100", report: isDown}, one(1), Refusal{}},
		"links to the switches are down: one in each of two":      {scene{system: "h100", report: isDown}, Need{Count: 2, Largest: 1, Sets: 2}, Refusal{}},
		"links to the switches were down when it was last heard":  {scene{system: "h100", report: isDown, isStale: true}, one(2), down},
		"MIG instances are being made":                            {scene{system: "h100", node: labelled("nvidia.com/mig.config.state", "pending")}, one(1), recut},
		"the node reboots for MIG":                                {scene{node: labelled("nvidia.com/mig.config.state", "rebooting")}, one(1), recut},
		"MIG instances have been made":                            {scene{system: "h100", node: labelled("nvidia.com/mig.config.state", "success")}, one(1), Refusal{}},
		"no report":                                               {scene{}, one(8), Refusal{}},
		"a report that cannot be read is no report":               {scene{text: "{}"}, one(8), Refusal{}},
		"a report of more GPUs than there are is no report":       {scene{system: "h100", report: drain, node: func(n *v1.Node) { setGPUs(n, 4, 4) }}, one(4), Refusal{}},
		"more devices than the report tells of":                   {scene{system: "h100", node: func(n *v1.Node) { setGPUs(n, 32, 32) }}, one(9), Refusal{}},
		"more devices than the report tells of, a GPU of it lost": {scene{system: "h100", report: drain, node: func(n *v1.Node) { setGPUs(n, 32, 32) }}, one(1), unhealthy},
	})
}

func lose(r *gpu.Report) {
	r.GPUs = r.GPUs[:7]
	r.Near = r.Near[:6]
	for a := range r.Near {
		r.Near[a] = r.Near[a][:6-a]
	}
}

func cut(at int) func(r *gpu.Report) { return func(r *gpu.Report) { r.GPUs[at].IsMIG = true } }

func isDown(r *gpu.Report) { r.Links.IsDown = true }

func TestMemory(t *testing.T) {
	dirty := scene{system: "h100", report: leaks(0)}
	with := func(s scene, pods ...pod) scene { s.pods = pods; return s }
	stale := dirty
	stale.isStale = true
	check(t, map[string]row{
		"idle GPUs have memory":                                  {h100s(), one(8).with(memory40), Refusal{}},
		"a leak on an idle GPU":                                  {dirty, one(1).with(memory40), memory},
		"a leak is nothing to who does not wish for memory":      {dirty, one(8), Refusal{}},
		"what a pod uses of its GPU is no leak":                  {with(dirty, pod{gpus: 1, shows: []int{0}, isRunning: true}), one(7).with(memory40), Refusal{}},
		"a pod that runs and shows nothing explains one leak":    {with(dirty, pod{gpus: 1, isRunning: true}), one(7).with(memory40), Refusal{}},
		"a pod that does not run yet explains none":              {with(dirty, pod{gpus: 1}), one(1).with(memory40), memory},
		"one such pod does not explain two leaks":                {with(scene{system: "h100", report: leaks(0, 1)}, pod{gpus: 1, isRunning: true}), one(1).with(memory40), memory},
		"a stale report's word on free memory is nothing":        {stale, one(8).with(memory40), Refusal{}},
		"a stale report's word on the size of memory holds":      {stale, one(1).with(wish.Wish{MemoryMiB: 80 << 10}), memory},
		"more than the GPU has, however many pods could explain": {with(h100s(), pod{gpus: 7, isRunning: true}), one(1).with(wish.Wish{MemoryMiB: 100 << 10}), memory},
		"fifteen sixteenths are what is ever free":               {h100s(), one(1).with(wish.Wish{MemoryMiB: 76461}), Refusal{}},
		"one MiB more is not":                                    {h100s(), one(1).with(wish.Wish{MemoryMiB: 76462}), memory},
		"one MiB more is not of a stale report":                  {scene{system: "h100", isStale: true}, one(1).with(wish.Wish{MemoryMiB: 76462}), memory},
		"devices that the report does not tell of":               {scene{system: "h100", node: func(n *v1.Node) { setGPUs(n, 9, 9) }}, one(1).with(memory40), unknown},
		"such a device is another pod's":                         {scene{system: "h100", node: func(n *v1.Node) { setGPUs(n, 9, 9) }, pods: []pod{{gpus: 1, shows: []int{-1}}}}, one(1).with(memory40), Refusal{}},
		"no report, and no label":                                {scene{}, one(1).with(memory40), unknown},
		"no report, and a label":                                 {scene{node: labelled("nvidia.com/gpu.memory", "81559")}, one(1).with(memory40), Refusal{}},
		"no report, and a label of less":                         {scene{node: labelled("nvidia.com/gpu.memory", "24576")}, one(1).with(memory40), memory},
		"no report, and a label of just so much":                 {scene{node: labelled("nvidia.com/gpu.memory", "40960")}, one(1).with(memory40), memory},
		"no report, and a label that is no number":               {scene{node: labelled("nvidia.com/gpu.memory", "much")}, one(1).with(memory40), unknown},
		"no report, and the memory is shared by several":         {scene{node: labelled("nvidia.com/gpu.memory", "81559", "nvidia.com/gpu.replicas", "4")}, one(1).with(memory40), unknown},
	})
}

func TestModels(t *testing.T) {
	product := func(words string) wish.Wish { return wish.Wish{Products: words} }
	atLeast := func(major, minor int) wish.Wish {
		return wish.Wish{Capability: gpu.Capability{Major: major, Minor: minor}}
	}
	mixed := func(r *gpu.Report) {
		r.GPUs[7].Product, r.GPUs[7].Capability = "NVIDIA A100-SXM4-80GB", gpu.Capability{Major: 8}
	}
	mute := func(r *gpu.Report) { r.GPUs[7].Product, r.GPUs[7].Capability = "", gpu.Capability{} }
	check(t, map[string]row{
		"the product":                              {h100s(), one(1).with(product("h100")), Refusal{}},
		"one of several":                           {h100s(), one(1).with(product("b200,h100")), Refusal{}},
		"another product":                          {h100s(), one(1).with(product("b200")), model},
		"the same capability":                      {h100s(), one(1).with(atLeast(9, 0)), Refusal{}},
		"an earlier one suffices":                  {h100s(), one(1).with(atLeast(8, 9)), Refusal{}},
		"a later one does not":                     {h100s(), one(1).with(atLeast(10, 0)), capability},
		"one GPU of another product is free":       {scene{system: "h100", report: mixed}, one(1).with(product("h100")), model},
		"one GPU of another product is taken":      {scene{system: "h100", report: mixed, pods: []pod{{gpus: 1, shows: []int{7}}}}, one(1).with(product("h100")), Refusal{}},
		"one GPU of an earlier capability is free": {scene{system: "h100", report: mixed}, one(1).with(atLeast(9, 0)), capability},
		"a GPU does not tell its product":          {scene{system: "h100", report: mute}, one(1).with(product("h100")), unknown},
		"a GPU does not tell its capability":       {scene{system: "h100", report: mute}, one(1).with(atLeast(9, 0)), unknown},
		"a stale report holds":                     {scene{system: "h100", isStale: true}, one(1).with(product("h100")), Refusal{}},
		"no report, and no labels":                 {scene{}, one(1).with(product("h100")), unknown},
		"no report, and labels":                    {scene{node: labelled("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3")}, one(1).with(product("h100")), Refusal{}},
		"no report, and labels of another product": {scene{node: labelled("nvidia.com/gpu.product", "NVIDIA-L40S")}, one(1).with(product("h100")), model},
		"no report, and labels of a capability":    {scene{node: labelled("nvidia.com/gpu.compute.major", "9", "nvidia.com/gpu.compute.minor", "0")}, one(1).with(atLeast(9, 0)), Refusal{}},
		"no report, and labels of an earlier one":  {scene{node: labelled("nvidia.com/gpu.compute.major", "8", "nvidia.com/gpu.compute.minor", "6")}, one(1).with(atLeast(9, 0)), capability},
	})
}

func TestLinks(t *testing.T) {
	pairs := func(pods ...pod) scene { return scene{system: "a100-pcie", pods: pods} }
	two := one(2).with(nvlink)
	check(t, map[string]row{
		"behind switches any two":                             {h100s(), two, Refusal{}},
		"behind switches any two of those that are left":      {h100s(holds(0, 1, 2)), two, Refusal{}},
		"behind switches, though nobody knows which are free": {h100s(pod{gpus: 3}), two, Refusal{}},
		"behind switches, in two containers":                  {h100s(), Need{Count: 4, Largest: 2, Sets: 2}.with(nvlink), Refusal{}},
		"a bridged pair":                                      {pairs(), two, Refusal{}},
		"the last bridged pair":                               {pairs(holds(0, 2, 4, 5)), two, Refusal{}},
		"no bridged pair is left":                             {pairs(holds(0, 2, 4, 6)), two, apart},
		"no bridged pair is left, none is required":           {pairs(holds(0, 2, 4, 6)), one(2), Refusal{}},
		"no bridged pair is left, one is preferred":           {pairs(holds(0, 2, 4, 6)), one(2).with(preferred), Refusal{}},
		"one GPU needs no link":                               {pairs(holds(0, 2, 4, 6)), one(1).with(nvlink), Refusal{}},
		"pairs, of which one is promised":                     {pairs(pod{gpus: 2}), two, Refusal{}},
		"pairs, of which all others are promised":             {pairs(pod{gpus: 2}, pod{gpus: 2}, pod{gpus: 2}), two, Refusal{}},
		"pairs, and more than one GPU of one is promised":     {pairs(pod{gpus: 3}), two, unseen},
		"pairs, of which a pod has one and shows nothing":     {pairs(pod{gpus: 2, isRunning: true}), two, unseen},
		"pairs, and a device is withdrawn, nobody says which": {scene{system: "a100-pcie", node: withdrawn(1)}, two, unseen},
		"pairs, and the withdrawn device is known":            {scene{system: "a100-pcie", node: withdrawn(1), report: bad(gpu.Lost, 0)}, two, Refusal{}},
		"pairs in two containers could be anything":           {pairs(), Need{Count: 4, Largest: 2, Sets: 2}.with(nvlink), apart},
		"one NUMA node":                                       {scene{system: "l40s"}, one(4).with(sameNUMA), Refusal{}},
		"more than one NUMA node has":                         {scene{system: "l40s"}, one(5).with(sameNUMA), apart},
		"a stale report's links hold":                         {scene{system: "a100-pcie", isStale: true}, two, Refusal{}},
		"links that a stale report calls down are no links":   {scene{system: "h100", report: isDown, isStale: true}, two, down},
		"devices that the report does not tell of":            {scene{system: "h100", node: func(n *v1.Node) { setGPUs(n, 9, 9) }}, two, unknown},
		"no report":              {scene{}, two, unknown},
		"no report, and one GPU": {scene{}, one(1).with(nvlink), Refusal{}},
	})
}

// A best cut may hold a pair that scores more than the three that are asked for: the plugin answers with the pair.
func TestThePluginWouldHandOutTooFew(t *testing.T) {
	odd := func(r *gpu.Report) {
		r.Links = gpu.Links{Kind: gpu.Bridge, Pairs: []gpu.Pair{{A: 0, B: 1, Links: 12}}}
		for a := range r.Near {
			for b := range r.Near[a] {
				r.Near[a][b] = gpu.CrossCPU
			}
		}
	}
	left := pod{gpus: 3, shows: []int{5, 6, 7}, isRunning: true}
	check(t, map[string]row{
		"three of five, two of which are bridged": {scene{system: "h100", report: odd, pods: []pod{left}}, one(3), short},
		"two of them":          {scene{system: "h100", report: odd, pods: []pod{left}}, one(2), Refusal{}},
		"all of them":          {scene{system: "h100", report: odd, pods: []pod{left}}, one(5), Refusal{}},
		"by a stale report":    {scene{system: "h100", report: odd, pods: []pod{left}, isStale: true}, one(3), short},
		"one of two pods":      {scene{system: "h100", report: odd, pods: []pod{{gpus: 3}}}, one(3), short},
		"nobody knows of whom": {scene{system: "h100", report: odd, pods: []pod{{gpus: 3, isRunning: true}}}, one(3), Refusal{}},
	})
}

func TestProblems(t *testing.T) {
	for name, test := range map[string]struct {
		scene     scene
		want      string
		hasReport bool
	}{
		"a sound report":                       {h100s(), "", true},
		"none":                                 {scene{}, "", false},
		"no JSON":                              {scene{text: "drain"}, "annotation phalanx.dev/gpu-report: GPU report: invalid character 'd' looking for beginning of value", false},
		"more GPUs than the node has":          {scene{system: "h100", node: func(n *v1.Node) { setGPUs(n, 4, 4) }}, "annotation phalanx.dev/gpu-report: it tells of 8 GPUs, the node has a capacity of 4 nvidia.com/gpu", false},
		"no more whole GPUs than the node has": {scene{system: "h100", report: both(cut(0), cut(1)), node: func(n *v1.Node) { setGPUs(n, 6, 6) }}, "", true},
		"no device plugin yet":                 {scene{system: "h100", node: func(n *v1.Node) { setGPUs(n, 0, 0) }}, "", false},
		"the device plugin has gone":           {scene{system: "h100", node: func(n *v1.Node) { setGPUs(n, 8, 0) }}, "", true},
		"a capacity below zero":                {scene{system: "h100", node: func(n *v1.Node) { setGPUs(n, -8, -8) }}, "", false},
		"MIG instances under the name of GPUs": {scene{system: "h100", report: both(cut(0), cut(1), cut(2), cut(3), cut(4), cut(5), cut(6), cut(7)), node: func(n *v1.Node) { setGPUs(n, 56, 56) }}, "", true},
		"a capacity beyond any node": {scene{system: "h100", node: func(n *v1.Node) {
			n.Status.Capacity[GPU] = resource.MustParse("5E")
		}}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.scene.offer(t)
			assert.Equal(t, test.want, o.Problem)
			assert.Equal(t, test.hasReport, o.HasReport())
		})
	}
	for _, text := range []string{strings.Repeat("[", gpu.MaxBytes), `{"version":1,"` + strings.Repeat("x", 10_000) + `":1}`, strings.Repeat(" ", 1<<20)} {
		o := scene{text: text}.offer(t)
		assert.NotEmpty(t, o.Problem)
		assert.Less(t, len(o.Problem), 400, "it must fit into an event")
		assert.False(t, o.HasReport())
	}
}

func TestAReportIsParsedOnce(t *testing.T) {
	o := h100s().offer(t)
	text, err := golden(t, "h100").Encode()
	require.NoError(t, err)
	again := &v1.Node{}
	setGPUs(again, 8, 7)
	again.Annotations = map[string]string{"phalanx.dev/gpu-report": string(text)}
	n := Read(again, nil, o.Node)
	assert.Same(t, o.report, n.report)
	assert.Equal(t, 7, n.Allocatable)
}

func TestTheDomain(t *testing.T) {
	assert.Equal(t, "7f2e1c84-50a9-4d0b-9a3e-6c1f0b7d2e55.32766", scene{system: "gb200"}.offer(t).Domain, "as the label nvidia.com/gpu.clique has it")
	assert.Equal(t, "a.1", scene{node: labelled("nvidia.com/gpu.clique", "a.1")}.offer(t).Domain)
	assert.Empty(t, h100s().offer(t).Domain)
}

func TestWhatPodsHold(t *testing.T) {
	o := h100s(pod{gpus: 2, shows: []int{0, 1}}, pod{gpus: 2, isRunning: true}, pod{gpus: 3}, pod{gpus: 1, shows: []int{-1}}).offer(t)
	assert.Equal(t, Taken{Count: 8, held: 0b11, foreign: 1, hiddenRunning: 2, hiddenNew: 3, promised: map[int]int{3: 1}}, o.Taken)
	assert.Zero(t, o.Free())
	o = h100s(pod{gpus: 7}).offer(t)
	assert.Equal(t, 1, o.Free())

	r := golden(t, "h100")
	twice := pod{gpus: 1, shows: []int{4}}.object("p", r)
	twice.Status.InitContainerStatuses = twice.Status.ContainerStatuses
	other := v1.ResourceStatus{Name: "nvidia.com/mig-1g.10gb", Resources: []v1.ResourceHealth{{ResourceID: v1.ResourceID(r.GPUs[5].UUID)}}}
	twice.Status.ContainerStatuses[0].AllocatedResourcesStatus = append(twice.Status.ContainerStatuses[0].AllocatedResourcesStatus, other)
	var shown []string
	EachHeld(twice, func(uuid string, _ v1.ResourceHealthStatus) { shown = append(shown, uuid) })
	assert.Equal(t, []string{r.GPUs[4].UUID}, shown, "once, and nothing of MIG")
	assert.False(t, ShowsOthers(pod{gpus: 1, shows: []int{4}}.object("p", r), twice))
	assert.True(t, ShowsOthers(pod{gpus: 1}.object("p", r), twice))
}

func TestLinksOfMoreGPUsThanAreForetold(t *testing.T) {
	r := &gpu.Report{}
	for i := range links.MaxGPUs + 1 {
		r.GPUs = append(r.GPUs, gpu.GPU{Index: i, NUMA: -1})
	}
	o := Offer{Node: &Node{Capacity: 17, Allocatable: 17, report: newReport(r)}}
	assert.Equal(t, unknown, o.Refusal(one(2).with(nvlink), &Forecaster{}))
	assert.Equal(t, Refusal{}, o.Refusal(one(2), &Forecaster{}))
}
