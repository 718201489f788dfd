package fake

import (
	"fmt"
	"slices"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

// New is a driver with GPUs of one model, as they are when nobody uses them, one after the other at these addresses.
func New(version, product string, capability gpu.Capability, memoryMiB int, addresses ...string) *Driver {
	d := &Driver{VersionText: version}
	for i, address := range addresses {
		d.GPUs = append(d.GPUs, &GPU{
			ID: UUID(i), Name: product, Address: address, Version: capability,
			NUMANode: 2 * i / len(addresses), MemoryUse: reporter.Memory{TotalMiB: memoryMiB, FreeMiB: memoryMiB - 500},
			Near: func(*GPU) gpu.Closeness { return gpu.UnknownCloseness },
			Bus:  reporter.PCIe{Generation: 1, MaxGeneration: 5, Width: 16, MaxWidth: 16}, Energy: 1_000_000,
			Heat: 31, Power: 72_500, Speed: reporter.Clocks{ProcessorMHz: 345, MemoryMHz: 2619},
		})
	}
	return d
}

// Buses are addresses in domain 0.
func Buses(numbers ...string) []string {
	out := make([]string, len(numbers))
	for i, number := range numbers {
		out[i] = "0000:" + number + ":00.0"
	}
	return out
}

// UUID is that of the GPU with this number.
func UUID(i int) string {
	return fmt.Sprintf("GPU-%08x-5eed-4c1d-8a2b-%012x", 0x6f5b2c1e+i*7919, 0x0d1c9a77+i*104729)
}

// Place says how close the GPUs are that stand together in groups of these sizes, the smallest first. What is in no group together
// is on other CPUs.
func (d *Driver) Place(sizes []int, closeness ...gpu.Closeness) *Driver {
	for a, g := range d.GPUs {
		g.Near = func(other *GPU) gpu.Closeness {
			b := slices.Index(d.GPUs, other)
			for i, size := range sizes {
				if a/size == b/size {
					return closeness[i]
				}
			}
			return gpu.CrossCPU
		}
	}
	return d
}

// Switch connects all GPUs to switches, with so many NVLinks each.
func (d *Driver) Switch(links int) *Driver {
	for _, g := range d.GPUs {
		for range links {
			g.Up, g.Peers = append(g.Up, true), append(g.Peers, reporter.Peer{Kind: reporter.PeerSwitch, Bus: "0000:f0:00.0"})
		}
	}
	return d
}

// Join makes the GPUs part of a multi-node NVLink domain.
func (d *Driver) Join(domain gpu.Fabric) *Driver {
	for _, g := range d.GPUs {
		g.Switches = reporter.Fabric{State: reporter.FabricReady, Domain: domain}
	}
	return d
}

// Wire connects two GPUs directly, with so many NVLinks.
func (d *Driver) Wire(a, b, links int) *Driver {
	for range links {
		g, h := d.GPUs[a], d.GPUs[b]
		g.Up, g.Peers = append(g.Up, true), append(g.Peers, reporter.Peer{Kind: reporter.PeerGPU, Bus: h.Address})
		h.Up, h.Peers = append(h.Up, true), append(h.Peers, reporter.Peer{Kind: reporter.PeerGPU, Bus: g.Address})
	}
	return d
}

// H100 is an HGX H100.
func H100() *Driver {
	return New("570.86.15", "NVIDIA H100 80GB HBM3", gpu.Capability{Major: 9}, 81559, Buses("1b", "43", "52", "61", "9d", "c3", "d1", "df")...).
		Place([]int{4}, gpu.SameCPU).Switch(18)
}

// GB200 is a tray of an NVL72.
func GB200() *Driver {
	return New("580.82.07", "NVIDIA GB200", gpu.Capability{Major: 10}, 189471, "0008:01:00.0", "0009:01:00.0", "0018:01:00.0", "0019:01:00.0").
		Place([]int{2}, gpu.SameCPU).Switch(18).Join(gpu.Fabric{UUID: "7f2e1c84-50a9-4d0b-9a3e-6c1f0b7d2e55", Clique: 32766})
}

// DGX1 is a DGX-1 with V100s: a mesh.
func DGX1() *Driver {
	d := New("535.183.06", "Tesla V100-SXM2-32GB", gpu.Capability{Major: 7}, 32768, Buses("06", "07", "0a", "0b", "85", "86", "89", "8a")...).
		Place([]int{2, 4}, gpu.OneSwitch, gpu.SameHostBridge)
	for _, w := range [][3]int{
		{0, 1, 1}, {0, 2, 1}, {0, 3, 2}, {0, 4, 2}, {1, 2, 2}, {1, 3, 1}, {1, 5, 2}, {2, 3, 2},
		{2, 6, 1}, {3, 7, 1}, {4, 5, 1}, {4, 6, 1}, {4, 7, 2}, {5, 6, 2}, {5, 7, 1}, {6, 7, 2},
	} {
		d.Wire(w[0], w[1], w[2])
	}
	return d
}

// A100PCIe is A100s on the PCI bus, bridged in pairs.
func A100PCIe() *Driver {
	d := New("550.127.05", "NVIDIA A100 80GB PCIe", gpu.Capability{Major: 8}, 81920, Buses("17", "31", "4b", "65", "98", "b1", "ca", "e3")...).
		Place([]int{4}, gpu.SameCPU)
	for a := 0; a < len(d.GPUs); a += 2 {
		d.Wire(a, a+1, 12)
	}
	return d
}

// L40S has no NVLink.
func L40S() *Driver {
	return New("550.127.05", "NVIDIA L40S", gpu.Capability{Major: 8, Minor: 9}, 46068, Buses("0a", "0b", "30", "31", "a0", "a1", "c8", "c9")...).
		Place([]int{2, 4}, gpu.OneSwitch, gpu.SameCPU)
}
