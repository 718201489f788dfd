package offer

import v1 "k8s.io/api/core/v1"

// What follows is for queueing hints: whether something that happened to a node may give a place to a pod that waits. Which pods
// the node has, hints cannot know, so they err on the side of waking a pod.

// HelpedByChange is true if a node that was as before, or nil for a new one, may take a pod now that it could not take then.
func (n *Node) HelpedByChange(before *Node, need Need) bool {
	if !n.mayTake(need) {
		return false
	}
	if before == nil || before.isRecut || before.HasReport() != n.HasReport() || n.Allocatable > before.Allocatable {
		return true
	}
	if n.report == nil {
		return n.labels != before.labels
	}
	r, b := n.report, before.report
	isExcused := n.Capacity-n.Allocatable > before.Capacity-before.Allocatable && (r.bad != 0 || r.missing > 0)
	switch {
	case isExcused, r.missing < b.missing, need.Largest > 1 && b.isDown && !r.isDown, r.hasBetter(b, need):
		return true
	case need.Largest < 2 || b.links == nil || r.links == nil:
		return false
	}
	return *r.links != *b.links
}

// hasBetter is true if a GPU is fit for the pod that was not, or if one is gone that was not.
func (r *report) hasBetter(before *report, need Need) bool {
	fit := r.fitFor(need)
	fitBefore := before.fitFor(need)
	for at := range fit.positions {
		if was, ok := before.at[r.gpus[at].uuid]; !ok || !fitBefore.has(was) {
			return true
		}
	}
	for was := range (before.whole &^ fitBefore).positions {
		if at, ok := r.at[before.gpus[was].uuid]; !ok || !r.whole.has(at) {
			return true
		}
	}
	return false
}

// fitFor is the GPUs that a pod could have.
func (r *report) fitFor(need Need) set {
	fit := r.whole &^ r.bad
	for at := range fit.positions {
		d := &r.gpus[at]
		if d.facts.unfit(need.Wish) != (Refusal{}) || d.freeMiB < need.MemoryMiB {
			fit &^= 1 << at
		}
	}
	return fit
}

// mayTake is true if the node could take the pod, if its own pods hold what suits.
func (n *Node) mayTake(need Need) bool {
	switch {
	case n.isRecut || n.Allocatable < need.Count:
		return false
	case n.report == nil:
		o := Offer{Node: n}
		return o.byLabels(need) == Refusal{}
	case n.report.isDown && need.Largest > 1:
		return false
	}
	// Devices that the report does not know, and those with memory in use, may be what pods hold.
	return n.whole().len() < n.Capacity || n.report.couldServe(need)
}

func (r *report) couldServe(need Need) bool {
	fit := r.whole &^ r.bad
	for at := range fit.positions {
		if r.gpus[at].facts.unfit(need.Wish) != (Refusal{}) {
			fit &^= 1 << at
		}
	}
	return fit.len() >= need.Count
}

// HelpedByFreshness is true if a report that went stale just now, or ceased to be, may thereby make room for a pod: while it is
// stale, of memory only the size is known.
func (n *Node) HelpedByFreshness(isStale bool, need Need) bool {
	if n.report == nil {
		return false
	}
	r := n.report
	for at := range r.whole.positions {
		d := &r.gpus[at]
		isFreeEnough, isLargeEnough := d.freeMiB >= need.MemoryMiB, d.idleMiB() >= need.MemoryMiB
		if isFreeEnough != isLargeEnough && isLargeEnough == isStale {
			return true
		}
	}
	return false
}

// isInTrouble is true if what the report says of health keeps a pod away.
func (r *report) isInTrouble(need Need) bool {
	return r.bad != 0 || r.missing > 0 || need.Largest > 1 && r.isDown
}

// IsSwayed is true if it matters to any pod whether the report is stale.
func (n *Node) IsSwayed() bool {
	if n.report == nil {
		return false
	}
	for at := range n.report.whole.positions {
		if d := &n.report.gpus[at]; d.freeMiB != d.idleMiB() {
			return true
		}
	}
	return false
}

// HelpedByShowing is true if a pod on the node that shows now which GPUs it holds may thereby make room for another.
func (n *Node) HelpedByShowing(before, after *v1.Pod, need Need) bool {
	begins := before.Status.Phase != v1.PodRunning && after.Status.Phase == v1.PodRunning // and explains memory in use
	if n.report == nil || !begins && heldBy(n, before) == heldBy(n, after) {
		return false
	}
	return n.report.isInTrouble(need) || need.Largest > 1 || need.MemoryMiB > 0
}

// HelpedByLeaving is true if a pod that leaves the node may thereby make room for another, apart from how many GPUs it held.
func (n *Node) HelpedByLeaving(need Need) bool { return n.report != nil && need.Largest > 1 }

// HelpedByClaim is true if a claim that no longer holds GPUs of the node may thereby make room for a pod.
func (n *Node) HelpedByClaim(need Need) bool { return n.report != nil && n.mayTake(need) }

// holding is which GPUs of a report a pod shows, and how many others.
type holding struct {
	held    set
	foreign int
}

func heldBy(n *Node, pod *v1.Pod) holding {
	var h holding
	EachHeld(pod, func(uuid string, _ v1.ResourceHealthStatus) {
		if at, ok := n.position(uuid); ok {
			h.held |= 1 << at
		} else {
			h.foreign++
		}
	})
	return h
}
