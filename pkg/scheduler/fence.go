package scheduler

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"
)

// writesPatience is how long a replica that gives its lease back waits for what it is writing.
const writesPatience = 2 * time.Second

// errFenced is what a write fails with that comes too late.
var errFenced = errors.New("this replica's lease has run out: it writes nothing any more")

// fence lets this replica write only while it holds the lease: all but events, and the lease itself.
//
//	         lease renewed                    LeaseDuration later, or another one
//	closed ────────────────► open for writes ─────────────────────────────────────► closed
//	                                          holds it, or it is given back
//
// Purpose: a leader that was frozen or cut off past its lease, by a stopped virtual machine say, has a successor by the time it
// goes on. The election tells it so only after the renew deadline, ten seconds by default, in which two replicas would place
// pods, each on what the other takes for free. Invariants: the lease is over, by this replica's own clock, no later than for
// anybody who watches it, since it counts from before the renewal was sent. What was sent before is on its way still: a
// request can outlive the lease in a buffer, and only the API server could tell.
//
// Cost: a lock that is taken for a moment, twice per write.
type fence struct {
	duration time.Duration
	clock    clock.PassiveClock

	mu       sync.Mutex
	until    time.Time
	inFlight int
	idle     chan struct{} // closed when nothing is in flight; nil while nobody waits for that
}

func newFence(leaseDuration time.Duration, clk clock.PassiveClock) *fence {
	return &fence{duration: leaseDuration, clock: clk}
}

// guard returns the configuration for clients that may write while the lease is held.
func (f *fence) guard(config *rest.Config) *rest.Config {
	guarded := rest.CopyConfig(config)
	guarded.Wrap(func(next http.RoundTripper) http.RoundTripper { return fencedTransport{f, next} })
	return guarded
}

// enter is before a write. It is false if there must be none.
func (f *fence) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	// Of the monotonic and the wall clock the one that says more: the first stands still while a machine is suspended.
	if !now.Before(f.until) || !now.Round(0).Before(f.until.Round(0)) {
		return false
	}
	f.inFlight++
	return true
}

func (f *fence) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight--
	if f.inFlight == 0 && f.idle != nil {
		close(f.idle)
		f.idle = nil
	}
}

// open lets writes through until the lease that was asked for at this time is over.
func (f *fence) open(asked time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = asked.Add(f.duration)
}

// shut lets no more writes through, and returns a channel that is closed once those that were let through are answered.
func (f *fence) shut() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = time.Time{}
	if f.idle == nil {
		f.idle = make(chan struct{})
	}
	idle := f.idle
	if f.inFlight == 0 {
		close(f.idle)
		f.idle = nil
	}
	return idle
}

type fencedTransport struct {
	fence *fence
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t fencedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodGet || request.Method == http.MethodHead {
		return t.next.RoundTrip(request)
	}
	if !t.fence.enter() {
		return nil, errFenced
	}
	defer t.fence.leave()
	return t.next.RoundTrip(request)
}

// fencedLock tells the fence what becomes of the lease.
type fencedLock struct {
	resourcelock.Interface
	fence *fence
}

// Get implements resourcelock.Interface.
func (l fencedLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil && record.HolderIdentity != l.Identity() {
		l.fence.shut()
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l fencedLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, record, l.Interface.Create)
}

// Update implements resourcelock.Interface.
func (l fencedLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, record, l.Interface.Update)
}

func (l fencedLock) write(ctx context.Context, record resourcelock.LeaderElectionRecord, write func(context.Context, resourcelock.LeaderElectionRecord) error) error {
	if record.HolderIdentity != l.Identity() { // it is given back
		idle := l.fence.shut()
		select {
		case <-idle:
		case <-time.After(writesPatience):
		case <-ctx.Done():
		}
		return write(ctx, record)
	}
	asked := l.fence.clock.Now()
	err := write(ctx, record)
	if err == nil {
		l.fence.open(asked)
	}
	return err
}
