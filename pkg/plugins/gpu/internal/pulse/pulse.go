// Package pulse knows which nodes' reports are stale: a reporter that lives renews a Lease that has its node's name.
//
//	                    Lease seen to change
//	           ┌────────────────────────────────────┐
//	           ▼                                    │
//	      ┌─────────┐  no change for so long   ┌───────┐
//	─────►│  fresh  │─────────────────────────►│ stale │
//	      └─────────┘                          └───────┘
//	 a report is seen first                  counts as fresh while too many are stale at once
//
// Purpose: that a node's report says a GPU is well is worth something only while somebody would tell if it changed. Invariants:
// time is that of the scheduler's own clock, from when it saw a Lease change: the clocks of nodes may be wrong. After a start
// all are fresh, for as long as it takes to know better. Only nodes with reports count, and where more than a share of them
// would be stale at once it is the network or the API server that is at fault, and none of them counts as stale. A Lease that
// is deleted is one that does not change any more.
//
// Cost: a lookup per Lease that is renewed, one per question, and a walk over all nodes with reports per [Pulse.Take].
package pulse

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// Pulse is what was heard of all reporters. A reflector writes the Leases into it. Any goroutine may use it.
type Pulse struct {
	clock clock.PassiveClock

	mu     sync.Mutex
	leases map[string]beat
	since  map[string]time.Time // nodes with reports, and when they were seen first

	stale atomic.Pointer[map[string]bool] // never changed once it is here
	epoch atomic.Uint64
}

// beat is when a Lease was seen to change, and to which version.
type beat struct {
	version string
	at      time.Time
}

var _ cache.ReflectorStore = &Pulse{}

// New returns a pulse that knows of nobody.
func New(clk clock.PassiveClock) *Pulse {
	p := &Pulse{clock: clk, leases: map[string]beat{}, since: map[string]time.Time{}}
	p.stale.Store(&map[string]bool{})
	return p
}

// IsStale is true if a node's report was stale when Take was called last.
func (p *Pulse) IsStale(node string) bool { return (*p.stale.Load())[node] }

// Epoch changes after answers of IsStale have.
func (p *Pulse) Epoch() uint64 { return p.epoch.Load() }

// Follow tells that a node has a report, Forget that it has none any more.
func (p *Pulse) Follow(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.since[node]; !ok {
		p.since[node] = p.clock.Now()
	}
}

// Forget is the opposite of Follow.
func (p *Pulse) Forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.since, node)
}

// Take finds out which reports are stale: whose Lease has not changed for longer than after, unless that are more than so many percent
// of all. It returns the nodes of which IsStale says something else than before, by name.
func (p *Pulse) Take(after time.Duration, percent int) (changed []string) {
	stale := p.find(after, percent)
	before := *p.stale.Load()
	for node := range stale {
		if !before[node] {
			changed = append(changed, node)
		}
	}
	for node := range before {
		if !stale[node] {
			changed = append(changed, node)
		}
	}
	if len(changed) > 0 {
		p.stale.Store(&stale)
		p.epoch.Add(1)
	}
	slices.Sort(changed)
	return changed
}

func (p *Pulse) find(after time.Duration, percent int) map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, stale := p.clock.Now(), map[string]bool{}
	for node, since := range p.since {
		last := since
		if b, ok := p.leases[node]; ok && b.at.After(last) {
			last = b.at
		}
		if now.Sub(last) > after {
			stale[node] = true
		}
	}
	if len(stale)*100 > len(p.since)*percent {
		clear(stale)
	}
	return stale
}

// Add implements cache.ReflectorStore.
func (p *Pulse) Add(object any) error { return p.Update(object) }

// Update implements cache.ReflectorStore.
func (p *Pulse) Update(object any) error {
	lease, ok := object.(metav1.Object)
	if !ok {
		return fmt.Errorf("want a Lease, got %T", object)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.see(lease)
	return nil
}

// see notes a Lease. One that is listed again as it was has not changed. The lock is held.
func (p *Pulse) see(lease metav1.Object) {
	if p.leases[lease.GetName()].version != lease.GetResourceVersion() {
		p.leases[lease.GetName()] = beat{lease.GetResourceVersion(), p.clock.Now()}
	}
}

// Delete implements cache.ReflectorStore.
func (p *Pulse) Delete(object any) error {
	lease, ok := object.(metav1.Object)
	if !ok {
		return fmt.Errorf("want a Lease, got %T", object)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.leases, lease.GetName())
	return nil
}

// Replace implements cache.ReflectorStore.
func (p *Pulse) Replace(objects []any, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	listed := make(map[string]bool, len(objects))
	for _, object := range objects {
		lease, ok := object.(metav1.Object)
		if !ok {
			return fmt.Errorf("want a Lease, got %T", object)
		}
		listed[lease.GetName()] = true
		p.see(lease)
	}
	maps.DeleteFunc(p.leases, func(name string, _ beat) bool { return !listed[name] })
	return nil
}

// Resync implements cache.ReflectorStore.
func (*Pulse) Resync() error { return nil }
