// Package observe follows gangs from outside, by the pods that the API server shows.
//
// Purpose: what the demo's table and summary say is what was seen here. Invariants: times are the moments at which an event
// arrived, or the API server's where the watch was slow, all from one clock; nothing is asked of the scheduler. Cost: constant per event.
package observe

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/demo/fabric"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// Observer follows the gangs that it is told to expect, and the GPUs of some hosts. Its methods may be called from several
// goroutines.
type Observer struct {
	fabric *fabric.Fabric
	hosts  map[string]bool

	mu      sync.Mutex
	changed chan struct{} // closed at the next event
	gangs   map[oracle.Gang]*record
	order   []oracle.Gang
	pods    map[types.NamespacedName]member
	usage   usage
	binds   []time.Time
}

// record is a gang and what its view is made of.
type record struct {
	Gang
	hosts, leaves map[string]bool
}

// member is what is kept of a pod.
type member struct {
	uid     types.UID
	gang    oracle.Gang
	gpus    int64
	node    string
	phase   corev1.PodPhase
	isOver  bool // succeeded or failed
	because string
}

// New returns an observer of the hosts and their GPUs.
func New(f *fabric.Fabric, hosts []trace.Host) *Observer {
	o := &Observer{
		fabric: f, hosts: map[string]bool{}, changed: make(chan struct{}),
		gangs: map[oracle.Gang]*record{}, pods: map[types.NamespacedName]member{},
		usage: usage{total: int64(len(hosts)) * trace.GPUsPerHost},
	}
	for _, h := range hosts {
		o.hosts[h.Name] = true
	}
	return o
}

// Expect makes the observer follow a gang, all of whose members must run together. It is to be told before the pods come.
func (o *Observer) Expect(key oracle.Gang, members int, gpus int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gangs[key] = &record{Gang: Gang{Key: key, Members: members, GPUs: gpus}, hosts: map[string]bool{}, leaves: map[string]bool{}}
	o.order = append(o.order, key)
}

// Observe takes in an event of a pod.
func (o *Observer) Observe(at time.Time, kind watch.EventType, pod *corev1.Pod) {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	old := o.pods[name]
	if old.exists() && (kind == watch.Deleted || old.uid != pod.UID) {
		o.move(at, old.gang, old, member{})
		delete(o.pods, name)
		old = member{}
	}
	if kind == watch.Added || kind == watch.Modified {
		now := memberOf(pod)
		switch {
		case now.node != "" && old.node == "":
			at = oracle.BoundAt(at, pod)
		case !old.exists():
			at = oracle.CreatedAt(at, pod)
		}
		o.pods[name] = now
		o.move(at, now.gang, old, now)
	}
	close(o.changed)
	o.changed = make(chan struct{})
}

func memberOf(pod *corev1.Pod) member {
	m := member{uid: pod.UID, node: pod.Spec.NodeName, phase: pod.Status.Phase}
	m.gang, _ = oracle.GangOf(pod)
	for _, c := range pod.Spec.Containers {
		gpus := c.Resources.Limits[controlplane.ResourceGPU]
		m.gpus += gpus.Value()
	}
	m.isOver = m.phase == corev1.PodSucceeded || m.phase == corev1.PodFailed
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && m.node == "" {
			m.because = c.Message
		}
	}
	return m
}

// move books that a member of the gang was as before and is as now; the zero member does not exist.
func (o *Observer) move(at time.Time, gang oracle.Gang, before, now member) {
	r, isExpected := o.gangs[gang]
	if by := o.holds(now) - o.holds(before); by != 0 {
		if isExpected {
			o.usage.begin(at)
		}
		o.usage.use(at, by)
	}
	if !isExpected {
		return
	}
	o.usage.want(now.wants() - before.wants())
	r.count(before, -1)
	r.count(now, 1)
	if !before.exists() {
		if r.FirstCreated.IsZero() {
			r.FirstCreated = at
		}
		if r.Created == r.Members && r.LastCreated.IsZero() {
			r.LastCreated, r.HadRoom = at, o.hasRoomFor(r)
		}
	}
	if before.node == "" && now.node != "" {
		o.binds = append(o.binds, at)
		r.bind(at, now.node, o.fabric.LeafOf(now.node))
	}
	if r.Succeeded == r.Members && r.Ended.IsZero() {
		r.Ended = at
	}
	if now.because != "" {
		r.Because = now.because
	}
}

// holds is how many GPUs of the observed hosts a member holds.
func (o *Observer) holds(m member) int64 {
	if m.isOver || !o.hosts[m.node] {
		return 0
	}
	return m.gpus
}

// exists is false for the zero member.
func (m member) exists() bool { return m.uid != "" }

// wants is how many GPUs a member holds or waits for.
func (m member) wants() int64 {
	if m.isOver {
		return 0
	}
	return m.gpus
}

// hasRoomFor tells whether a gang needs to wait for nobody's end: whether the free GPUs, at this moment, suffice for it even
// after all others that could take them first. Those are gangs of which members exist and wait; one that the free GPUs are
// too few for cannot take them, unless it has begun to. It counts GPUs, which tells the truth where every member takes a
// whole host.
func (o *Observer) hasRoomFor(gang *record) bool {
	free := o.usage.total - o.usage.used
	room := free
	for _, r := range o.gangs {
		if r == gang || r.Created == 0 || r.Bound >= r.Members {
			continue
		}
		if missing := r.GPUs * int64(r.Members-r.Bound) / int64(r.Members); r.Bound > 0 || missing <= free {
			room -= missing
		}
	}
	return room >= gang.GPUs
}

// Gang returns what is known of one gang.
func (o *Observer) Gang(key oracle.Gang) Gang {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r, ok := o.gangs[key]; ok {
		return r.view()
	}
	return Gang{Key: key}
}

// View returns what is known of all gangs, in the order in which they were expected.
func (o *Observer) View(at time.Time) View {
	o.mu.Lock()
	defer o.mu.Unlock()
	v := View{At: at, Usage: o.usage.view(at), Binds: slices.SortedFunc(slices.Values(o.binds), time.Time.Compare)}
	for _, key := range o.order {
		v.Gangs = append(v.Gangs, o.gangs[key].view())
	}
	return v
}

// Changed is closed at the next event.
func (o *Observer) Changed() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.changed
}

// WaitFor waits until a gang is as the condition says.
func (o *Observer) WaitFor(ctx context.Context, key oracle.Gang, condition func(Gang) bool) (Gang, error) {
	for {
		changed := o.Changed()
		if g := o.Gang(key); condition(g) {
			return g, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return o.Gang(key), context.Cause(ctx)
		}
	}
}
