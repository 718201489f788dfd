package reporter

import (
	"errors"
	"time"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// Driver is what the reporter asks of a GPU driver. NVML's is in package nvml. An error is, or wraps, a [Fault].
type Driver interface {
	// Init makes the driver ready. Nothing else may be called before it has succeeded, or after Shutdown.
	Init() error
	Shutdown() error
	// Version is the driver's.
	Version() (string, error)
	// Count counts the GPUs, also those that do not answer. Their indexes are below it.
	Count() (int, error)
	Device(index int) (Device, error)
	// Watch listens for XIDs of the devices. What happened before is not heard. If none of them has any, that is
	// [NotSupported].
	Watch(devices []Device) (Events, error)
}

// Events are the XIDs of some devices. While one goroutine waits in Next, another may ask the driver all else.
type Events interface {
	// Next waits for one, no longer than the timeout: ok is false then.
	Next(timeout time.Duration) (event Event, ok bool, err error)
	Close() error
}

// Event is an error that the driver reported for a GPU.
type Event struct {
	UUID string
	XID  int
}

// Device is one GPU.
type Device interface {
	// UUID is as in a [gpu.GPU], as are Product, Bus, NUMA and Capability.
	UUID() (string, error)
	Product() (string, error)
	Bus() (string, error)
	NUMA() (int, error)
	Capability() (gpu.Capability, error)
	// Closeness is how near it is to another device on the PCI bus.
	Closeness(other Device) (gpu.Closeness, error)

	Memory() (Memory, error)
	IsMIG() (bool, error)
	// IsProhibited is true if no program may use it.
	IsProhibited() (bool, error)

	// Recovery is what the driver wants done.
	Recovery() (gpu.Recovery, error)
	RemappedRows() (RemappedRows, error)
	RetiredPages() (RetiredPages, error)
	// MemoryErrors counts errors of memory that could not be corrected, since the driver was loaded or the GPU reset.
	MemoryErrors() (uint64, error)
	Fabric() (Fabric, error)
	// LinksUp says of each NVLink, by its number, whether it is up.
	LinksUp() ([]bool, error)
	// LinkPeer is what is at the other end of an NVLink that is up.
	LinkPeer(link int) (Peer, error)
	// IsSlowed is true while heat or the power supply slow it down.
	IsSlowed() (bool, error)
	PCIe() (PCIe, error)
	// BusyPercent is how much of the last second or so it was used.
	BusyPercent() (int, error)
	// EnergyMilliJoules is what it used since the driver was loaded or the GPU reset.
	EnergyMilliJoules() (uint64, error)
	Celsius() (int, error)
	MilliWatts() (int, error)
	Clocks() (Clocks, error)
	// LinkErrors counts errors on the NVLinks since the driver was loaded or the GPU reset.
	LinkErrors() (uint64, error)
}

// Clocks are how fast the processors and the memory of a GPU run at this moment.
type Clocks struct{ ProcessorMHz, MemoryMHz int }

// Memory is all memory of a GPU, and what of it nobody uses.
type Memory struct{ TotalMiB, FreeMiB int }

// RemappedRows are rows of memory that were replaced by spare ones.
type RemappedRows struct{ IsPending, HasFailed bool }

// RetiredPages are pages of memory that are left out, on GPUs that cannot replace rows.
type RetiredPages struct {
	Count     int
	IsPending bool
}

// Fabric is where a GPU stands with the switches that connect it to others.
type Fabric struct {
	State FabricState
	// Domain is the multi-node NVLink domain, if it is in one.
	Domain gpu.Fabric
}

// FabricState is how far the switches are.
type FabricState int

// The states.
const (
	// NoFabric: the GPU is not connected by switches that need setting up.
	NoFabric FabricState = iota
	FabricPending
	FabricReady
	FabricFailed
)

// Peer is the other end of an NVLink.
type Peer struct {
	Kind PeerKind
	Bus  string // of a GPU
}

// PeerKind is what it is.
type PeerKind int

// The kinds.
const (
	PeerUnknown PeerKind = iota
	PeerGPU
	PeerSwitch
	// PeerCPU: the link does not lead to other GPUs.
	PeerCPU
)

// PCIe is the link to the PCI bus, as it is and as it could be.
type PCIe struct{ Generation, MaxGeneration, Width, MaxWidth int }

// Fault is a sort of error of a driver's.
type Fault string

// The faults.
const (
	// NotSupported: this GPU, or this driver, cannot say that. A normal answer.
	NotSupported Fault = "it is not supported"
	// NoBackend: this program has no way to ask any driver.
	NoBackend Fault = "this program was built without cgo, and cannot talk to the GPU driver"
	// NoLibrary: the driver's library is not there: most likely there is no driver on this machine, or it is not mounted.
	NoLibrary Fault = "the GPU driver's library libnvidia-ml.so.1 was not found"
	// NotLoaded: the library is there, the driver is not.
	NotLoaded Fault = "the GPU driver is not loaded"
	// Mismatched: the library is of another version than the driver. A new process may find the right one.
	Mismatched Fault = "the GPU driver and its library are of different versions"
	// GPULost: the GPU is not there any more, or does not answer.
	GPULost Fault = "the GPU is lost"
	// WantsReset: it does nothing before it is reset.
	WantsReset Fault = "the GPU wants a reset"
	// Broken: the driver does not know what is wrong.
	Broken Fault = "the driver knows no reason"
)

func (f Fault) Error() string { return string(f) }

// isOfDevice is true for an error that says something about the GPU.
func isOfDevice(err error) bool { return isGone(err) || errors.Is(err, WantsReset) }

// isGone is true for an error of a GPU that is of no use.
func isGone(err error) bool { return errors.Is(err, GPULost) || errors.Is(err, Broken) }

// isOfDriver is true for an error after which nothing more can be asked.
func isOfDriver(err error) bool {
	return errors.Is(err, NotLoaded) || errors.Is(err, Mismatched) || errors.Is(err, NoLibrary) || errors.Is(err, NoBackend)
}
