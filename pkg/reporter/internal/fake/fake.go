// Package fake is a GPU driver for tests, whose GPUs break as they are told to.
//
// It holds callers to the rules of a real one: a call before Init succeeded, or after Shutdown, panics, where NVML would end the
// process. One goroutine may wait for events while another asks all else; change the driver while neither does.
package fake

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

// Driver is a driver with its GPUs. Change it as you like between calls.
type Driver struct {
	VersionText string
	GPUs        []*GPU
	// Faults are what calls of this name return instead: "Init", "Count", "Version", "Shutdown", "Watch", "Next", "Close".
	Faults map[string]error
	// Calls counts the calls by name, those of the GPUs too.
	Calls map[string]int
	// Watched are the GPUs that the last Watch asked for.
	Watched []string

	// BeforeNext is called before each wait for an event.
	BeforeNext func()

	mu        sync.Mutex // for what calls change
	isOpen    bool
	listeners []*events
}

var _ reporter.Driver = (*Driver)(nil)

// GPU is one GPU. What its fields say is what the calls of about the same name return.
type GPU struct {
	ID, Name, Address string
	NUMANode          int
	Version           gpu.Capability
	Near              func(other *GPU) gpu.Closeness
	MemoryUse         reporter.Memory
	IsCut, IsClosed   bool
	Action            gpu.Recovery
	Rows              reporter.RemappedRows
	Pages             reporter.RetiredPages
	ErrorCount        uint64
	Switches          reporter.Fabric
	Up                []bool
	Peers             []reporter.Peer
	IsHot             bool
	Bus               reporter.PCIe
	Busy              int
	Energy            uint64
	Heat, Power       int
	Speed             reporter.Clocks
	LinkErrorCount    uint64

	// Faults are what calls of this name return instead, Fault what all of them do, "Device" included, through which
	// the GPU is found.
	Faults map[string]error
	Fault  error
	// Before is called before each call, with its name.
	Before func(call string)
}

// called counts a call, and returns its fault.
func (d *Driver) called(call string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.isOpen && call != "Init" {
		panic("the driver is not open: " + call)
	}
	if d.Calls == nil {
		d.Calls = map[string]int{}
	}
	d.Calls[call]++
	return d.Faults[call]
}

// Init implements [reporter.Driver].
func (d *Driver) Init() error {
	if d.isOpen {
		panic("the driver is open")
	}
	err := d.called("Init")
	d.setOpen(err == nil)
	return err
}

// Shutdown implements [reporter.Driver].
func (d *Driver) Shutdown() error {
	err := d.called("Shutdown")
	d.setOpen(false)
	return err
}

func (d *Driver) setOpen(isOpen bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isOpen = isOpen
}

// Version implements [reporter.Driver].
func (d *Driver) Version() (string, error) { return answer(d.VersionText, d.called("Version")) }

// Count implements [reporter.Driver].
func (d *Driver) Count() (int, error) { return answer(len(d.GPUs), d.called("Count")) }

// Device implements [reporter.Driver].
func (d *Driver) Device(index int) (reporter.Device, error) {
	v := device{driver: d, GPU: d.GPUs[index]}
	return v, v.called("Device")
}

// Watch implements [reporter.Driver].
func (d *Driver) Watch(devices []reporter.Device) (reporter.Events, error) {
	if err := d.called("Watch"); err != nil {
		return nil, err
	}
	d.Watched = nil
	for _, v := range devices {
		d.Watched = append(d.Watched, v.(device).ID)
	}
	e := &events{driver: d, queue: make(chan reporter.Event, queued)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listeners = append(d.listeners, e)
	return e, nil
}

// events are what one listener hears.
type events struct {
	driver *Driver
	queue  chan reporter.Event
}

// Changed hands over to who calls the driver what another goroutine changed of it since.
func (d *Driver) Changed() {
	d.mu.Lock()
	defer d.mu.Unlock()
}

// queued is how many events the driver keeps for who listens. More than those are dropped, as NVML does.
const queued = 1024

// Happen tells who listens, if anybody does, of an XID.
func (d *Driver) Happen(uuid string, xid int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.listeners {
		select {
		case e.queue <- reporter.Event{UUID: uuid, XID: xid}:
		default:
		}
	}
}

// Next implements [reporter.Events].
func (e *events) Next(timeout time.Duration) (event reporter.Event, ok bool, err error) {
	if e.driver.BeforeNext != nil {
		e.driver.BeforeNext()
	}
	if err := e.driver.called("Next"); err != nil {
		return event, false, err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case event = <-e.queue:
		return event, true, nil
	case <-timer.C:
		return event, false, nil
	}
}

// Close implements [reporter.Events].
func (e *events) Close() error {
	d := e.driver
	d.mu.Lock()
	d.listeners = slices.DeleteFunc(d.listeners, func(other *events) bool { return other == e })
	d.mu.Unlock()
	return d.called("Close")
}

// device is a GPU as the driver gives it out.
type device struct {
	*GPU
	driver *Driver
}

func (v device) called(call string) error {
	if v.Before != nil {
		v.Before(call)
	}
	if err := v.driver.called(call); err != nil {
		return err
	}
	if v.Fault != nil {
		return fmt.Errorf("%s: %w", call, v.Fault)
	}
	if err := v.Faults[call]; err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	return nil
}

// answer returns a value, or a fault and the value that nobody may look at.
func answer[T any](value T, err error) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return value, nil
}

func (v device) UUID() (string, error)    { return answer(v.ID, v.called("UUID")) }
func (v device) Product() (string, error) { return answer(v.Name, v.called("Product")) }
func (v device) Bus() (string, error)     { return answer(v.Address, v.called("Bus")) }
func (v device) NUMA() (int, error)       { return answer(v.NUMANode, v.called("NUMA")) }

func (v device) Capability() (gpu.Capability, error) {
	return answer(v.Version, v.called("Capability"))
}

func (v device) Closeness(other reporter.Device) (gpu.Closeness, error) {
	if err := v.called("Closeness"); err != nil {
		return gpu.UnknownCloseness, err
	}
	return v.Near(other.(device).GPU), nil
}

func (v device) Memory() (reporter.Memory, error) { return answer(v.MemoryUse, v.called("Memory")) }
func (v device) IsMIG() (bool, error)             { return answer(v.IsCut, v.called("IsMIG")) }
func (v device) IsProhibited() (bool, error)      { return answer(v.IsClosed, v.called("IsProhibited")) }
func (v device) Recovery() (gpu.Recovery, error)  { return answer(v.Action, v.called("Recovery")) }

func (v device) RemappedRows() (reporter.RemappedRows, error) {
	return answer(v.Rows, v.called("RemappedRows"))
}

func (v device) RetiredPages() (reporter.RetiredPages, error) {
	return answer(v.Pages, v.called("RetiredPages"))
}

func (v device) MemoryErrors() (uint64, error)    { return answer(v.ErrorCount, v.called("MemoryErrors")) }
func (v device) Fabric() (reporter.Fabric, error) { return answer(v.Switches, v.called("Fabric")) }
func (v device) LinksUp() ([]bool, error)         { return answer(v.Up, v.called("LinksUp")) }

func (v device) LinkPeer(link int) (reporter.Peer, error) {
	return answer(v.Peers[link], v.called("LinkPeer"))
}

func (v device) IsSlowed() (bool, error)      { return answer(v.IsHot, v.called("IsSlowed")) }
func (v device) PCIe() (reporter.PCIe, error) { return answer(v.GPU.Bus, v.called("PCIe")) }
func (v device) BusyPercent() (int, error)    { return answer(v.Busy, v.called("BusyPercent")) }
func (v device) EnergyMilliJoules() (uint64, error) {
	return answer(v.Energy, v.called("EnergyMilliJoules"))
}
func (v device) Celsius() (int, error)            { return answer(v.Heat, v.called("Celsius")) }
func (v device) MilliWatts() (int, error)         { return answer(v.Power, v.called("MilliWatts")) }
func (v device) Clocks() (reporter.Clocks, error) { return answer(v.Speed, v.called("Clocks")) }
func (v device) LinkErrors() (uint64, error)      { return answer(v.LinkErrorCount, v.called("LinkErrors")) }
