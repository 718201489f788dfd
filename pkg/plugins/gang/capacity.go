package gang

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// amounts is a vector of resources: milliCPU for cpu, bytes or counts for the rest.
type amounts map[v1.ResourceName]int64

func amountOf(name v1.ResourceName, q resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

func amountsOf(list v1.ResourceList) amounts {
	out := make(amounts, len(list))
	for name, q := range list {
		out[name] = amountOf(name, q)
	}
	return out
}

// describe writes an amount with its resource, as people write it in manifests: "64 nvidia.com/gpu", "1500m cpu".
func describe(name v1.ResourceName, amount int64) string {
	return fmt.Sprintf("%s %s", written(name, amount), name)
}

func written(name v1.ResourceName, amount int64) string {
	switch {
	case name == v1.ResourceCPU:
		return resource.NewMilliQuantity(amount, resource.DecimalSI).String()
	case name == v1.ResourceMemory || name == v1.ResourceEphemeralStorage || strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix):
		return resource.NewQuantity(amount, resource.BinarySI).String()
	}
	return fmt.Sprint(amount)
}

// free returns what a node has left of a resource.
func free(node fwk.NodeInfo, name v1.ResourceName) int64 {
	have, used := node.GetAllocatable(), node.GetRequested()
	switch name {
	case v1.ResourceCPU:
		return have.GetMilliCPU() - used.GetMilliCPU()
	case v1.ResourceMemory:
		return have.GetMemory() - used.GetMemory()
	case v1.ResourceEphemeralStorage:
		return have.GetEphemeralStorage() - used.GetEphemeralStorage()
	case v1.ResourcePods:
		return int64(have.GetAllowedPodNumber() - len(node.GetPods()))
	}
	return have.GetScalarResources()[name] - used.GetScalarResources()[name]
}

// total returns what a node has of a resource when it is empty.
func total(node fwk.NodeInfo, name v1.ResourceName) int64 {
	have := node.GetAllocatable()
	switch name {
	case v1.ResourceCPU:
		return have.GetMilliCPU()
	case v1.ResourceMemory:
		return have.GetMemory()
	case v1.ResourceEphemeralStorage:
		return have.GetEphemeralStorage()
	case v1.ResourcePods:
		return int64(have.GetAllowedPodNumber())
	}
	return have.GetScalarResources()[name]
}

// class is a set of members that ask for the same and may go to the same nodes.
type class struct {
	pod     *v1.Pod // any of them
	request amounts
	count   int64
}

// classesOf groups the pods, in their order. Members of one template follow each other, so that nearly every pod is compared
// with one class only.
func classesOf(pods []*v1.Pod) []class {
	var classes []class
	for _, pod := range pods {
		i := slices.IndexFunc(classes, func(c class) bool { return isAlike(c.pod, pod) })
		if i < 0 {
			request := amountsOf(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}))
			request[v1.ResourcePods] = 1
			classes = append(classes, class{pod: pod, request: request})
			i = len(classes) - 1
		}
		classes[i].count++
	}
	return classes
}

// isAlike is true for pods that are equal in all that this package looks at.
func isAlike(a, b *v1.Pod) bool {
	if len(a.Spec.Containers) != len(b.Spec.Containers) || len(a.Spec.InitContainers) != len(b.Spec.InitContainers) {
		return false
	}
	for i := range a.Spec.Containers {
		if !equality.Semantic.DeepEqual(a.Spec.Containers[i].Resources, b.Spec.Containers[i].Resources) {
			return false
		}
	}
	for i := range a.Spec.InitContainers {
		if !equality.Semantic.DeepEqual(a.Spec.InitContainers[i].Resources, b.Spec.InitContainers[i].Resources) ||
			!equality.Semantic.DeepEqual(a.Spec.InitContainers[i].RestartPolicy, b.Spec.InitContainers[i].RestartPolicy) {
			return false
		}
	}
	return equality.Semantic.DeepEqual(a.Spec.Resources, b.Spec.Resources) &&
		equality.Semantic.DeepEqual(a.Spec.Overhead, b.Spec.Overhead) &&
		equality.Semantic.DeepEqual(a.Spec.NodeSelector, b.Spec.NodeSelector) &&
		equality.Semantic.DeepEqual(a.Spec.Affinity, b.Spec.Affinity) &&
		equality.Semantic.DeepEqual(a.Spec.Tolerations, b.Spec.Tolerations)
}

// room is what the nodes offer to one class.
type room struct {
	slots    int64 // members that fit, each whole on one node
	free     amounts
	nodes    map[v1.ResourceName]int64 // nodes that have any of it free
	excluded map[string]int            // nodes that turn the class away, by reason
	admitted int
}

// roomFor looks at each node once. It ignores what members would take from each other, ports, volumes and affinity between
// pods: it never counts too little, so what it says does not fit does not fit.
func roomFor(logger klog.Logger, c class, nodes []fwk.NodeInfo) room {
	r := room{free: amounts{}, nodes: map[v1.ResourceName]int64{}, excluded: map[string]int{}}
	affinity := nodeaffinity.GetRequiredNodeAffinity(c.pod)
	for _, info := range nodes {
		if why := exclusion(logger, c.pod, affinity, info.Node()); why != "" {
			r.excluded[why]++
			continue
		}
		r.admitted++
		slots := c.count
		for name, want := range c.request {
			if want <= 0 {
				continue
			}
			have := max(0, free(info, name))
			slots = min(slots, have/want)
			if have > 0 {
				r.free[name] += have
				r.nodes[name]++
			}
		}
		r.slots += slots
	}
	return r
}

func exclusion(logger klog.Logger, pod *v1.Pod, affinity nodeaffinity.RequiredNodeAffinity, node *v1.Node) string {
	if matches, err := affinity.Match(node); err != nil || !matches {
		return "not selected"
	}
	if node.Spec.Unschedulable && !corev1helpers.TolerationsTolerateTaint(logger, pod.Spec.Tolerations, &v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}, false) {
		return "unschedulable"
	}
	_, isTainted := corev1helpers.FindMatchingUntoleratedTaint(logger, node.Spec.Taints, pod.Spec.Tolerations, func(t *v1.Taint) bool {
		return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute
	}, false)
	if isTainted {
		return "tainted"
	}
	return ""
}

// refusal says why need of the members in classes cannot be placed together, the zero value if this look finds no reason.
func refusal(logger klog.Logger, classes []class, need int64, nodes []fwk.NodeInfo) gang.Waiting {
	var fitting, worstLack int64
	var worst class
	var worstRoom room
	for _, c := range classes {
		r := roomFor(logger, c, nodes)
		lack := max(0, c.count-r.slots)
		fitting += c.count - lack
		if lack > worstLack {
			worst, worstRoom, worstLack = c, r, lack
		}
	}
	if fitting >= need || worst.pod == nil {
		return gang.Waiting{}
	}
	// Of the class that lacks most, this many would have to fit beside what fits of the others.
	worst.count = min(worst.count, need-fitting+worst.count-worstLack)
	if worstRoom.admitted == 0 {
		return gang.Waiting{Reason: gang.NodesRejected, Sentence: fmt.Sprintf("no node admits %s%s", plural(worst.count, "member"), exclusions(worstRoom.excluded))}
	}
	scarce, isShort := scarcest(worst, worstRoom)
	if isShort {
		return gang.Waiting{Reason: insufficient(scarce), Sentence: fmt.Sprintf("%s %s, %s %s free on %s%s",
			needing(worst.count), describe(scarce, worst.count*worst.request[scarce]), written(scarce, worstRoom.free[scarce]),
			areIs(worstRoom.free[scarce]), plural(worstRoom.nodes[scarce], "node"), exclusions(worstRoom.excluded))}
	}
	return gang.Waiting{Reason: gang.Fragmented, Sentence: fmt.Sprintf("%s %s each on one node, for which %s %s free, though %s %s free on %s%s",
		needing(worst.count), describe(scarce, worst.request[scarce]), plural(worstRoom.slots, "slot"), areIs(worstRoom.slots), describe(scarce, worstRoom.free[scarce]),
		areIs(worstRoom.free[scarce]), plural(worstRoom.nodes[scarce], "node"), exclusions(worstRoom.excluded))}
}

// scarcest returns the resource of which the class lacks most in proportion; isShort is false if none lacks in sum. Ties go
// to GPUs, since they are what people count, then to the name.
func scarcest(c class, r room) (scarce v1.ResourceName, isShort bool) {
	best := math.Inf(-1)
	names := slices.SortedFunc(maps.Keys(c.request), func(a, b v1.ResourceName) int {
		if x, y := isGPU(a), isGPU(b); x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(string(a), string(b))
	})
	for _, name := range names {
		want := c.count * c.request[name]
		if want <= 0 {
			continue
		}
		if lack := 1 - float64(r.free[name])/float64(want); lack > best {
			best, scarce = lack, name
		}
	}
	return scarce, best > 0
}

// isGPU knows GPUs by the names of their resources: nvidia.com/gpu, amd.com/gpu, nvidia.com/gpu.shared, nvidia.com/mig-1g.10gb.
func isGPU(name v1.ResourceName) bool {
	_, kind, ok := strings.Cut(string(name), "/")
	return ok && (kind == "gpu" || strings.HasPrefix(kind, "gpu.") || strings.HasPrefix(kind, "mig-"))
}

func insufficient(name v1.ResourceName) gang.Reason {
	if isGPU(name) {
		return gang.InsufficientGPUs
	}
	return gang.InsufficientResources
}

// shortOfMinResources checks what the PodGroup itself says it needs to start against what all nodes have free.
func shortOfMinResources(minResources v1.ResourceList, nodes []fwk.NodeInfo) gang.Waiting {
	want := amountsOf(minResources)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		var isFree, all int64
		for _, info := range nodes {
			isFree += max(0, free(info, name))
			all += total(info, name)
		}
		switch {
		case want[name] > all:
			return gang.Waiting{Reason: insufficient(name), Sentence: fmt.Sprintf("minResources asks for %s, all nodes together have %s", describe(name, want[name]), written(name, all))}
		case want[name] > isFree:
			return gang.Waiting{Reason: insufficient(name), Sentence: fmt.Sprintf("minResources asks for %s, %s %s free", describe(name, want[name]), written(name, isFree), areIs(isFree))}
		}
	}
	return gang.Waiting{}
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func needing(members int64) string {
	if members == 1 {
		return "1 member needs"
	}
	return plural(members, "member") + " need"
}

func areIs(n int64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// exclusions writes "; 5 nodes excluded: 3 not selected, 2 tainted", "" for none.
func exclusions(counts map[string]int) string {
	sum := 0
	parts := make([]string, 0, len(counts))
	for _, why := range slices.Sorted(maps.Keys(counts)) {
		sum += counts[why]
		parts = append(parts, fmt.Sprintf("%d %s", counts[why], why))
	}
	if sum == 0 {
		return ""
	}
	return fmt.Sprintf("; %s excluded: %s", plural(int64(sum), "node"), strings.Join(parts, ", "))
}
