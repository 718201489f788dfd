package observe

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

// Gang is how far a gang has come, at one moment.
type Gang struct {
	Key     oracle.Gang
	Members int
	GPUs    int64 // of all members

	// Created members exist, Bound were bound ever, Running run now, Succeeded are over.
	Created, Bound, Running, Succeeded int

	// FirstCreated and LastCreated are when the first and the last of the members was seen, FirstBound and LastBound when
	// it was seen with a node, Ended when the last had succeeded. Zero for what has not happened.
	FirstCreated, LastCreated, FirstBound, LastBound, Ended time.Time

	// Leaves are the leaf switches above the members, in order; Hosts is how many hosts the members took.
	Leaves []string
	Hosts  int
	// Because is what a waiting member last said it waits for.
	Because string
	// HadRoom is true if the gang had to wait for nobody's end: when its last member was created, the free GPUs sufficed for
	// it and for all others that could take them first.
	HadRoom bool
}

// View is what is known of all expected gangs, at one moment.
type View struct {
	At    time.Time
	Gangs []Gang // in the order in which they were expected
	Usage Usage
	// Binds are when members of the gangs were bound, in order.
	Binds []time.Time
}

// Count returns how many gangs are in each state.
func (v View) Count() map[State]int {
	out := map[State]int{}
	for _, g := range v.Gangs {
		out[g.State()]++
	}
	return out
}

// State is what a gang does.
type State int

// The states, in the order in which a gang goes through them.
const (
	Expected State = iota // no member exists
	Arriving              // some members exist
	Waiting               // all exist, none is bound
	Starting              // some are bound
	Running               // all are bound
	Done                  // all have succeeded
)

// String is for people.
func (s State) String() string {
	return [...]string{"expected", "arriving", "waiting", "starting", "running", "done"}[s]
}

// State tells what the gang does.
func (g Gang) State() State {
	switch {
	case !g.Ended.IsZero():
		return Done
	case g.Bound >= g.Members && g.Members > 0:
		return Running
	case g.Bound > 0:
		return Starting
	case g.Created >= g.Members && g.Members > 0:
		return Waiting
	case g.Created > 0:
		return Arriving
	}
	return Expected
}

// Wait is how long the gang waited from its last member's creation to its last member's binding, or waits until now.
func (g Gang) Wait(now time.Time) time.Duration {
	switch {
	case g.LastCreated.IsZero():
		return 0
	case g.LastBound.IsZero():
		return max(0, now.Sub(g.LastCreated))
	}
	return max(0, g.LastBound.Sub(g.LastCreated))
}

// count books a member that exists in its phase, or does so no longer.
func (r *record) count(m member, by int) {
	if !m.exists() {
		return
	}
	r.Created += by
	switch m.phase {
	case corev1.PodRunning:
		r.Running += by
	case corev1.PodSucceeded:
		r.Succeeded += by
	}
}

// bind books that a member was bound to a host below a leaf switch.
func (r *record) bind(at time.Time, host, leaf string) {
	r.Bound++
	r.hosts[host], r.leaves[leaf] = true, true
	if r.FirstBound.IsZero() {
		r.FirstBound = at
	}
	if r.Bound == r.Members {
		r.LastBound = at
	}
}

func (r *record) view() Gang {
	g := r.Gang
	g.Leaves, g.Hosts = slices.Sorted(maps.Keys(r.leaves)), len(r.hosts)
	return g
}
