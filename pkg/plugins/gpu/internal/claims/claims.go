// Package claims knows which GPUs Kubernetes' Dynamic Resource Allocation (DRA) gives away on a node, and which ResourceClaims
// hold.
//
// Purpose: the second source, beside what pods show in their status, of which GPUs are in use. A claim's allocation names devices
// of a pool, and the driver's ResourceSlices tell their UUIDs; a report of the node's GPUs knows them by the same.
//
//	ResourceSlice: driver, pool, device ─► UUID ──┐
//	                                              ├─► View of a node: what is offered, what is held
//	ResourceClaim: driver, pool, device held ─────┘
//
// NVIDIA's driver names its pools after their nodes and puts the attributes type, uuid and, on MIG instances, parentUUID on its
// devices (k8s-dra-driver-gpu, cmd/gpu-kubelet-plugin/deviceinfo.go). Slices and allocations of other drivers, and pools that are
// not named after a node, are none of ours.
//
// Invariants: claims and slices may come in any order. A claim with administrative access holds nothing. Of a pool only the
// slices of its latest generation count. A [View] never changes; while nothing changes on a node its view is the same pointer.
//
// Cost: a slice or claim that changes is one walk over its node's devices and claims. A question is one look into a map, which is
// empty in a cluster without such a driver.
package claims

import (
	"maps"
	"sync"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Driver is the name of NVIDIA's driver for GPUs, which is also the domain of its attributes.
const Driver = "gpu.nvidia.com"

// View is what there is to know of one node's GPUs, each named by its UUID.
type View struct {
	// Offered are the whole GPUs that the driver gives away; Tainted of them it gives to nobody who does not tolerate that.
	Offered map[string]bool
	Tainted int
	// Held are GPUs that claims hold, whole or in part.
	Held map[string]bool
	// Unknown is how many devices claims hold of which no slice tells the UUID.
	Unknown int
}

// Index keeps slices and claims by node. Build it with [New]; any goroutine may use it.
type Index struct {
	mu     sync.RWMutex
	nodes  map[string]*node
	claims map[types.UID]Devices // those that hold any
	epoch  uint64
}

// node is what was told of one node.
type node struct {
	slices map[string]slice              // by the name of the object
	held   map[types.UID]map[string]bool // devices, by claim
	view   *View
}

type slice struct {
	generation int64
	devices    map[string]device
}

// device is one of a slice. uuid is that of the GPU it is, or is a part of.
type device struct {
	uuid               string
	isWhole, isTainted bool
}

// New returns an index of nothing.
func New() *Index {
	return &Index{nodes: map[string]*node{}, claims: map[types.UID]Devices{}}
}

// On returns what is known of a node, nil for nothing.
func (x *Index) On(name string) *View {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if n := x.nodes[name]; n != nil {
		return n.view
	}
	return nil
}

// Epoch changes with every view.
func (x *Index) Epoch() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.epoch
}

// NodeOf is the node whose GPUs a slice lists, "" if it lists no such.
func NodeOf(s *resourceapi.ResourceSlice) string {
	if s.Spec.Driver != Driver || s.Spec.NodeName == nil || *s.Spec.NodeName != s.Spec.Pool.Name {
		return ""
	}
	return s.Spec.Pool.Name
}

// SetSlice takes in a slice.
func (x *Index) SetSlice(s *resourceapi.ResourceSlice) {
	name := NodeOf(s)
	if name == "" {
		return
	}
	read := slice{generation: s.Spec.Pool.Generation, devices: make(map[string]device, len(s.Spec.Devices))}
	for i := range s.Spec.Devices {
		d := &s.Spec.Devices[i]
		kind, uuid, parent := attribute(d, "type"), attribute(d, "uuid"), attribute(d, "parentUUID")
		if parent != "" {
			uuid = parent
		}
		read.devices[d.Name] = device{uuid: uuid, isWhole: kind == "gpu" && uuid != "", isTainted: keepsPodsOff(d.Taints)}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.change(name, func(n *node) { n.slices[s.Name] = read })
}

// DropSlice forgets a slice.
func (x *Index) DropSlice(s *resourceapi.ResourceSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if name := NodeOf(s); name != "" {
		x.change(name, func(n *node) { delete(n.slices, s.Name) })
	}
}

// SetClaim takes in a claim.
func (x *Index) SetClaim(c *resourceapi.ResourceClaim) { x.hold(c.UID, HeldBy(c)) }

// DropClaim forgets a claim.
func (x *Index) DropClaim(c *resourceapi.ResourceClaim) { x.hold(c.UID, nil) }

// Devices are the GPUs, or parts of GPUs, that a claim holds: by node, by their names in its pool.
type Devices map[string]map[string]bool

// HeldBy returns what a claim holds, nil for nothing.
func HeldBy(c *resourceapi.ResourceClaim) Devices {
	if c.Status.Allocation == nil {
		return nil
	}
	var held Devices
	for i := range c.Status.Allocation.Devices.Results {
		r := &c.Status.Allocation.Devices.Results[i]
		if r.Driver != Driver || r.AdminAccess != nil && *r.AdminAccess {
			continue
		}
		if held == nil {
			held = Devices{}
		}
		if held[r.Pool] == nil {
			held[r.Pool] = map[string]bool{}
		}
		held[r.Pool][r.Device] = true
	}
	return held
}

func (x *Index) hold(claim types.UID, held Devices) {
	x.mu.Lock()
	defer x.mu.Unlock()
	before := x.claims[claim]
	if maps.EqualFunc(before, held, maps.Equal[map[string]bool, map[string]bool]) {
		return
	}
	for name := range before {
		x.change(name, func(n *node) { delete(n.held, claim) })
	}
	for name, devices := range held {
		x.change(name, func(n *node) { n.held[claim] = devices })
	}
	if delete(x.claims, claim); held != nil {
		x.claims[claim] = held
	}
}

// change changes a node, which comes and goes with what is told of it. The lock is held.
func (x *Index) change(name string, do func(n *node)) {
	n := x.nodes[name]
	if n == nil {
		n = &node{slices: map[string]slice{}, held: map[types.UID]map[string]bool{}}
		x.nodes[name] = n
	}
	do(n)
	x.epoch++
	if n.view = n.look(); len(n.slices)+len(n.held) == 0 {
		delete(x.nodes, name)
	}
}

func (n *node) look() *View {
	v := &View{Offered: map[string]bool{}, Held: map[string]bool{}}
	latest := int64(0)
	for _, s := range n.slices {
		latest = max(latest, s.generation)
	}
	devices := map[string]device{}
	for _, s := range n.slices {
		if s.generation < latest {
			continue
		}
		for name, d := range s.devices {
			devices[name] = d
			if d.isWhole {
				v.Offered[d.uuid] = true
				if d.isTainted {
					v.Tainted++
				}
			}
		}
	}
	for _, held := range n.held {
		for name := range held {
			if d, ok := devices[name]; ok && d.uuid != "" {
				v.Held[d.uuid] = true
			} else {
				v.Unknown++
			}
		}
	}
	return v
}

// attribute is a text attribute of a device, under its own name or with the driver's domain before it.
func attribute(d *resourceapi.Device, name string) string {
	for _, key := range [...]string{name, Driver + "/" + name} {
		if a, ok := d.Attributes[resourceapi.QualifiedName(key)]; ok && a.StringValue != nil {
			return *a.StringValue
		}
	}
	return ""
}

func keepsPodsOff(taints []resourceapi.DeviceTaint) bool {
	for i := range taints {
		if e := taints[i].Effect; e == resourceapi.DeviceTaintEffectNoSchedule || e == resourceapi.DeviceTaintEffectNoExecute {
			return true
		}
	}
	return false
}
