package rounds

import (
	"slices"
	"sync"
	"time"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

const (
	// listenPeriod is how long one wait for an XID takes, and so how long it takes to stop listening.
	listenPeriod = 5 * time.Second
	// breath is the pause after each XID: a GPU that throws thousands costs no more than one that throws 100 a second.
	breath = 10 * time.Millisecond
	// maxHeard is how many different XIDs are kept of a GPU between two rounds. There are some 170 in all, and what a storm
	// throws is the same few again and again.
	maxHeard = 32
)

// ears wait for XIDs on a goroutine of their own.
type ears struct {
	uuids []string // whose XIDs they hear

	mu     sync.Mutex
	heard  map[string][]int
	isOver bool // they should end
	err    error
}

// startEars starts to wait.
func (l *loop) startEars(events reporter.Events, uuids []string) *ears {
	e := &ears{uuids: uuids, heard: map[string][]int{}}
	l.waiting.Go(func() {
		e.fail(l.wait(e, events))
		l.Dog.Guard("end of listening for XIDs", func() { _ = events.Close() }) // of a driver that is gone, maybe
	})
	return e
}

// wait hears XIDs until the ears should end.
func (l *loop) wait(e *ears, events reporter.Events) (err error) {
	for {
		var event reporter.Event
		var ok bool
		l.Dog.Guard("wait for XIDs", func() { event, ok, err = events.Next(listenPeriod) })
		switch {
		case err != nil || e.mustEnd():
			return err
		case ok && slices.Contains(e.uuids, event.UUID):
			e.hear(event)
			l.notice(event)
			time.Sleep(breath)
		}
	}
}

// notice counts an XID, and wakes the loop if it may say something about the GPU.
func (l *loop) notice(event reporter.Event) {
	class := l.Health.Class(event.XID)
	l.Heard(event.UUID, class)
	if class == health.Application || class == health.Ignore {
		return
	}
	select {
	case l.alarm <- struct{}{}:
	default: // it is awake already
	}
}

func (e *ears) hear(event reporter.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	xids := e.heard[event.UUID]
	if len(xids) < maxHeard && !slices.Contains(xids, event.XID) {
		e.heard[event.UUID] = append(xids, event.XID)
	}
}

// take returns what was heard since the last time.
func (e *ears) take() map[string][]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	heard := e.heard
	e.heard = map[string][]int{}
	return heard
}

func (e *ears) mustEnd() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.isOver
}

func (e *ears) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

// failure is why they ended by themselves, nil while they listen.
func (e *ears) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// stop has them end by the end of the wait that is under way, and hear nothing until then.
func (e *ears) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.isOver = true
}
