package gpu_test

import (
	"fmt"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// system is a machine without a fault, as its maker describes it.
type system struct {
	driver, product string
	capability      gpu.Capability
	memoryMiB       int
	links           int
	kind            gpu.LinkKind
	fabric          gpu.Fabric
	buses           []string
	numa            []int
	near            func(a, b int) gpu.Closeness
	pairs           []gpu.Pair
}

// within says how close GPUs are that stand together in groups of these sizes, the smallest first; what is in no group together
// is on other CPUs.
func within(sizes []int, closeness ...gpu.Closeness) func(a, b int) gpu.Closeness {
	return func(a, b int) gpu.Closeness {
		for i, size := range sizes {
			if a/size == b/size {
				return closeness[i]
			}
		}
		return gpu.CrossCPU
	}
}

var halves = []int{0, 0, 0, 0, 1, 1, 1, 1}

// buses are addresses in domain 0.
func buses(numbers ...string) []string {
	out := make([]string, len(numbers))
	for i, number := range numbers {
		out[i] = "0000:" + number + ":00.0"
	}
	return out
}

// dgx1 is the mesh of a DGX-1 with V100s: six links each, two to some neighbours.
var dgx1 = []gpu.Pair{
	{A: 0, B: 1, Links: 1}, {A: 0, B: 2, Links: 1}, {A: 0, B: 3, Links: 2}, {A: 0, B: 4, Links: 2},
	{A: 1, B: 2, Links: 2}, {A: 1, B: 3, Links: 1}, {A: 1, B: 5, Links: 2},
	{A: 2, B: 3, Links: 2}, {A: 2, B: 6, Links: 1},
	{A: 3, B: 7, Links: 1},
	{A: 4, B: 5, Links: 1}, {A: 4, B: 6, Links: 1}, {A: 4, B: 7, Links: 2},
	{A: 5, B: 6, Links: 2}, {A: 5, B: 7, Links: 1},
	{A: 6, B: 7, Links: 2},
}

// systems are what the golden reports in testdata are of. Nobody read them off a machine: they are what data sheets, and
// what people print of their machines, say.
var systems = map[string]system{
	"a100": {
		driver: "535.183.06", product: "NVIDIA A100-SXM4-80GB", capability: gpu.Capability{Major: 8}, memoryMiB: 81920, links: 12, kind: gpu.Switch,
		buses: buses("07", "0f", "47", "4e", "87", "90", "b7", "bd"), numa: []int{3, 3, 1, 1, 7, 7, 5, 5},
		near: within([]int{2}, gpu.SeveralSwitches),
	},
	"h100": {
		driver: "570.86.15", product: "NVIDIA H100 80GB HBM3", capability: gpu.Capability{Major: 9}, memoryMiB: 81559, links: 18, kind: gpu.Switch,
		buses: buses("1b", "43", "52", "61", "9d", "c3", "d1", "df"), numa: halves, near: within([]int{4}, gpu.SameCPU),
	},
	"h200": {
		driver: "570.124.06", product: "NVIDIA H200", capability: gpu.Capability{Major: 9}, memoryMiB: 143771, links: 18, kind: gpu.Switch,
		buses: buses("19", "3b", "4c", "5d", "9b", "bb", "cb", "db"), numa: halves, near: within([]int{4}, gpu.SameCPU),
	},
	"b200": {
		driver: "580.82.07", product: "NVIDIA B200", capability: gpu.Capability{Major: 10}, memoryMiB: 183359, links: 18, kind: gpu.Switch,
		buses: buses("1b", "43", "52", "61", "9d", "c3", "d1", "df"), numa: halves, near: within([]int{4}, gpu.SameCPU),
	},
	"gb200": {
		driver: "580.82.07", product: "NVIDIA GB200", capability: gpu.Capability{Major: 10}, memoryMiB: 189471, links: 18, kind: gpu.MultiNode,
		fabric: gpu.Fabric{UUID: "7f2e1c84-50a9-4d0b-9a3e-6c1f0b7d2e55", Clique: 32766},
		buses:  []string{"0008:01:00.0", "0009:01:00.0", "0018:01:00.0", "0019:01:00.0"}, numa: []int{0, 0, 1, 1},
		near: within([]int{2}, gpu.SameCPU),
	},
	"dgx1-v100": {
		driver: "535.183.06", product: "Tesla V100-SXM2-32GB", capability: gpu.Capability{Major: 7}, memoryMiB: 32768, links: 6, kind: gpu.Mesh,
		buses: buses("06", "07", "0a", "0b", "85", "86", "89", "8a"), numa: halves,
		near: within([]int{2, 4}, gpu.OneSwitch, gpu.SameHostBridge), pairs: dgx1,
	},
	"a100-pcie": {
		driver: "550.127.05", product: "NVIDIA A100 80GB PCIe", capability: gpu.Capability{Major: 8}, memoryMiB: 81920, links: 12, kind: gpu.Bridge,
		buses: buses("17", "31", "4b", "65", "98", "b1", "ca", "e3"), numa: halves, near: within([]int{4}, gpu.SameCPU),
		pairs: []gpu.Pair{{A: 0, B: 1, Links: 12}, {A: 2, B: 3, Links: 12}, {A: 4, B: 5, Links: 12}, {A: 6, B: 7, Links: 12}},
	},
	"l40s": {
		driver: "550.127.05", product: "NVIDIA L40S", capability: gpu.Capability{Major: 8, Minor: 9}, memoryMiB: 46068,
		buses: buses("0a", "0b", "30", "31", "a0", "a1", "c8", "c9"), numa: halves,
		near: within([]int{2, 4}, gpu.OneSwitch, gpu.SameCPU),
	},
	"hgx2-v100": {
		driver: "535.183.06", product: "Tesla V100-SXM3-32GB", capability: gpu.Capability{Major: 7}, memoryMiB: 32768, links: 6, kind: gpu.Switch,
		buses: buses("34", "36", "39", "3b", "57", "59", "5c", "5e", "b7", "b9", "bc", "be", "e0", "e2", "e5", "e7"),
		numa:  []int{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1},
		near:  within([]int{2, 4, 8}, gpu.OneSwitch, gpu.SeveralSwitches, gpu.SameCPU),
	},
}

// report is what the reporter says of the system while nobody uses it.
func (s system) report() gpu.Report {
	r := gpu.Report{Driver: s.driver, Fabric: s.fabric, Links: gpu.Links{Kind: s.kind, Pairs: s.pairs}}
	for i := range s.buses {
		r.GPUs = append(r.GPUs, gpu.GPU{
			Index: i, UUID: uuid(i), Bus: s.buses[i], NUMA: s.numa[i],
			Product: s.product, Capability: s.capability, MemoryMiB: s.memoryMiB, FreeMiB: gpu.RoundFreeMiB(s.memoryMiB, s.memoryMiB-500), Links: s.links,
		})
		var row []gpu.Closeness
		for j := i + 1; j < len(s.buses); j++ {
			row = append(row, s.near(i, j))
		}
		if row != nil {
			r.Near = append(r.Near, row)
		}
	}
	return r
}

// uuid is the UUID of the test's GPU with this number.
func uuid(i int) string {
	return fmt.Sprintf("GPU-%08x-5eed-4c1d-8a2b-%012x", 0x6f5b2c1e+i*7919, 0x0d1c9a77+i*104729)
}
