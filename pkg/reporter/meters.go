package reporter

// Meter is something that moves, and is measured for people to look at. No pod is placed by it.
type Meter int

// The meters.
const (
	MemoryBytes Meter = iota
	UsedBytes
	BusyRatio
	Celsius
	Watts
	ProcessorHertz
	MemoryHertz
	// Joules, MemoryErrors and LinkErrors are sums since the driver was loaded or the GPU reset.
	Joules
	MemoryErrors
	LinkErrors
)

// Meters are what a GPU's meters showed in one round. What it cannot say is left out.
type Meters map[Meter]float64

const (
	mebi = 1 << 20
	mega = 1e6
)

// readMeters asks for what nothing else needs.
func (c *card) readMeters(p *probe) {
	if celsius, ok := ask(p, c.device.Celsius); ok {
		c.meters[Celsius] = float64(celsius)
	}
	if milliWatts, ok := ask(p, c.device.MilliWatts); ok {
		c.meters[Watts] = float64(milliWatts) / 1000
	}
	if clocks, ok := ask(p, c.device.Clocks); ok {
		c.meters[ProcessorHertz], c.meters[MemoryHertz] = mega*float64(clocks.ProcessorMHz), mega*float64(clocks.MemoryMHz)
	}
	if errors, ok := ask(p, c.device.LinkErrors); ok {
		c.meters[LinkErrors] = float64(errors)
	}
}

// Meters are those of the last round, by UUID, of the GPUs that answered.
func (r *Reader) Meters() map[string]Meters {
	meters := map[string]Meters{}
	for _, c := range r.present {
		if c.isAnswering {
			meters[c.UUID] = c.meters
		}
	}
	return meters
}
