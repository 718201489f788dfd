package main

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// beat is how often the pulse looks at the clock.
	beat = 100 * time.Millisecond
	// slowBeat is a pause that is worth telling: nobody keeps a promise of seconds on a machine that stands still.
	slowBeat = 2 * time.Second
)

// pulse measures how long this process was kept from running at all: by a machine with too much to do, most often.
type pulse struct{ longest atomic.Int64 }

// startPulse measures until the context is done.
func startPulse(ctx context.Context) *pulse {
	p := &pulse{}
	go func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			now := time.Now()
			if pause := int64(now.Sub(last)); pause > p.longest.Load() {
				p.longest.Store(pause)
			}
			last = now
		}
	}()
	return p
}

// longestPause is the longest time between two beats so far.
func (p *pulse) longestPause() time.Duration { return time.Duration(p.longest.Load()) }
