package rounds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

// soon is the pause before a round that must not wait for its period, and so the least there ever is between two.
const soon = time.Second

// Round is what one round brought.
type Round struct {
	Report gpu.Report
	// Text is the report as it is published.
	Text []byte
	// Meters are those of the GPUs that answered, by UUID.
	Meters map[string]reporter.Meters
	// IsWhole is true if XIDs are heard too, where the GPUs have any.
	IsWhole bool
	// Took is how long it took.
	Took time.Duration
}

// Options say what to read, and who is told. None may be left out but Dog's and Recall's.
type Options struct {
	Driver reporter.Driver
	Health *health.Config
	Dog    reporter.Watchdog
	// Period is the time between two rounds.
	Period time.Duration
	// Recall returns what a [gpu.Report] says of this boot, and the last report that was published, nil if there is none. Until it
	// has succeeded once there are no rounds: what they said would replace what is not known yet.
	Recall func(context.Context) (boot string, last *gpu.Report, err error)
	// Publish gets each round that succeeds, Turn hears of each, with the error if it failed.
	Publish func(Round)
	Turn    func(error)
	// Heard gets the class of each XID. It is called on another goroutine.
	Heard func(uuid string, class health.Class)
	Log   *slog.Logger
}

// loop is the loop. All but alarm and waiting belongs to the goroutine that runs it.
type loop struct {
	Options
	alarm   chan struct{}  // an XID came that matters
	waiting sync.WaitGroup // the ears, those that were stopped too
	reader  *reporter.Reader
	isDown  bool             // the driver is not there
	isAware bool             // of what was published before
	ears    *ears            // nil if nothing is heard
	xids    map[string][]int // that no round has taken yet
	said    string           // the error that was logged last
}

// Run makes rounds until the context is done. It returns an error if only a new process can go on.
func Run(ctx context.Context, options Options) error {
	l := &loop{Options: options, alarm: make(chan struct{}, 1), xids: map[string][]int{}}
	defer l.end()
	for {
		isUnsure, err := l.round(ctx)
		l.Turn(err)
		if errors.Is(err, reporter.Mismatched) || errors.Is(err, reporter.NoBackend) {
			return err
		}
		l.say(err)
		if !l.pause(ctx, isUnsure) {
			return nil
		}
	}
}

// pause waits for the next round. It returns false if there shall be none.
func (l *loop) pause(ctx context.Context, isUnsure bool) bool {
	wait := l.Period
	if isUnsure {
		wait = min(soon, l.Period)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-l.alarm:
	}
	timer.Reset(min(soon, l.Period)) // what comes with it is heard until then
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// round makes one. Its error says why there is no report, or only one that is not whole.
func (l *loop) round(ctx context.Context) (isUnsure bool, err error) {
	began := time.Now()
	if err := l.open(); err != nil {
		return false, err
	}
	if err := l.recall(ctx); err != nil {
		return false, err
	}
	l.takeXIDs()
	report, isUnsure, err := l.reader.Read(began, l.xids)
	if err != nil {
		l.isDown = errors.Is(err, reporter.NotLoaded)
		return false, err
	}
	clear(l.xids)
	text, err := report.Encode()
	if err != nil {
		return isUnsure, err
	}
	err = l.listen()
	l.Publish(Round{Report: report, Text: text, Meters: l.reader.Meters(), IsWhole: err == nil, Took: time.Since(began)})
	return isUnsure, err
}

// open makes the driver ready, if it is not.
func (l *loop) open() (err error) {
	switch {
	case l.reader == nil:
		l.reader, err = reporter.Open(l.Driver, l.Health, l.Dog)
	case l.isDown:
		l.stopListening()
		l.waiting.Wait() // no call may be under way
		err = l.reader.Reopen()
	}
	l.isDown = err != nil
	return err
}

// recall makes the reader aware of what was published before, if it is not.
func (l *loop) recall(ctx context.Context) error {
	if l.isAware || l.Recall == nil {
		return nil
	}
	boot, last, err := l.Recall(ctx)
	if err != nil {
		return fmt.Errorf("the last report: %w", err)
	}
	l.reader.Resume(time.Now(), boot, last)
	l.isAware = true
	return nil
}

// takeXIDs adds what was heard to what no round has taken yet.
func (l *loop) takeXIDs() {
	if l.ears == nil {
		return
	}
	for uuid, heard := range l.ears.take() {
		for _, xid := range heard {
			if xids := l.xids[uuid]; len(xids) < maxHeard && !slices.Contains(xids, xid) {
				l.xids[uuid] = append(xids, xid)
			}
		}
	}
}

// listen sees to it that XIDs of all GPUs that answer are heard. One that did not answer for a while may have been reset, and
// does not tell who listened before.
func (l *loop) listen() error {
	present := l.reader.Present()
	if l.ears != nil {
		err := l.ears.failure()
		if err == nil && slices.Equal(l.ears.uuids, present) {
			return nil
		}
		l.stopListening()
		if err != nil {
			return fmt.Errorf("XIDs are not heard: %w", err) // until the next round
		}
	}
	events, err := l.reader.Watch()
	switch {
	case errors.Is(err, reporter.NotSupported):
		return nil
	case err != nil:
		return fmt.Errorf("XIDs are not heard: %w", err)
	}
	l.ears = l.startEars(events, present)
	return nil
}

func (l *loop) stopListening() {
	if l.ears != nil {
		l.takeXIDs()
		l.ears.stop()
		l.ears = nil
	}
}

// say logs an error that is another than the last one, and the end of errors.
func (l *loop) say(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == l.said:
	case err == nil:
		l.Log.Info("GPUs are reported again")
	case errors.Is(err, reporter.NoLibrary) || errors.Is(err, reporter.NotLoaded):
		l.Log.Warn("There are no GPUs to report. That is tried again", "reason", text, "every", l.Period)
	default:
		l.Log.Error("GPUs are not fully reported. That is tried again", "reason", text, "every", l.Period)
	}
	l.said = text
}

func (l *loop) end() {
	l.stopListening()
	l.waiting.Wait()
	if l.reader != nil {
		_ = l.reader.Close() // the process ends
	}
}
