// Package gpu is a node's GPUs as its reporter tells them and the scheduler reads them: the [Report].
//
// Purpose: one schema between two programs that are upgraded one after the other and do not trust each other. The report is
// an annotation of the node:
//
//	{"version":1,"driver":"570.86.15","boot":"2b1d4c7e-…",
//	 "models":[{"product":"NVIDIA H100 80GB HBM3","capability":"9.0","memoryMiB":81559,"links":18}],
//	 "gpus":[{"index":0,"uuid":"GPU-6f5b2c1e-…","bus":"0000:1b:00.0","numa":0,"freeMiB":76461},
//	         {"index":1,"uuid":"GPU-0d1c9a77-…","bus":"0000:43:00.0","numa":0,"freeMiB":0,"state":"drain","reasons":["XID 48"],"recovery":1,"troubleJoules":81500311},
//	         …],
//	 "links":{"kind":"switch"},
//	 "near":["5222222","222222",…]}
//
// What GPUs of one model share is said once; what is as usual is left out: state ok, no reasons, nothing missing. It holds what
// stands still for hours. What moves, temperature or power, are metrics.
//
// Invariants: the same report gives the same bytes, and no other bytes give that report: [Parse] refuses what [Report.Encode]
// would have written differently. No time, no float, no map. A report that was parsed, or that can be encoded, is valid: see
// [Report.Validate]. It can lie, so whoever reads it must not let it enlarge what the node has.
//
// Cost: about 1 KiB for 8 GPUs and 2 KiB for 16, at most [MaxBytes]: a write of it goes to everybody who watches nodes. Parsing
// is two passes over it.
//
// The states are decided in package health, what the links are worth to a pod in package links.
package gpu

import "fmt"

// MaxGPUs is how many GPUs a report may have.
const MaxGPUs = 32

// Report is what a node's reporter says of its GPUs. GPUs are called by their position in GPUs, which is in the order of their
// indexes.
type Report struct {
	// Driver is the driver's version, "" if it does not say.
	Driver string
	// Boot is the kernel's name for the time since the node was booted, "" if unknown. A reporter that starts anew learns from it
	// whether what the report says can still be so.
	Boot string
	// Missing counts GPUs that the driver counts and that nobody knows more of.
	Missing int
	// Fabric is the multi-node NVLink domain that the GPUs are in; the zero value is none.
	Fabric Fabric
	GPUs   []GPU
	Links  Links
	// Near is how close GPUs are on the PCI bus: Near[a][b-a-1] is for a < b, as [Report.Closeness] reads it. nil if unknown.
	Near [][]Closeness
}

// GPU is one GPU of a node.
type GPU struct {
	// Index is the driver's number. It may be another after a reboot: a GPU is known by its UUID.
	Index int
	UUID  string
	// Bus is the address on the PCI bus as Linux writes it, "0000:1b:00.0"; "" if unknown.
	Bus string
	// NUMA is the NUMA node, -1 if unknown.
	NUMA int

	// Product is the name of the model, "" if the driver does not say.
	Product    string
	Capability Capability
	// MemoryMiB is all memory, FreeMiB what of it nobody uses, as [RoundFreeMiB] rounds it.
	MemoryMiB, FreeMiB int
	// IsMIG is true if the GPU is cut into MIG instances. It is no whole GPU then.
	IsMIG bool

	State   State
	Reasons []string
	// Recovery is what the driver wants done.
	Recovery Recovery
	// TroubleJoules is what the GPU had used when trouble came that stays until it is reset, 0 if there is none or nobody knows. If it
	// is found to have used less, it was reset since.
	TroubleJoules uint64

	// Links is how many NVLinks the GPU should have up, BadLinks how many of them are not.
	Links, BadLinks int
}

// Fabric names one multi-node NVLink domain. GPUs of the same cluster and clique reach each other over NVLink.
type Fabric struct {
	UUID   string
	Clique uint32
}

// IsZero is true for GPUs in no domain.
func (f Fabric) IsZero() bool { return f == Fabric{} }

// Capability is the compute capability; the zero value is unknown.
type Capability struct{ Major, Minor int }

func (c Capability) String() string { return fmt.Sprintf("%d.%d", c.Major, c.Minor) }

// IsAtLeast is true for a capability that is the other or a later one.
func (c Capability) IsAtLeast(other Capability) bool {
	return c.Major > other.Major || c.Major == other.Major && c.Minor >= other.Minor
}

// Links are the NVLinks between the GPUs of a node.
type Links struct {
	Kind LinkKind
	// IsDown is true while switches do not connect what they should: a pod with more than one GPU would fail.
	IsDown bool
	// Pairs are the GPUs that are linked directly, with at least one link, in order. Switches have no pairs.
	Pairs []Pair
}

// Pair is two GPUs with so many NVLinks between them, A before B.
type Pair struct{ A, B, Links int }

// Closeness is how near two GPUs are on the PCI bus, farthest first. NVIDIA's device plugin counts ten points for each step.
type Closeness uint8

// The closenesses. Whatever is closer than CrossCPU shares a NUMA node.
const (
	UnknownCloseness Closeness = iota
	CrossCPU
	SameCPU
	SameHostBridge
	SeveralSwitches
	OneSwitch
	SameBoard
)

// Closeness is how near two different GPUs are.
func (r *Report) Closeness(a, b int) Closeness {
	if a > b {
		a, b = b, a
	}
	if r.Near == nil {
		return UnknownCloseness
	}
	return r.Near[a][b-a-1]
}

// RoundFreeMiB rounds free memory down to a sixteenth of all memory, so that the report stands still while a little is used
// and freed.
//
// What it misses: a GPU that nobody uses has some hundred MiB of the driver's own, so at most fifteen sixteenths are ever free.
func RoundFreeMiB(memoryMiB, freeMiB int) int {
	if memoryMiB <= 0 || freeMiB <= 0 {
		return 0
	}
	return min(freeMiB, memoryMiB) * sixteenths / memoryMiB * memoryMiB / sixteenths
}

const sixteenths = 16

// PlainText makes of any text one that a report may hold.
func PlainText(text string) string {
	plain := []byte(text)
	for i, c := range plain {
		if !textForm.Match([]byte{c}) {
			plain[i] = '_'
		}
	}
	return string(plain[:min(len(plain), maxText)])
}
