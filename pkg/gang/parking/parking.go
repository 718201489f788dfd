// Package parking keeps gangs that were refused for want of room out of the scheduler's queue until there may be room for them.
//
// Purpose: the core has a gang that it could not place sit out a backoff, and tries it again whether or not anything has happened.
// With 1,000 gangs that wait that is a hundred tries in vain a second, for ever, and all that comes waits behind them.
//
//	            refused, and nothing            there may be room, the gang
//	            happened meanwhile              changed, or time is up
//	tried ───────────────────────────► parked ──────────────────────────────► back to the queue
//	   └────────────────────────────────────────────────────────────────────► back to the queue
//	            something happened during the try
//
// Invariants: nobody is parked before there is somebody who reads [Lot.News] and has gangs tried. What may be room is counted before anybody
// is told of it. Nothing is parked for longer than [Longest], whatever was missed. Who is parked is not looked at again until then: room
// must be told of by whoever can make any.
//
// What it misses: the scheduler's picture of the cluster may be older than the moment of a try, since it hears of changes on a way of
// its own. Who reads the news opens the lot again for that, some times after there was room.
//
// Cost: a lock per question. It remembers nothing of gangs that changed, and of others a few words.
// All methods may be called from any goroutine.
package parking

import (
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// Longest is how long a gang is parked at most. It is how long the core leaves pods alone that nothing seems to help.
const Longest = 5 * time.Minute

// Lot is where gangs are parked. Build it with [NewLot].
type Lot struct {
	clock clock.PassiveClock
	news  chan struct{} // holds at most one

	mu     sync.Mutex
	moment Moment
	isRoom bool // since that was last asked
	isRead bool // somebody reads the news
	parked map[gang.Key]parked
}

// Moment tells states of the cluster apart: it is another one after there may have been more room.
type Moment uint64

type parked struct {
	moment Moment
	until  time.Time
}

// NewLot returns an empty lot.
func NewLot(clk clock.PassiveClock) *Lot {
	return &Lot{clock: clk, news: make(chan struct{}, 1), parked: map[gang.Key]parked{}}
}

// HasRoom tells that there may be more room now. It never blocks.
func (l *Lot) HasRoom() {
	l.mu.Lock()
	l.moment++
	l.isRoom = true
	l.mu.Unlock()
	l.tell()
}

// TakeRoom is true if there may be more room than when it was last asked.
func (l *Lot) TakeRoom() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.isRoom
	l.isRoom = false
	return was
}

// Open ends that anybody is parked: it is for who was told of room and knows that others may hear of it later.
func (l *Lot) Open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moment++
}

// Changed tells that a gang is not what it was.
func (l *Lot) Changed(key gang.Key) {
	l.mu.Lock()
	_, wasParked := l.parked[key]
	delete(l.parked, key)
	l.mu.Unlock()
	if wasParked {
		l.tell()
	}
}

func (l *Lot) tell() {
	select {
	case l.news <- struct{}{}:
	default: // told already
	}
}

// News has something to read after gangs may have ceased to be parked. To ask for it is to undertake to read it.
func (l *Lot) News() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isRead = true
	return l.news
}

// Now is to be asked when a try begins.
func (l *Lot) Now() Moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moment
}

// Park parks a gang that was refused in a try that began at this moment, unless something happened since.
func (l *Lot) Park(key gang.Key, began Moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isRead && began == l.moment {
		l.parked[key] = parked{began, l.clock.Now().Add(Longest)}
	}
}

// Holds is true while a gang is parked.
func (l *Lot) Holds(key gang.Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.parked[key]
	return ok && p.moment == l.moment && l.clock.Now().Before(p.until)
}
