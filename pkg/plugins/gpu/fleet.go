package gpu

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/claims"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/offer"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/pulse"
)

// Fleet is what the plugin's instances know of all GPU nodes together. Build it with [NewFleet]; any goroutine may use it.
type Fleet struct {
	clock     clock.Clock
	pulse     *pulse.Pulse
	claims    *claims.Index
	forecasts offer.Forecaster
	stated    GPUArgs // what profiles say of what they share

	mu sync.RWMutex
	// nodes and users are as the informers have them: the nodes, and the pods with GPUs by the name of their node.
	nodes   map[string]*member
	users   map[string]map[types.UID]bool
	domains map[string]int // how many nodes of an NVLink domain have users
	offers  map[string]counted
	recent  [2]member // read for hints

	reporting chan struct{} // closed once any node has a report
}

// member is a node and what was read of it.
type member struct {
	object *v1.Node
	driver *claims.View
	read   *offer.Node
}

// isOf is true if the node is still the same, in every respect that was read.
func (m *member) isOf(object *v1.Node, driver *claims.View) bool {
	return m.object == object && m.driver == driver
}

// counted is what was made of a node at one moment.
type counted struct {
	member
	generation int64
	requested  int64 // GPUs
	taken      offer.Taken
}

// NewFleet returns a fleet without nodes.
func NewFleet(clk clock.Clock) *Fleet {
	return &Fleet{
		clock: clk, pulse: pulse.New(clk), claims: claims.New(),
		nodes: map[string]*member{}, users: map[string]map[types.UID]bool{}, domains: map[string]int{}, offers: map[string]counted{},
		reporting: make(chan struct{}),
	}
}

// settle takes in what one more profile says of what all share.
func (f *Fleet) settle(args *GPUArgs) error {
	for _, err := range []error{
		agree(&f.stated.ReporterNamespace, args.ReporterNamespace, "reporterNamespace"),
		agree(&f.stated.StaleAfterSeconds, args.StaleAfterSeconds, "staleAfterSeconds"),
		agree(&f.stated.MaxStalePercent, args.MaxStalePercent, "maxStalePercent"),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func agree[T comparable](stated **T, one *T, name string) error {
	switch {
	case one == nil:
	case *stated == nil:
		*stated = one
	case **stated != *one:
		return field.Invalid(field.NewPath(name), *one, fmt.Sprintf("all profiles share it, and another one says %v", **stated))
	}
	return nil
}

// ReporterNamespace is where reporters renew their Leases. It is known once all profiles have been built.
func (f *Fleet) ReporterNamespace() string {
	if name := f.stated.ReporterNamespace; name != nil {
		return *name
	}
	return DefaultReporterNamespace
}

func (f *Fleet) staleness() (after time.Duration, percent int) {
	after, percent = DefaultStaleAfterSeconds*time.Second, DefaultMaxStalePercent
	if seconds := f.stated.StaleAfterSeconds; seconds != nil {
		after = time.Duration(*seconds) * time.Second
	}
	if most := f.stated.MaxStalePercent; most != nil {
		percent = int(*most)
	}
	return after, percent
}

// Reporting is closed as soon as any node has a report: before that there are no reporters to be heard of.
func (f *Fleet) Reporting() <-chan struct{} { return f.reporting }

// Leases takes in the reporters' Leases: a reflector writes into it.
func (f *Fleet) Leases() cache.ReflectorStore { return f.pulse }

// Refusal says why a node does not take a pod with this need, "" if it does, as far as its GPUs go and apart from how many are
// free. isCurable is true if it may once pods of others are gone.
func (f *Fleet) Refusal(info fwk.NodeInfo, need Need) (reason string, isCurable bool) {
	o := f.offer(info)
	why := o.Refusal(need, &f.forecasts)
	return why.Reason, why.IsCurable
}

// IsDoubtful is true for a node that a pod with GPUs is better not put on, if it can stand as well elsewhere: a free GPU is
// degraded or has memory in use that no pod explains, or the report is stale.
func (f *Fleet) IsDoubtful(info fwk.NodeInfo) bool {
	o := f.offer(info)
	return o.IsDoubtful()
}

// Epoch changes after reports went stale, or ceased to be, and with what DRA says of nodes. Besides, what the fleet says of a node
// depends on nothing but the node with its pods.
func (f *Fleet) Epoch() uint64 { return f.pulse.Epoch() + f.claims.Epoch() }

func (f *Fleet) merits(info fwk.NodeInfo, need Need) offer.Merits {
	o := f.offer(info)
	return o.Merits(need, f.isWhole(o.Domain), &f.forecasts)
}

// offer returns what a node offers. What was read and counted of it last holds while it is the same node with the same pods. A
// change in the cache gives it another generation; a simulation in the snapshot does not, but pods that it adds show no GPUs, so
// that all there is to them is how many they ask for.
func (f *Fleet) offer(info fwk.NodeInfo) offer.Offer {
	object, generation, requested := info.Node(), info.GetGeneration(), info.GetRequested().GetScalarResources()[offer.GPU]
	driver := f.claims.On(object.Name)
	f.mu.RLock()
	c := f.offers[object.Name]
	f.mu.RUnlock()
	if !c.isOf(object, driver) || c.generation != generation || c.requested != requested {
		if !c.isOf(object, driver) {
			c.member = member{object, driver, offer.Read(object, driver, c.read)}
		}
		c.generation, c.requested, c.taken = generation, requested, c.read.TakenBy(info.GetPods())
		f.mu.Lock()
		f.offers[object.Name] = c
		f.mu.Unlock()
	}
	return offer.Offer{Node: c.read, Taken: c.taken, IsStale: f.pulse.IsStale(object.Name)}
}

// isWhole is true for an NVLink domain that no pod uses.
func (f *Fleet) isWhole(domain string) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.domains[domain] == 0
}

// Watch keeps the fleet up with nodes and pods, from before the informers start.
func (f *Fleet) Watch(factory informers.SharedInformerFactory) error {
	_, err := factory.Core().V1().Nodes().Informer().AddEventHandler(handlersOf(
		func(node *v1.Node) { f.setNode(node.Name, node) },
		func(node *v1.Node) { f.setNode(node.Name, nil) },
	))
	if err != nil {
		return err
	}
	_, err = factory.Core().V1().Pods().Informer().AddEventHandler(handlersOf(
		func(pod *v1.Pod) { f.setPod(pod, true) },
		func(pod *v1.Pod) { f.setPod(pod, false) },
	))
	if err != nil {
		return err
	}
	// The core's DynamicResources plugin has informers of both, too.
	_, err = factory.Resource().V1().ResourceSlices().Informer().AddEventHandler(handlersOf(
		func(slice *resourceapi.ResourceSlice) { f.claims.SetSlice(slice); f.readAnew(claims.NodeOf(slice)) },
		func(slice *resourceapi.ResourceSlice) { f.claims.DropSlice(slice); f.readAnew(claims.NodeOf(slice)) },
	))
	if err != nil {
		return err
	}
	_, err = factory.Resource().V1().ResourceClaims().Informer().AddEventHandler(handlersOf(f.claims.SetClaim, f.claims.DropClaim))
	return err
}

// readAnew reads a node again whose driver offers other GPUs now.
func (f *Fleet) readAnew(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.nodes[name]; m != nil {
		f.keep(name, m.object)
	}
}

func handlersOf[T any](set, drop func(T)) cache.ResourceEventHandlerFuncs {
	call := func(do func(T), object any) {
		if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		if typed, ok := object.(T); ok {
			do(typed)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { call(set, object) },
		UpdateFunc: func(_, object any) { call(set, object) },
		DeleteFunc: func(object any) { call(drop, object) },
	}
}

// setNode takes in a node, nil for one that is gone.
func (f *Fleet) setNode(name string, object *v1.Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keep(name, object)
}

// keep does so. The lock is held.
func (f *Fleet) keep(name string, object *v1.Node) {
	before := f.nodes[name]
	isUsed := len(f.users[name]) > 0
	if before != nil && isUsed {
		f.useDomain(before.read.Domain, -1)
	}
	if object == nil {
		delete(f.nodes, name)
		delete(f.offers, name)
		f.pulse.Forget(name)
		return
	}
	m := &member{object: object, driver: f.claims.On(name)}
	if before != nil {
		m.read = offer.Read(object, m.driver, before.read)
	} else {
		m.read = offer.Read(object, m.driver, nil)
	}
	f.nodes[name] = m
	if isUsed {
		f.useDomain(m.read.Domain, 1)
	}
	if m.read.HasReport() {
		f.pulse.Follow(name)
		select {
		case <-f.reporting:
		default:
			close(f.reporting) // the lock is held
		}
	} else {
		f.pulse.Forget(name)
	}
}

// setPod takes in a pod with GPUs that has a node, or forgets it.
func (f *Fleet) setPod(pod *v1.Pod, isThere bool) {
	name := pod.Spec.NodeName
	if name == "" || !AsksForAny(pod) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	users := f.users[name]
	wasUsed := len(users) > 0
	switch {
	case !isThere:
		delete(users, pod.UID)
	case users == nil:
		f.users[name] = map[types.UID]bool{pod.UID: true}
	default:
		users[pod.UID] = true
	}
	isUsed := len(f.users[name]) > 0
	if !isUsed {
		delete(f.users, name)
	}
	m := f.nodes[name]
	switch {
	case m == nil || isUsed == wasUsed:
	case isUsed:
		f.useDomain(m.read.Domain, 1)
	default:
		f.useDomain(m.read.Domain, -1)
	}
}

// useDomain counts a node of a domain as used, or not any more. The lock is held.
func (f *Fleet) useDomain(domain string, by int) {
	if domain == "" {
		return
	}
	if f.domains[domain] += by; f.domains[domain] <= 0 {
		delete(f.domains, domain)
	}
}

// readOf returns what is read of a node's object, for hints: they are asked about the same two objects for each pod that waits.
func (f *Fleet) readOf(object *v1.Node) *offer.Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	var known *offer.Node
	driver := f.claims.On(object.Name)
	for _, m := range []*member{f.nodes[object.Name], &f.recent[0], &f.recent[1]} {
		switch {
		case m == nil || m.object == nil:
		case m.isOf(object, driver):
			return m.read
		case m.object.Name == object.Name:
			known = cmp.Or(known, m.read)
		}
	}
	f.recent[1] = f.recent[0]
	f.recent[0] = member{object, driver, offer.Read(object, driver, known)}
	return f.recent[0].read
}

// readNamed returns what is read of a node, nil if there is none.
func (f *Fleet) readNamed(name string) *offer.Node {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if m := f.nodes[name]; m != nil {
		return m.read
	}
	return nil
}
