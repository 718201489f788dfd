package offer

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// Taken is what a node's pods hold of its GPUs.
type Taken struct {
	// Count is how many they asked for.
	Count int

	held    set // GPUs of the report that a pod shows it holds
	foreign int // devices that pods show and the report does not know
	sick    int // of both, those that the device plugin takes for unhealthy
	// GPUs of pods that do not show which they hold: of pods that run, and of those that do not yet.
	hiddenRunning, hiddenNew int
	// promised counts the pods of hiddenNew by their GPUs, which one container has; under 0 those of which that does not say all.
	promised map[int]int
}

// hidden counts the GPUs of pods that do not show which.
func (t *Taken) hidden() int { return t.hiddenRunning + t.hiddenNew }

// rivals counts the pods that will be served about when one with this need is, if it is clear what they will get: each has as many
// GPUs, in one container.
func (t *Taken) rivals(need Need) (others int, isClear bool) {
	others = t.promised[need.Largest]
	return others, t.hiddenRunning == 0 && need.Count == need.Largest && others*need.Largest == t.hiddenNew
}

// TakenBy returns what pods hold of a node's GPUs.
func (n *Node) TakenBy(pods []fwk.PodInfo) Taken {
	if n.isDriven {
		return n.takenByClaims(pods)
	}
	var t Taken
	for _, info := range pods {
		asked := int(info.CalculateResource().Resource.GetScalarResources()[GPU])
		if asked == 0 {
			continue
		}
		t.Count += asked
		pod := info.GetPod()
		shown := 0
		EachHeld(pod, func(uuid string, health v1.ResourceHealthStatus) {
			shown++
			at, isKnown := n.position(uuid)
			if isKnown {
				t.held |= 1 << at
			} else {
				t.foreign++
			}
			isBad := isKnown && n.report.bad.has(at) // of which the plugin may know before the status says so
			if health == v1.ResourceHealthStatusUnhealthy || health != v1.ResourceHealthStatusHealthy && isBad {
				t.sick++
			}
		})
		hidden := max(0, asked-shown)
		switch {
		case hidden == 0:
		case pod.Status.Phase == v1.PodRunning:
			t.hiddenRunning += hidden
		default:
			t.hiddenNew += hidden
			t.promise(pod, shown)
		}
	}
	return t
}

// takenByClaims is what is taken of GPUs that the driver has to itself: what claims hold, and what pods asked for by count whose
// claims are not seen yet.
func (n *Node) takenByClaims(pods []fwk.PodInfo) Taken {
	t := Taken{held: n.claimed}
	for _, info := range pods {
		t.Count += int(info.CalculateResource().Resource.GetScalarResources()[GPU])
	}
	known := len(n.driver.Held) + n.driver.Unknown
	t.foreign = known - n.claimed.len()
	t.hiddenNew = max(0, t.Count-known)
	t.Count = max(t.Count, known)
	return t
}

// promise counts a pod that shows so many of its GPUs, and not all.
func (t *Taken) promise(pod *v1.Pod, shown int) {
	if t.promised == nil {
		t.promised = map[int]int{}
	}
	size := 0
	if need := CountOf(pod); shown == 0 && need.Sets == 1 && need.Count == need.Largest {
		size = need.Largest
	}
	t.promised[size]++
}

func (n *Node) position(uuid string) (int, bool) {
	if n.report == nil {
		return 0, false
	}
	at, ok := n.report.at[uuid]
	return at, ok
}

// maxHeld bounds what is read of one pod's status, which is input from its node.
const maxHeld = 64

// EachHeld calls for each GPU that a pod shows it holds, once: containers that run one after the other have the same ones.
func EachHeld(pod *v1.Pod, do func(uuid string, health v1.ResourceHealthStatus)) {
	var seen [maxHeld]string
	n := 0
	for _, statuses := range [...][]v1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			for _, resource := range statuses[i].AllocatedResourcesStatus {
				if resource.Name != GPU {
					continue
				}
				for _, r := range resource.Resources {
					if n == maxHeld || slices.Contains(seen[:n], string(r.ResourceID)) {
						continue
					}
					seen[n] = string(r.ResourceID)
					n++
					do(string(r.ResourceID), r.Health)
				}
			}
		}
	}
}

// ShowsOthers is true for a pod that shows other GPUs after a change than before it.
func ShowsOthers(before, after *v1.Pod) bool {
	var shown [2]map[string]bool
	for i, pod := range []*v1.Pod{before, after} {
		EachHeld(pod, func(uuid string, _ v1.ResourceHealthStatus) {
			if shown[i] == nil {
				shown[i] = map[string]bool{}
			}
			shown[i][uuid] = true
		})
	}
	return !maps.Equal(shown[0], shown[1])
}
