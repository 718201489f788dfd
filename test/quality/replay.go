package quality

import (
	"cmp"
	"container/heap"
	"fmt"
	"time"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// GPUSeconds is GPUs × time.
type GPUSeconds int64

// Outcome is what became of a gang.
type Outcome struct {
	Gang
	Start time.Duration
	// Hosts has one host for each member.
	Hosts []int
	Span  Span
	// Now is the bound at the moment of the placement, Empty the one on the empty fabric.
	Now, Empty Bound
}

// Wait is from the arrival to the start.
func (o Outcome) Wait() time.Duration { return o.Start - o.Arrival }

// Run is a replay as it went.
type Run struct {
	Policy string
	// GPUs is what the cluster has.
	GPUs int
	// Outcomes are in the order in which gangs started.
	Outcomes []Outcome
	// Idle is what was free while any gang waited, Stranded while one waited that asked for no more than was free.
	Idle, Stranded GPUSeconds
	// End is when the last gang ended.
	End time.Duration
}

// Replay lets gangs, which come in the order of their arrival, arrive on empty hosts, run where the policy puts them, and
// leave.
func Replay(hosts []trace.Host, gangs []Gang, p Policy) (*Run, error) {
	r := &replay{
		cluster: NewCluster(hosts), empty: NewCluster(hosts), bounds: map[[2]int]Bound{},
		run: &Run{Policy: p.Name(), GPUs: len(hosts) * trace.GPUsPerHost},
	}
	for len(gangs) > 0 || len(r.running) > 0 {
		r.advance(gangs)
		for len(r.running) > 0 && r.running[0].end == r.now {
			ended := heap.Pop(&r.running).(placed)
			r.cluster.release(ended.gang, ended.hosts)
		}
		for len(gangs) > 0 && gangs[0].Arrival == r.now {
			r.waiting, gangs = append(r.waiting, gangs[0]), gangs[1:]
		}
		if err := r.place(p); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name(), err)
		}
	}
	if len(r.waiting) > 0 {
		return nil, fmt.Errorf("%s: gang %d never starts", p.Name(), r.waiting[0].ID)
	}
	r.run.End = r.now
	return r.run, nil
}

// replay is a replay at a moment.
type replay struct {
	cluster *Cluster
	now     time.Duration
	running departures
	waiting []Gang
	run     *Run

	empty  *Cluster
	bounds map[[2]int]Bound // on the empty cluster, by members and GPUs of each
}

// advance goes to the next moment at which something happens, and adds up what is idle until then.
func (r *replay) advance(arriving []Gang) {
	next := time.Duration(1<<63 - 1)
	if len(arriving) > 0 {
		next = arriving[0].Arrival
	}
	if len(r.running) > 0 {
		next = min(next, r.running[0].end)
	}
	idle := r.cluster.idle()
	area := GPUSeconds(idle) * GPUSeconds((next-r.now)/time.Second)
	isStranded := false
	for _, g := range r.waiting {
		isStranded = isStranded || g.GPUs() <= idle
	}
	if len(r.waiting) > 0 {
		r.run.Idle += area
	}
	if isStranded {
		r.run.Stranded += area
	}
	r.now = next
}

// place tries the gangs that wait, in order, and keeps those that have to go on waiting.
func (r *replay) place(p Policy) error {
	kept := r.waiting[:0]
	for _, g := range r.waiting {
		if !r.cluster.fits(g) {
			kept = append(kept, g)
			continue
		}
		hosts, ok := p.Place(r.cluster, g)
		if !ok {
			kept = append(kept, g)
			continue
		}
		// Before the gang takes anything: what else could it have had?
		bound := r.cluster.Bound(g)
		if err := r.cluster.take(g, hosts); err != nil {
			return err
		}
		r.run.Outcomes = append(r.run.Outcomes, Outcome{
			Gang: g, Start: r.now, Hosts: hosts, Span: r.cluster.span(hosts), Now: bound, Empty: r.onEmpty(g),
		})
		heap.Push(&r.running, placed{gang: g, hosts: hosts, end: r.now + g.Duration})
	}
	r.waiting = kept
	return nil
}

func (r *replay) onEmpty(g Gang) Bound {
	key := [2]int{g.Members, g.GPUsPerMember}
	if _, ok := r.bounds[key]; !ok {
		r.bounds[key] = r.empty.Bound(g)
	}
	return r.bounds[key]
}

// placed is a gang that runs.
type placed struct {
	gang  Gang
	hosts []int
	end   time.Duration
}

// departures is a heap of gangs, the next to end first.
type departures []placed

func (d departures) Len() int { return len(d) }
func (d departures) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(d[i].end, d[j].end), cmp.Compare(d[i].gang.ID, d[j].gang.ID)) < 0
}
func (d departures) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *departures) Push(x any)   { *d = append(*d, x.(placed)) }
func (d *departures) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
