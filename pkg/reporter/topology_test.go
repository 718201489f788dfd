package reporter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/internal/fake"
)

func TestNVLinks(t *testing.T) {
	t.Run("one that goes down", func(t *testing.T) {
		d := fake.H100()
		w := open(t, d)
		w.read()
		d.GPUs[6].Up[4] = false
		report := w.sure()
		assert.Equal(t, but(6, 8, "degraded: NVLinks are down"), states(report))
		assert.Equal(t, 1, report.GPUs[6].BadLinks)
		d.GPUs[6].Up[4] = true
		assert.Equal(t, but(-1, 8, ""), states(w.quiet()))
	})
	t.Run("one that was down before, where the others show how many there should be", func(t *testing.T) {
		d := fake.DGX1()
		d.GPUs[0].Up[0], d.GPUs[1].Up[0] = false, false
		report := open(t, d).sure()
		assert.Equal(t, "0 degraded: NVLinks are down; 1 degraded: NVLinks are down; ok; ok; ok; ok; ok; ok", states(report))
		assert.Equal(t, gpu.Mesh, report.Links.Kind)
		assert.Equal(t, gpu.Pair{A: 0, B: 2, Links: 1}, report.Links.Pairs[0], "the plugin does not count the pair either")
	})
	t.Run("all of a GPU behind switches", func(t *testing.T) {
		d := fake.H100()
		clear(d.GPUs[7].Up)
		report := open(t, d).sure()
		assert.Equal(t, 18, report.GPUs[7].BadLinks)
		assert.Equal(t, gpu.Switch, report.Links.Kind)
	})
	t.Run("none, of a GPU without a bridge", func(t *testing.T) {
		d := fake.A100PCIe()
		clear(d.GPUs[6].Up)
		clear(d.GPUs[7].Up)
		report := open(t, d).sure()
		assert.Equal(t, but(-1, 8, ""), states(report))
		assert.Zero(t, report.GPUs[7].Links)
		assert.Len(t, report.Links.Pairs, 3)
	})
	t.Run("some, on a model with fewer than its chip has", func(t *testing.T) {
		d := fake.H100()
		for _, g := range d.GPUs {
			clear(g.Up[8:])
		}
		report := open(t, d).sure()
		assert.Equal(t, but(-1, 8, ""), states(report))
		assert.Equal(t, 8, report.GPUs[0].Links)
	})
	t.Run("those that lead to CPUs", func(t *testing.T) {
		d := fake.L40S()
		for _, g := range d.GPUs {
			g.Up, g.Peers = []bool{true, true}, []reporter.Peer{{Kind: reporter.PeerCPU}, {Kind: reporter.PeerCPU}}
		}
		report := open(t, d).sure()
		assert.Equal(t, gpu.Links{}, report.Links)
		assert.Zero(t, report.GPUs[0].Links)
	})
	t.Run("those of which nobody knows where they lead", func(t *testing.T) {
		d := fake.H100()
		d.Faults = map[string]error{"LinkPeer": reporter.NotSupported}
		report := open(t, d).sure()
		assert.Equal(t, gpu.Links{}, report.Links)
	})
}

func TestFabrics(t *testing.T) {
	domain := gpu.Fabric{UUID: "7f2e1c84-50a9-4d0b-9a3e-6c1f0b7d2e55", Clique: 7}
	for name, test := range map[string]struct {
		change func(d *fake.Driver)
		kind   gpu.LinkKind
		isDown bool
		fabric gpu.Fabric
		state  string
	}{
		"a domain of many nodes":           {func(d *fake.Driver) { d.Join(domain) }, gpu.MultiNode, false, domain, "ok"},
		"switches of this node alone":      {func(d *fake.Driver) { d.Join(gpu.Fabric{}) }, gpu.Switch, false, gpu.Fabric{}, "ok"},
		"switches that need no setting up": {func(*fake.Driver) {}, gpu.Switch, false, gpu.Fabric{}, "ok"},
		"two domains on one node":          {func(d *fake.Driver) { d.Join(domain); d.GPUs[1].Switches.Domain.Clique = 8 }, gpu.Switch, false, gpu.Fabric{}, "ok"},
		"a domain that one GPU is not yet in": {func(d *fake.Driver) {
			d.Join(domain)
			d.GPUs[0].Switches = reporter.Fabric{State: reporter.FabricPending}
		}, gpu.MultiNode, true, domain, "0 degraded: fabric is being set up"},
		"switches that are being set up, with links that are not up yet": {func(d *fake.Driver) {
			for _, g := range d.GPUs {
				g.Switches.State = reporter.FabricPending
				clear(g.Up)
			}
		}, gpu.Switch, true, gpu.Fabric{}, "0 degraded: fabric is being set up"},
		"switches that failed": {func(d *fake.Driver) { d.GPUs[0].Switches.State = reporter.FabricFailed }, gpu.Switch, true, gpu.Fabric{}, "0 degraded: fabric failed"},
	} {
		t.Run(name, func(t *testing.T) {
			d := fake.H100()
			test.change(d)
			report := open(t, d).sure()
			assert.Equal(t, test.kind, report.Links.Kind)
			assert.Equal(t, test.isDown, report.Links.IsDown)
			assert.Equal(t, test.fabric, report.Fabric)
			assert.Equal(t, test.state, strings.Split(states(report), ";")[0])
		})
	}
}
