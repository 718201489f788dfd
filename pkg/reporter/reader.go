package reporter

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
)

// Reader reads reports from a driver, one after the other. Make it with [Open].
type Reader struct {
	driver  Driver
	config  *health.Config
	dog     Watchdog
	version string
	isOpen  bool
	cards   map[string]*card // by UUID, all that were ever seen
	byIndex map[int]*card    // in this life of the driver
	present []*card          // that answered in the last round
	near    map[[2]string]gpu.Closeness

	boot    string           // as in a [gpu.Report]
	resumed map[string]*card // by UUID, of GPUs that were in trouble before this process and have not been seen yet
}

// Open makes a driver ready and returns its reader, which on an error is good for [Reader.Reopen] alone. The configuration must be
// valid, and not change.
func Open(driver Driver, config *health.Config, dog Watchdog) (*Reader, error) {
	r := &Reader{driver: driver, config: config, dog: dog, cards: map[string]*card{}}
	return r, r.init()
}

func (r *Reader) init() (err error) {
	r.byIndex, r.near = map[int]*card{}, map[[2]string]gpu.Closeness{}
	r.dog.Guard("start of the driver", func() {
		if err = r.driver.Init(); err != nil {
			return
		}
		r.isOpen = true
		r.version, err = r.driver.Version()
		if !isOfDriver(err) {
			err = nil // it does without
		}
	})
	return err
}

// Close lets go of the driver, if it is open.
func (r *Reader) Close() (err error) {
	if !r.isOpen {
		return nil
	}
	r.isOpen, r.present = false, nil
	r.dog.Guard("end of the driver", func() { err = r.driver.Shutdown() })
	return err
}

// Reopen begins a new life with a driver that was reloaded under the reader, or that could not be opened before. What is known of
// the GPUs is kept.
func (r *Reader) Reopen() error {
	_ = r.Close() // the driver that it would tell is gone
	for _, c := range r.cards {
		c.reload()
	}
	r.resumed = nil
	return r.init()
}

// Resume takes up, before the first Read, what the last report of a reporter before this one said, nil if there is none. boot is
// what a [gpu.Report] says of the boot, "" if unknown.
//
// XIDs are taken up if they can still matter: not after a reboot or another driver, which renew all. A reset shows in the energy
// that the GPU has used. What it misses: a driver that was loaded anew in the same version, and a reset after which the
// GPU has used more than before. It stays as bad as it was then, until the next renewal.
func (r *Reader) Resume(now time.Time, boot string, last *gpu.Report) {
	r.boot, r.resumed = boot, map[string]*card{}
	if last == nil || boot == "" || last.Boot != boot || last.Driver != r.version {
		return
	}
	for i := range last.GPUs {
		g := &last.GPUs[i]
		c := newCard(g.UUID, r.config)
		c.TroubleJoules, c.lastMilliJoules = g.TroubleJoules, joule*g.TroubleJoules
		c.machine.Resume(now, g.Reasons)
		r.resumed[g.UUID] = c
	}
}

// Read asks for everything and makes a report of it. xids are the driver's errors since the last round, by UUID. isUnsure is
// true if something is wrong that the next round, which should follow at once, must confirm.
//
// An error is about the driver as a whole.
func (r *Reader) Read(now time.Time, xids map[string][]int) (report gpu.Report, isUnsure bool, err error) {
	present, missing, err := r.readAll()
	if err != nil {
		return gpu.Report{}, false, err
	}
	r.present = present
	var cards []*card
	for _, c := range r.cards {
		cards = append(cards, c)
		if !slices.Contains(present, c) {
			c.leave()
		}
	}
	number(cards)
	report = gpu.Report{Driver: r.version, Boot: r.boot, Missing: missing}
	r.readTopology(&report, cards)
	for _, c := range cards {
		verdict := c.judge(now, xids[c.UUID])
		c.State, c.Reasons = verdict.State, verdict.Reasons
		isUnsure = isUnsure || verdict.IsUnsure
		report.GPUs = append(report.GPUs, c.GPU)
	}
	return report, isUnsure, nil
}

// Present are the GPUs that had an answer to everything in the last round, by UUID.
func (r *Reader) Present() []string {
	var uuids []string
	for _, c := range r.present {
		if c.isAnswering {
			uuids = append(uuids, c.UUID)
		}
	}
	return uuids
}

// Watch listens for XIDs of these.
func (r *Reader) Watch() (events Events, err error) {
	var devices []Device
	for _, c := range r.present {
		if c.isAnswering {
			devices = append(devices, c.device)
		}
	}
	r.dog.Guard("start of listening for XIDs", func() { events, err = r.driver.Watch(devices) })
	return events, err
}

// readAll reads the GPUs, and returns those that said who they are, and how many nobody knows.
func (r *Reader) readAll() (present []*card, missing int, err error) {
	count := 0
	r.dog.Guard("count of the GPUs", func() { count, err = r.driver.Count() })
	if err != nil {
		return nil, 0, fmt.Errorf("count of the GPUs: %w", err)
	}
	for index := range count {
		var c *card
		r.dog.Guard(fmt.Sprintf("GPU %d", index), func() { c, err = r.readOne(index) })
		switch {
		case isOfDriver(err):
			return nil, 0, fmt.Errorf("GPU %d: %w", index, err)
		case c == nil && r.byIndex[index] == nil:
			missing++
		case c != nil:
			r.byIndex[index] = c
			present = append(present, c)
		}
	}
	return present, missing, nil
}

// readOne reads the GPU with an index. It returns nil if that does not say who it is.
func (r *Reader) readOne(index int) (*card, error) {
	device, err := r.driver.Device(index)
	if err != nil {
		return nil, err
	}
	uuid, err := device.UUID()
	if err != nil {
		return nil, err
	}
	c := r.cards[uuid]
	if c == nil {
		if c = r.resumed[uuid]; c == nil {
			c = newCard(uuid, r.config)
		}
		r.cards[uuid] = c
	}
	c.Index, c.device = index, device
	return c, c.read()
}

// number puts the GPUs in the order of their indexes. One that is gone keeps its index, unless the driver has given that to
// another: then it comes last.
func number(cards []*card) {
	slices.SortFunc(cards, func(a, b *card) int {
		return cmp.Or(compareBool(a.isGone(), b.isGone()), cmp.Compare(a.Index, b.Index), cmp.Compare(a.UUID, b.UUID))
	})
	taken, last := map[int]bool{}, -1
	for _, c := range cards {
		if taken[c.Index] {
			c.Index = last + 1
		}
		taken[c.Index], last = true, max(last, c.Index)
	}
	slices.SortFunc(cards, func(a, b *card) int { return cmp.Compare(a.Index, b.Index) })
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
