package offer

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/wish"
)

func holds(positions ...int) pod { return pod{gpus: len(positions), shows: positions, isRunning: true} }

func TestMerits(t *testing.T) {
	fit := func(m Merits) int { return m.Fit }
	wholeNodes := func(m Merits) int { return m.WholeNodes }
	wholeGroups := func(m Merits) int { return m.WholeGroups }
	linked := func(m Merits) int { return m.Links }
	health := func(m Merits) int { return m.Health }
	freshness := func(m Merits) int { return m.Freshness }
	on := func(system string, pods ...pod) scene { return scene{system: system, pods: pods} }
	for name, test := range map[string]struct {
		scene scene
		need  Need
		merit func(Merits) int
		want  int
	}{
		"nothing is left":                               {h100s(holds(0, 1, 2, 3)), one(4), fit, 100},
		"a quarter is left":                             {h100s(holds(0, 1, 2, 3)), one(2), fit, 75},
		"nearly all is left":                            {h100s(), one(1), fit, 12},
		"GPUs that were withdrawn are not left":         {scene{system: "h100", node: withdrawn(4)}, one(4), fit, 100},
		"nothing is left, and nobody knows which":       {h100s(pod{gpus: 4}), one(4), fit, 100},
		"without a report":                              {scene{pods: []pod{{gpus: 4}}}, one(2), fit, 75},
		"a node without GPUs":                           {scene{node: func(n *v1.Node) { setGPUs(n, 0, 0) }}, one(1), fit, 0},
		"a whole node for a part of it":                 {h100s(), one(4), wholeNodes, 0},
		"a whole node for all of it":                    {h100s(), one(8), wholeNodes, 100},
		"a broken node":                                 {h100s(pod{gpus: 1}), one(4), wholeNodes, 100},
		"one of a bridged pair, where all are whole":    {on("a100-pcie"), one(1), wholeGroups, 0},
		"a bridged pair, but half a NUMA node":          {on("a100-pcie"), one(2), wholeGroups, 50},
		"two bridged pairs, and a NUMA node":            {on("a100-pcie"), one(4), wholeGroups, 100},
		"one where one of a pair is left":               {on("a100-pcie", holds(0)), one(1), wholeGroups, 100},
		"two where one of a pair is left, and a pair":   {on("a100-pcie", holds(0)), one(2), wholeGroups, 100},
		"one where pairs are left of a NUMA node":       {on("a100-pcie", holds(0, 1)), one(1), wholeGroups, 50},
		"a half of NVSwitched GPUs":                     {h100s(), one(4), wholeGroups, 100},
		"one of NVSwitched GPUs":                        {h100s(), one(1), wholeGroups, 0},
		"one where a half is broken":                    {h100s(holds(5)), one(1), wholeGroups, 100},
		"more than what is left of the broken half":     {h100s(holds(5, 6)), one(3), wholeGroups, 0},
		"nobody knows what is broken":                   {h100s(pod{gpus: 1}), one(1), wholeGroups, 50},
		"no report tells of groups":                     {scene{}, one(1), wholeGroups, 50},
		"no groups":                                     {scene{system: "h100", report: flat}, one(1), wholeGroups, 100},
		"NVLink":                                        {h100s(), one(2), linked, 100},
		"one GPU":                                       {on("l40s"), one(1), linked, 100},
		"one PCI switch":                                {on("l40s"), one(2), linked, 66},
		"one NUMA node":                                 {on("l40s"), one(4), linked, 33},
		"apart":                                         {on("l40s"), one(8), linked, 0},
		"all that is preferred":                         {on("l40s"), one(4).with(prefers(links.SameNUMA)), linked, 100},
		"half of what is preferred":                     {on("l40s"), one(4).with(prefers(links.SameSwitch)), linked, 50},
		"nobody knows":                                  {on("l40s", pod{gpus: 1}), one(2), linked, 50},
		"nobody knows, but it is all the same":          {h100s(pod{gpus: 1}), one(2), linked, 100},
		"no report tells of links":                      {scene{}, one(2), linked, 50},
		"nothing is known against any":                  {h100s(), one(1), health, 100},
		"a quarter is degraded":                         {scene{system: "h100", report: bad(gpu.Degraded, 0, 1)}, one(1), health, 75},
		"a degraded GPU that is another pod's":          {scene{system: "h100", report: bad(gpu.Degraded, 0), pods: []pod{holds(0)}}, one(1), health, 100},
		"a quarter has leaks":                           {scene{system: "h100", report: leaks(0, 1)}, one(1), health, 75},
		"leaks of degraded GPUs count once":             {scene{system: "h100", report: both(leaks(0, 1), bad(gpu.Degraded, 0, 1))}, one(1), health, 75},
		"a leak that a pod explains":                    {scene{system: "h100", report: leaks(0), pods: []pod{{gpus: 1, isRunning: true}}}, one(1), health, 100},
		"a quarter was degraded when it was last heard": {scene{system: "h100", report: bad(gpu.Degraded, 0, 1), isStale: true}, one(1), health, 75},
		"leaks of a stale report are nothing":           {scene{system: "h100", report: leaks(0, 1), isStale: true}, one(1), health, 100},
		"nothing is known":                              {scene{}, one(1), health, 100},
		"no GPU is free that anything could be against": {h100s(holds(0, 1, 2, 3, 4, 5, 6, 7)), one(1), health, 100},
		"a report":                                      {h100s(), one(1), freshness, 100},
		"a stale report":                                {scene{system: "h100", isStale: true}, one(1), freshness, 0},
		"no report":                                     {scene{}, one(1), freshness, 50},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.scene.offer(t)
			assert.Equal(t, test.want, test.merit(o.Merits(test.need, false, &Forecaster{})))
		})
	}
}

func prefers(kind links.Kind) wish.Wish { return wish.Wish{Link: wish.Link{Kind: kind}} }

// flat leaves no GPU nearer to one than to another.
func flat(r *gpu.Report) {
	r.Near = nil
	for i := range r.GPUs {
		r.GPUs[i].NUMA = 0
	}
}

func TestWholeDomains(t *testing.T) {
	for name, test := range map[string]struct {
		scene   scene
		isWhole bool
		want    int
	}{
		"a domain that nobody uses": {scene{system: "gb200"}, true, 0},
		"a domain in use":           {scene{system: "gb200"}, false, 100},
		"no domain":                 {h100s(), true, 100},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.scene.offer(t)
			assert.Equal(t, test.want, o.Merits(one(4), test.isWhole, &Forecaster{}).WholeDomains)
		})
	}
}
