package tour

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	phalanx "github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/demo/fabric"
	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
)

// The two racks that join the cluster: GB200 NVL72 systems, in which NVLink reaches from each GPU to each other.
const (
	traysPerRack  = 18
	gpusPerTray   = 4
	trayMemoryMiB = 189471
)

var racks = []struct {
	name   string
	clique gpu.Fabric
}{
	{"nvl1", gpu.Fabric{UUID: "7f2e1c84-50a9-4d0b-9a3e-6c1f0b7d2e55", Clique: 32766}},
	{"nvl2", gpu.Fabric{UUID: "d15c9b3e-08f7-4e62-b1d4-92a7c05e6f13", Clique: 32766}},
}

// addRacks creates their trays, which report, and carry the labels that their reporters give them.
func (t *Tour) addRacks(ctx context.Context) error {
	var nodes []*corev1.Node
	for _, rack := range racks {
		clique := fmt.Sprintf("%s.%d", rack.clique.UUID, rack.clique.Clique)
		for i := range traysPerRack {
			name := fmt.Sprintf("%s-t%d", rack.name, i+1)
			report, err := trayReport(name, rack.clique)
			if err != nil {
				return err
			}
			node := controlplane.NewNode(controlplane.FakeNode{Name: name, GPUs: gpusPerTray, Labels: map[string]string{
				fabric.CoreLabel: "NVL", fabric.SpineLabel: "NVL", fabric.LeafLabel: rack.name, phalanx.GPUCliqueKey: clique,
			}})
			node.Annotations[phalanx.GPUReportKey] = report
			t.Judge.SetNode(time.Now(), node)
			nodes = append(nodes, node)
		}
		t.tell("rack "+rack.name, "%d trays with %d GPUs each report clique %s", traysPerRack, gpusPerTray, clique)
	}
	return controlplane.CreateNodes(ctx, t.Cluster.Client, nodes)
}

// trayReport is what the reporter of a tray writes.
func trayReport(tray string, clique gpu.Fabric) (string, error) {
	r := gpu.Report{Driver: "580.82.07", Fabric: clique, Links: gpu.Links{Kind: gpu.MultiNode}}
	for i := range gpusPerTray {
		r.GPUs = append(r.GPUs, gpu.GPU{
			Index: i, UUID: uuidOf(tray, i), NUMA: i * 2 / gpusPerTray, Product: "NVIDIA GB200", Capability: gpu.Capability{Major: 10},
			MemoryMiB: trayMemoryMiB, FreeMiB: gpu.RoundFreeMiB(trayMemoryMiB, trayMemoryMiB-1), Links: linksPerGPU,
		})
	}
	text, err := r.Encode()
	return string(text), err
}

// fillCliques waits until the gangs run, and looks whether each stands in one clique, on no more trays than it must.
func (t *Tour) fillCliques(ctx context.Context, gangs []gang) error {
	for _, g := range gangs {
		seen, err := t.Observer.WaitFor(ctx, g.key, isRunning)
		if err != nil {
			return err
		}
		t.tell(g.key.Name, "%s", placed(seen))
		members, err := t.membersByNode(ctx, g)
		if err != nil {
			return err
		}
		rack, err := rackOf(members)
		if err != nil {
			return fmt.Errorf("%s: %w", g.key, err)
		}
		if least := (int(g.gpus) + gpusPerTray - 1) / gpusPerTray; len(members) != least {
			return fmt.Errorf("%s stands on %s, and %d would do", g.key, screen.Plural(len(members), "tray"), least)
		}
		t.tell("clique", "it stands on %s of rack %s; %d of its trays are left whole", screen.Plural(len(members), "tray"), rack, traysPerRack-len(members))
	}
	return nil
}

// rackOf is the rack that all members are in, who are counted by their trays.
func rackOf(members map[string]int) (string, error) {
	for _, rack := range racks {
		inside := 0
		for i := range traysPerRack {
			if members[fmt.Sprintf("%s-t%d", rack.name, i+1)] > 0 {
				inside++
			}
		}
		if inside == len(members) && inside > 0 {
			return rack.name, nil
		}
	}
	return "", fmt.Errorf("its members stand in no one clique: %v", members)
}
