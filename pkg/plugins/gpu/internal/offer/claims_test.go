package offer

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/claims"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/wish"
)

// driver is a DRA driver that offers these GPUs of a report, of which claims hold some.
func driver(offered, held set) func(r *gpu.Report) *claims.View {
	return func(r *gpu.Report) *claims.View {
		v := &claims.View{Offered: map[string]bool{}, Held: map[string]bool{}}
		for at := range offered.positions {
			v.Offered[r.GPUs[at].UUID] = true
		}
		for at := range held.positions {
			v.Held[r.GPUs[at].UUID] = true
		}
		return v
	}
}

func tainted(count int, of func(r *gpu.Report) *claims.View) func(r *gpu.Report) *claims.View {
	return func(r *gpu.Report) *claims.View {
		v := of(r)
		v.Tainted = count
		return v
	}
}

// The table of the package comment: who may hand out which GPUs where there is a DRA driver.
func TestClaims(t *testing.T) {
	const all, upper = set(0xff), set(0xf0)
	half := func(n *v1.Node) { setGPUs(n, 4, 4) }
	none := func(n *v1.Node) { n.Status = v1.NodeStatus{} }
	pair := wish.Wish{Link: wish.Link{Kind: links.SameSwitch, IsRequired: true}}
	check(t, map[string]row{
		"both have all GPUs, claims hold none":              {scene{system: "h100", driver: driver(all, 0)}, one(8), Refusal{}},
		"a claim holds one that the plugin has, too":        {scene{system: "h100", driver: driver(all, 1)}, one(1), claimed},
		"it holds it, no slice lists it any more":           {scene{system: "h100", driver: driver(0, 1)}, one(1), claimed},
		"the plugin's pods hold all others":                 {scene{system: "h100", driver: driver(all, 1), pods: []pod{{gpus: 7, shows: []int{1, 2, 3, 4, 5, 6, 7}}}}, one(1), claimed},
		"a pod shows the one that the claim has":            {scene{system: "h100", driver: driver(all, 1), pods: []pod{{gpus: 1, shows: []int{0}}}}, one(7), Refusal{}},
		"each has its half":                                 {scene{system: "h100", node: half, driver: driver(upper, 0)}, one(4), Refusal{}},
		"what claims hold of their half is no matter":       {scene{system: "h100", node: half, driver: driver(upper, upper)}, one(4), Refusal{}},
		"nor is a bad GPU there":                            {scene{system: "h100", report: bad(gpu.Lost, 7), node: half, driver: driver(upper, 0)}, one(4), Refusal{}},
		"nor is memory in use there":                        {scene{system: "h100", report: leaks(7), node: half, driver: driver(upper, upper)}, one(4).with(memory40), Refusal{}},
		"a bad one of the plugin's closes the node":         {scene{system: "h100", report: bad(gpu.Lost, 0), node: half, driver: driver(upper, 0)}, one(1), unhealthy},
		"links of the plugin's half are known":              {scene{system: "a100-pcie", node: half, driver: driver(upper, 0)}, one(2).with(pair), Refusal{}},
		"the driver has all, nobody holds any":              {scene{system: "h100", node: none, driver: driver(all, 0)}, one(8), Refusal{}},
		"a bad one could be given away":                     {scene{system: "h100", report: bad(gpu.Lost, 0), node: none, driver: driver(all, 0)}, one(1), unhealthy},
		"a claim has the bad one":                           {scene{system: "h100", report: bad(gpu.Lost, 0), node: none, driver: driver(all, 1)}, one(1), Refusal{}},
		"the bad one is tainted":                            {scene{system: "h100", report: bad(gpu.Lost, 0), node: none, driver: tainted(1, driver(all, 0))}, one(1), Refusal{}},
		"the bad one is not offered":                        {scene{system: "h100", report: bad(gpu.Lost, 0), node: none, driver: driver(all&^1, 0)}, one(7), Refusal{}},
		"memory is in use by a claim":                       {scene{system: "h100", report: leaks(0), node: none, driver: driver(all, 1)}, one(1).with(memory40), Refusal{}},
		"memory is in use by nobody":                        {scene{system: "h100", report: leaks(0), node: none, driver: driver(all, 2)}, one(1).with(memory40), memory},
		"the driver chooses links as it likes":              {scene{system: "a100-pcie", node: none, driver: driver(all, 0)}, one(2).with(nvlink), apart},
		"any two that it may choose are linked":             {scene{system: "h100", node: none, driver: driver(all, 1)}, one(2).with(nvlink), Refusal{}},
		"the report tells of more than driver and plugin":   {scene{system: "h100", node: half, driver: driver(0x70, 0)}, one(4), Refusal{}},
		"without a report there is nothing to hold against": {scene{node: none}, one(1), Refusal{}},
	})
}

func TestWhatClaimsTake(t *testing.T) {
	none := func(n *v1.Node) { n.Status = v1.NodeStatus{} }
	o := scene{system: "h100", node: none, driver: driver(0xff, 0b11)}.offer(t)
	assert.Equal(t, 6, o.Free())
	assert.Equal(t, Taken{Count: 2, held: 0b11}, o.Taken)
	o = scene{system: "h100", node: none, driver: driver(0xff, 0b11), pods: []pod{{gpus: 2, isRunning: true}, {gpus: 4}}}.offer(t)
	assert.Equal(t, Taken{Count: 6, held: 0b11, hiddenNew: 4}, o.Taken, "of four the claim is not seen yet")
	o = scene{system: "h100", node: func(n *v1.Node) { setGPUs(n, 4, 4) }, driver: driver(0x70, 0)}.offer(t)
	assert.Equal(t, "annotation phalanx.dev/gpu-report: it tells of 8 GPUs, the node has a capacity of 4 nvidia.com/gpu", o.Problem)
}
