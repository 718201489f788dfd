package gang

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	resourcehelper "k8s.io/component-helpers/resource"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

// class is a set of members that ask for the same and may go to the same nodes.
type class struct {
	role    string
	members []*v1.Pod // by rank
	request v1.ResourceList
	shares  []share // what keeps it off nodes of others: see takeShares
}

// pod is any member: all are alike.
func (c *class) pod() *v1.Pod { return c.members[0] }

// hasGPUs is true if members ask for GPUs.
func (c *class) hasGPUs() bool {
	for name, q := range c.request {
		if cluster.IsGPU(name) && !q.IsZero() {
			return true
		}
	}
	return false
}

// classesOf groups members, in the order of their first one. Members of one template follow each other, so that nearly every
// pod is compared with one class only. What foes say of members tells them apart, too: see [Gang.foes].
func classesOf(pods []*v1.Pod, roleOf func(*v1.Pod) string, foes ...labels.Selector) []class {
	var classes []class
	last := 0
	for _, pod := range pods {
		role := roleOf(pod)
		isMine := func(c class) bool {
			return c.role == role && isAlike(c.members[0], pod) && sameToFoes(foes, c.members[0], pod)
		}
		i := last
		if i >= len(classes) || !isMine(classes[i]) {
			i = slices.IndexFunc(classes, isMine)
		}
		if i < 0 {
			i = len(classes)
			classes = append(classes, class{role: role, request: resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})})
		}
		classes[i].members = append(classes[i].members, pod)
		last = i
	}
	for i := range classes {
		byRank(classes[i].members)
	}
	return classes
}

// byRank sorts members by rank; those without one come last, by name.
func byRank(pods []*v1.Pod) {
	type ranked struct {
		pod     *v1.Pod
		rank    int
		hasRank bool
	}
	order := make([]ranked, len(pods))
	for i, pod := range pods {
		rank, ok := gang.Rank(pod)
		order[i] = ranked{pod, rank, ok}
	}
	slices.SortStableFunc(order, func(a, b ranked) int {
		switch {
		case a.hasRank != b.hasRank:
			return cmp.Compare(boolToInt(b.hasRank), boolToInt(a.hasRank))
		case a.hasRank && a.rank != b.rank:
			return cmp.Compare(a.rank, b.rank)
		}
		return strings.Compare(a.pod.Name, b.pod.Name)
	})
	for i := range order {
		pods[i] = order[i].pod
	}
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// isAlike is true for pods that are equal in all that decides on which nodes they fit, but for their volumes: see sameClaims.
func isAlike(a, b *v1.Pod) bool {
	return a.Spec.NodeName == b.Spec.NodeName &&
		sameOrDeepEqual(a.Spec.Priority, b.Spec.Priority) && // decides for which nominated pods there must be room, too
		slices.EqualFunc(a.Spec.Containers, b.Spec.Containers, sameContainer) &&
		slices.EqualFunc(a.Spec.InitContainers, b.Spec.InitContainers, sameContainer) &&
		sameResources(a.Spec.Overhead, b.Spec.Overhead) &&
		maps.Equal(a.Spec.NodeSelector, b.Spec.NodeSelector) &&
		sameOrDeepEqual(a.Spec.Resources, b.Spec.Resources) &&
		sameOrDeepEqual(a.Spec.Affinity, b.Spec.Affinity) &&
		slices.EqualFunc(a.Spec.Tolerations, b.Spec.Tolerations, sameToleration) &&
		sameList(a.Spec.TopologySpreadConstraints, b.Spec.TopologySpreadConstraints) &&
		sameList(a.Spec.ResourceClaims, b.Spec.ResourceClaims) &&
		gpu.SaySame(a, b)
}

func sameToleration(a, b v1.Toleration) bool {
	return a.Key == b.Key && a.Operator == b.Operator && a.Value == b.Value && a.Effect == b.Effect && ptr.Equal(a.TolerationSeconds, b.TolerationSeconds)
}

// sameContainer is written out where reflection would take most of the time of a large gang's try.
func sameContainer(a, b v1.Container) bool {
	return sameResources(a.Resources.Requests, b.Resources.Requests) &&
		sameResources(a.Resources.Limits, b.Resources.Limits) &&
		sameOrDeepEqual(a.RestartPolicy, b.RestartPolicy) &&
		slices.EqualFunc(a.Ports, b.Ports, func(x, y v1.ContainerPort) bool {
			return x.HostPort == y.HostPort && (x.HostPort == 0 || x == y)
		})
}

func sameResources(a, b v1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for name, q := range a {
		if other, ok := b[name]; !ok || q.Cmp(other) != 0 {
			return false
		}
	}
	return true
}

// sameList takes no time for members that say nothing of the kind, as most do.
func sameList[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || equality.Semantic.DeepEqual(a, b))
}

func sameOrDeepEqual[T any](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && equality.Semantic.DeepEqual(a, b)
}

// dependsOnSiblings is true for members that the framework's filters judge by where their siblings stand, or by what each has
// for itself, in a way that the solver cannot count. What keeps members off each other's nodes it can: see takeShares.
func dependsOnSiblings(classes []class, group *schedulingv1beta1.PodGroup) bool {
	return slices.ContainsFunc(classes, func(c class) bool {
		pod := c.pod()
		return gpu.DependsOnNeighbours(pod, group) || len(pod.Spec.ResourceClaims) > 0 || len(spreads(pod)) > 0 ||
			slices.ContainsFunc(attractions(pod), func(term fwk.AffinityTerm) bool { return meansAny(term.Selector, classes) }) ||
			slices.ContainsFunc(c.members, func(member *v1.Pod) bool { return !sameClaims(member, pod) })
	})
}

// meantAmong are the selectors by which members mean pods that they must stand beside, apart from or evenly spread with.
func meantAmong(classes []class) (selectors []labels.Selector) {
	for _, c := range classes {
		for _, term := range slices.Concat(attractions(c.pod()), repulsions(c.pod())) {
			selectors = append(selectors, term.Selector)
		}
		for _, constraint := range spreads(c.pod()) {
			selectors = append(selectors, selectorOf(constraint))
		}
	}
	return selectors
}

func selectorOf(c v1.TopologySpreadConstraint) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(c.LabelSelector)
	if err != nil {
		return labels.Nothing() // the framework refuses such a pod
	}
	return selector
}

// meansAny is true if a selector means a member of the gang. Who only means pods of others finds them where they are, whatever
// becomes of the gang. Which namespaces are meant it does not ask.
func meansAny(selector labels.Selector, classes []class) bool {
	return slices.ContainsFunc(classes, func(c class) bool {
		return slices.ContainsFunc(c.members, func(member *v1.Pod) bool { return selector.Matches(labels.Set(member.Labels)) })
	})
}

// spreads are the constraints that filters hold a pod to.
func spreads(pod *v1.Pod) []v1.TopologySpreadConstraint {
	return slices.DeleteFunc(slices.Clone(pod.Spec.TopologySpreadConstraints), func(c v1.TopologySpreadConstraint) bool {
		return c.WhenUnsatisfiable != v1.DoNotSchedule
	})
}

// attractions are a pod's terms of required affinity, repulsions those of required anti-affinity, as the framework reads them.
// It refuses pods whose terms cannot be read.
func attractions(pod *v1.Pod) []fwk.AffinityTerm {
	terms, _ := fwk.GetAffinityTerms(pod, fwk.GetPodAffinityTerms(pod.Spec.Affinity))
	return terms
}

func repulsions(pod *v1.Pod) []fwk.AffinityTerm {
	terms, _ := fwk.GetAffinityTerms(pod, fwk.GetPodAntiAffinityTerms(pod.Spec.Affinity))
	return terms
}

// sameClaims is true for pods that mount the same claims: what one may mount on a node, so may the other.
func sameClaims(a, b *v1.Pod) bool {
	if len(a.Spec.Volumes) != len(b.Spec.Volumes) {
		return false
	}
	for i := range a.Spec.Volumes {
		x, y := &a.Spec.Volumes[i], &b.Spec.Volumes[i]
		if x.Ephemeral != nil || y.Ephemeral != nil || isDisk(&x.VolumeSource) || isDisk(&y.VolumeSource) {
			return false // a claim of each pod's own, or a disk that two pods on one node may get in each other's way with
		}
		if !sameOrDeepEqual(x.PersistentVolumeClaim, y.PersistentVolumeClaim) {
			return false
		}
	}
	return true
}

// isDisk is true for the volumes of which a node may not mount one twice.
func isDisk(v *v1.VolumeSource) bool {
	return v.GCEPersistentDisk != nil || v.AWSElasticBlockStore != nil || v.ISCSI != nil || v.RBD != nil
}
