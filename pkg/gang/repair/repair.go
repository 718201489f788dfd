// Package repair is the register of places that are kept for members which running gangs have lost.
//
// A node is drained, a container runs out of memory: a gang of 64 has 63 members, and none of them can work until the last one is
// replaced. Its controller makes the replacement a second later, and by then a newer job may have taken the GPUs. So the place
// of the lost member is kept for a while: its node, and what it took there.
//
// Purpose: the one answer to what of a node is spoken for. The ledger, which sees members come and go, decides when a place is kept
// and when no longer (its repair.go draws how); the solver's picture and the filter ask. Invariants: a place is of one gang; what is
// handed out is never changed. Cost: one atomic load where nothing is kept anywhere, else one look into a map for each node
// that is asked about. All methods may be called from any goroutine, and on a nil register, which keeps nothing.
package repair

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// Policy is what an administrator chose for the gangs of one scheduler name.
type Policy struct {
	// Timeout is how long a place is kept; 0 keeps none.
	Timeout time.Duration
	// Restart has the rest of a gang deleted whose repair failed, so that its controller makes it anew.
	Restart bool
}

// Result is how a repair ended. The list is closed: it is a label of a metric.
type Result string

// The results.
const (
	Whole     Result = "whole"     // the gang's minimum holds nodes again
	Over      Result = "over"      // nobody of the gang holds a node any more, or its PodGroup is gone
	TimedOut  Result = "timeout"   // a place was kept in vain
	Restarted Result = "restarted" // the same, and the gang is made anew
)

// Results returns all of them.
func Results() []Result { return []Result{Whole, Over, TimedOut, Restarted} }

// Options is what the ledger needs to keep places. The zero value keeps none.
type Options struct {
	Policies map[string]Policy // by scheduler name
	Clock    clock.Clock
	// Ended is told of each repair that ends, Restart of each gang that is to be made anew. The ledger is locked then: they must
	// not call back.
	Ended   func(Result)
	Restart func(gang.Key)
}

// Place is what a lost member had. It is immutable.
type Place struct {
	Gang     gang.Key
	Pod      *v1.Pod // the member that is lost
	Role     string
	Node     string
	Priority int32 // of the gang
	// Request is what the member took from its node, one slot among the node's pods included.
	Request v1.ResourceList
	// Until is when the place is kept no longer. It goes before with the first one of its gang, if that was kept in vain.
	Until time.Time
}

// NewPlace returns the place of a lost member on its node.
func NewPlace(key gang.Key, pod *v1.Pod, role string, priority int32, until time.Time) *Place {
	request := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	request[v1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	return &Place{Gang: key, Pod: pod, Role: role, Node: pod.Spec.NodeName, Priority: priority, Request: request, Until: until}
}

// maxPlaces bounds how many places are kept at a time. A disaster that takes more members down is no time to keep order.
const maxPlaces = 10_000

// maxTurnedAway bounds how many pods are remembered to be woken.
const maxTurnedAway = 10_000

// Places is the register. Build it with [NewPlaces].
type Places struct {
	count atomic.Int32
	freed chan struct{} // holds at most one

	mu         sync.RWMutex
	byNode     map[string][]*Place // lists are replaced, never changed
	byGang     map[gang.Key][]*Place
	turnedAway map[string]*v1.Pod
}

// NewPlaces returns an empty register.
func NewPlaces() *Places {
	return &Places{freed: make(chan struct{}, 1), byNode: map[string][]*Place{}, byGang: map[gang.Key][]*Place{}, turnedAway: map[string]*v1.Pod{}}
}

// Add keeps a place, unless there are too many.
func (p *Places) Add(place *Place) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count.Load() >= maxPlaces {
		return false
	}
	p.byNode[place.Node] = append(slices.Clip(p.byNode[place.Node]), place)
	p.byGang[place.Gang] = append(slices.Clip(p.byGang[place.Gang]), place)
	p.count.Add(1)
	return true
}

// Remove keeps a place no longer.
func (p *Places) Remove(place *Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.byGang[place.Gang], place) {
		return
	}
	without(p.byNode, place.Node, place)
	without(p.byGang, place.Gang, place)
	p.count.Add(-1)
	select {
	case p.freed <- struct{}{}:
	default: // told already
	}
}

func without[K comparable](lists map[K][]*Place, key K, place *Place) {
	rest := slices.DeleteFunc(slices.Clone(lists[key]), func(other *Place) bool { return other == place })
	if lists[key] = rest; len(rest) == 0 {
		delete(lists, key)
	}
}

// Freed tells that places were given up since somebody asked last.
func (p *Places) Freed() <-chan struct{} { return p.freed }

// Any is false while nothing is kept anywhere.
func (p *Places) Any() bool { return p != nil && p.count.Load() > 0 }

// On returns what is kept on a node, the oldest first.
func (p *Places) On(node string) []*Place {
	if !p.Any() {
		return nil
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.byNode[node]
}

// Of returns what is kept for a gang, the oldest first.
func (p *Places) Of(key gang.Key) []*Place {
	if !p.Any() {
		return nil
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.byGang[key]
}

// Nodes returns the names of the nodes on which anything is kept, in order.
func (p *Places) Nodes() []string {
	if !p.Any() {
		return nil
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Sorted(maps.Keys(p.byNode))
}

// TurnAway notes a pod that found a place kept from it.
func (p *Places) TurnAway(pod *v1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.turnedAway) < maxTurnedAway { // others wait for the core's own retries
		p.turnedAway[pod.Namespace+"/"+pod.Name] = pod
	}
}

// TurnedAway returns the pods that were turned away since somebody asked last, by namespace and name.
func (p *Places) TurnedAway() map[string]*v1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	pods := p.turnedAway
	p.turnedAway = map[string]*v1.Pod{}
	return pods
}
