package reporter

import (
	"time"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
)

// card is what is remembered of a GPU.
type card struct {
	gpu.GPU
	device     Device // nil while it is gone
	isNamed    bool   // what does not change was asked, in this life of the driver
	isReloaded bool   // the driver was, since the last round

	isAnswering bool // the last read got an answer to everything
	machine     *health.Machine

	observation health.Observation
	meters      Meters
	fabric      Fabric
	isUp        []bool       // its NVLinks
	peers       map[int]Peer // of those that were ever up, in this life of the driver

	// What shows by going back that the GPU was reset.
	lastRecovery    gpu.Recovery
	lastErrors      uint64
	lastMilliJoules uint64
}

func newCard(uuid string, config *health.Config) *card {
	return &card{GPU: gpu.GPU{UUID: uuid, NUMA: -1}, machine: health.New(config), peers: map[int]Peer{}}
}

func (c *card) isGone() bool { return c.device == nil }

// leave notes that the GPU is gone. What it was stays known.
func (c *card) leave() {
	c.device, c.FreeMiB, c.Recovery, c.meters = nil, 0, gpu.NoRecovery, nil
	c.observation, c.fabric, c.isUp = health.Observation{Gone: health.Yes}, Fabric{}, nil
}

// reload notes that the driver was loaded anew.
func (c *card) reload() {
	c.leave()
	c.isNamed, c.isReloaded = false, true
	c.peers, c.lastRecovery, c.lastErrors, c.lastMilliJoules = map[int]Peer{}, gpu.NoRecovery, 0, 0
}

// probe asks one question after the other, until an answer says that there is nothing more to ask.
type probe struct{ fault error }

// ask returns an answer, and whether there was one.
func ask[T any](p *probe, question func() (T, error)) (answer T, ok bool) {
	if p.fault != nil {
		return answer, false
	}
	got, err := question()
	switch {
	case err == nil:
		return got, true
	case isOfDevice(err) || isOfDriver(err):
		p.fault = err
	}
	return answer, false
}

// read asks the device for everything. Its error is about the driver as a whole.
func (c *card) read() error {
	p := &probe{}
	c.observation, c.meters = health.Observation{Gone: health.No}, Meters{}
	c.readNames(p)
	c.readUse(p)
	c.readHealth(p)
	c.readLinks(p)
	c.isAnswering = p.fault == nil
	switch {
	case isOfDriver(p.fault):
		return p.fault
	case isGone(p.fault):
		c.leave()
	case p.fault != nil:
		c.FreeMiB, c.Recovery, c.isUp = 0, gpu.ResetGPU, nil
		c.observation = health.Observation{Gone: health.No, HasRecovery: true, Recovery: gpu.ResetGPU}
	}
	return nil
}

func (c *card) readNames(p *probe) {
	if c.isNamed {
		return
	}
	if product, ok := ask(p, c.device.Product); ok {
		c.Product = gpu.PlainText(product)
	}
	if bus, ok := ask(p, c.device.Bus); ok {
		c.Bus = bus
	}
	if numa, ok := ask(p, c.device.NUMA); ok {
		c.NUMA = numa
	}
	if capability, ok := ask(p, c.device.Capability); ok {
		c.Capability = capability
	}
	c.isNamed = p.fault == nil
}

// riseShare is what part of all memory must be free beyond a sixteenth until that counts as free again.
const riseShare = 64

// settleFree rounds free memory, so that it does not go back and forth where a program's use hovers about a sixteenth: each change
// of a report is a write. What is used counts at once, what becomes free when there is a little more of it.
//
// What it misses: a sixteenth that is free again, with hardly more than it. On a GPU that nobody uses and of which the driver keeps
// 500 MiB, that happens below 11 GiB: see TestASmallGPUMayKeepASixteenthToItself.
func (c *card) settleFree(m Memory) int {
	free := gpu.RoundFreeMiB(m.TotalMiB, m.FreeMiB)
	if c.MemoryMiB != m.TotalMiB || free <= c.FreeMiB {
		return free
	}
	return max(c.FreeMiB, gpu.RoundFreeMiB(m.TotalMiB, m.FreeMiB-m.TotalMiB/riseShare))
}

// busyPercent is from when on a GPU counts as used: its PCI link is at its best then.
const busyPercent = 50

// readUse asks how it is used.
func (c *card) readUse(p *probe) {
	if memory, ok := ask(p, c.device.Memory); ok {
		c.MemoryMiB, c.FreeMiB = memory.TotalMiB, c.settleFree(memory)
		c.meters[MemoryBytes], c.meters[UsedBytes] = mebi*float64(memory.TotalMiB), mebi*float64(memory.TotalMiB-memory.FreeMiB)
	}
	c.IsMIG, _ = ask(p, c.device.IsMIG)
	o := &c.observation
	if isProhibited, ok := ask(p, c.device.IsProhibited); ok {
		o.Prohibited = health.Is(isProhibited)
	}
	if isSlowed, ok := ask(p, c.device.IsSlowed); ok {
		o.Slowed = health.Is(isSlowed)
	}
	busy, ok := ask(p, c.device.BusyPercent)
	if ok {
		c.meters[BusyRatio] = float64(busy) / 100
	}
	if ok && busy >= busyPercent {
		if at, ok := ask(p, c.device.PCIe); ok {
			o.Narrow = health.Is(at.Generation < at.MaxGeneration || at.Width < at.MaxWidth)
		}
	}
	c.readMeters(p)
}

// readHealth asks how it is.
func (c *card) readHealth(p *probe) {
	o := &c.observation
	c.Recovery, o.HasRecovery = ask(p, c.device.Recovery)
	o.Recovery = c.Recovery
	if o.HasRecovery {
		c.noteReset(c.lastRecovery != gpu.NoRecovery && c.Recovery == gpu.NoRecovery)
		c.lastRecovery = c.Recovery
	}
	if rows, ok := ask(p, c.device.RemappedRows); ok {
		o.RemapPending, o.RemapFailed = health.Is(rows.IsPending), health.Is(rows.HasFailed)
	}
	if pages, ok := ask(p, c.device.RetiredPages); ok {
		o.RetirementPending, o.RetiredPages = health.Is(pages.IsPending), pages.Count
	}
	if errors, ok := ask(p, c.device.MemoryErrors); ok {
		o.HasMemoryErrors = health.Is(errors > 0)
		c.meters[MemoryErrors] = float64(errors)
		c.noteReset(errors < c.lastErrors)
		c.lastErrors = errors
	}
	if used, ok := ask(p, c.device.EnergyMilliJoules); ok {
		c.meters[Joules] = float64(used) / joule
		c.noteReset(used < c.lastMilliJoules)
		c.lastMilliJoules = used
	}
}

// noteReset notes that the GPU was reset, if it was.
func (c *card) noteReset(wasReset bool) {
	if wasReset {
		c.observation.Renewed = health.WasReset
	}
}

// readLinks asks how it is connected.
func (c *card) readLinks(p *probe) {
	o := &c.observation
	fabric, ok := ask(p, c.device.Fabric)
	if c.fabric = fabric; ok {
		o.FabricPending, o.FabricFailed = health.Is(fabric.State == FabricPending), health.Is(fabric.State == FabricFailed)
	}
	c.isUp, _ = ask(p, c.device.LinksUp)
	for link, isUp := range c.isUp {
		if _, isKnown := c.peers[link]; !isUp || isKnown {
			continue
		}
		peer, _ := ask(p, func() (Peer, error) { return c.device.LinkPeer(link) })
		if p.fault == nil {
			c.peers[link] = peer
		}
	}
}

// judge says how well the GPU is.
func (c *card) judge(now time.Time, xids []int) health.Verdict {
	o := c.observation
	o.XIDs = xids
	if c.Links > 0 && c.isUp != nil {
		o.LinksDown = health.Is(c.BadLinks > 0)
	}
	if c.isReloaded {
		o.Renewed, c.isReloaded = health.WasReloaded, false
	}
	verdict := c.machine.Observe(now, o)
	switch used := c.lastMilliJoules / joule; {
	case !c.machine.NeedsRenewal():
		c.TroubleJoules = 0
	case c.TroubleJoules == 0, len(xids) > 0 && used < c.TroubleJoules: // it came after a reset
		c.TroubleJoules = used
	}
	return verdict
}

// joule is one, in millijoules.
const joule = 1000
