package survive

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// Facts are what the API says of a cluster.
type Facts struct {
	Nodes []*v1.Node
	// Pods are those that are bound.
	Pods []*v1.Pod
	// Volumes are the volumes that claims are bound to, by namespace/name of the claim.
	Volumes map[string]*v1.PersistentVolume
}

// node returns a node by its name, nil if there is none.
func (f *Facts) node(name string) *v1.Node {
	i := slices.IndexFunc(f.Nodes, func(n *v1.Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return f.Nodes[i]
}

// objection is why the objects of a pod, a node and the pod's volumes do not go together, "" if they do.
func (f *Facts) objection(pod *v1.Pod, node *v1.Node) string {
	cordon := v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}
	if node.Spec.Unschedulable && !tolerates(pod, cordon) {
		return "the node is unschedulable"
	}
	for _, taint := range node.Spec.Taints {
		if taint.Effect != v1.TaintEffectPreferNoSchedule && !tolerates(pod, taint) {
			return "the node has the taint " + taint.ToString()
		}
	}
	if !isSelected(pod, node) {
		return "the pod does not select the node"
	}
	for _, volume := range pod.Spec.Volumes {
		if volume.PersistentVolumeClaim == nil {
			continue
		}
		pv := f.Volumes[pod.Namespace+"/"+volume.PersistentVolumeClaim.ClaimName]
		if pv == nil {
			return "claim " + volume.PersistentVolumeClaim.ClaimName + " has no volume"
		}
		if a := pv.Spec.NodeAffinity; a != nil && a.Required != nil && !matches(a.Required, node) {
			return "volume " + pv.Name + " is not reached from the node"
		}
	}
	return ""
}

func tolerates(pod *v1.Pod, taint v1.Taint) bool {
	return slices.ContainsFunc(pod.Spec.Tolerations, func(t v1.Toleration) bool {
		switch {
		case t.Effect != "" && t.Effect != taint.Effect, t.Key != "" && t.Key != taint.Key:
			return false
		case t.Operator == v1.TolerationOpExists:
			return true
		}
		return t.Key != "" && t.Value == taint.Value
	})
}

// isSelected is true for nodes that the pod's selector and its required node affinity ask for.
func isSelected(pod *v1.Pod, node *v1.Node) bool {
	for key, value := range pod.Spec.NodeSelector {
		if have, ok := node.Labels[key]; !ok || have != value {
			return false
		}
	}
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		return matches(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution, node)
	}
	return true
}

var operators = map[v1.NodeSelectorOperator]selection.Operator{
	v1.NodeSelectorOpIn: selection.In, v1.NodeSelectorOpNotIn: selection.NotIn, v1.NodeSelectorOpGt: selection.GreaterThan,
	v1.NodeSelectorOpLt: selection.LessThan, v1.NodeSelectorOpExists: selection.Exists, v1.NodeSelectorOpDoesNotExist: selection.DoesNotExist,
}

// matches is true if all expressions of one of the terms hold for the node's labels.
func matches(selector *v1.NodeSelector, node *v1.Node) bool {
	return slices.ContainsFunc(selector.NodeSelectorTerms, func(term v1.NodeSelectorTerm) bool {
		return !slices.ContainsFunc(term.MatchExpressions, func(e v1.NodeSelectorRequirement) bool {
			requirement, err := labels.NewRequirement(e.Key, operators[e.Operator], e.Values)
			return err != nil || !requirement.Matches(labels.Set(node.Labels))
		})
	})
}

// picks is true if a label selector of one pod means another pod, in its own namespace.
func picks(by *v1.Pod, selector *metav1.LabelSelector, other *v1.Pod) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && by.Namespace == other.Namespace && s.Matches(labels.Set(other.Labels))
}

// attractions are the terms that say beside whom a pod must stand, repulsions beside whom it must not.
func attractions(pod *v1.Pod) []v1.PodAffinityTerm {
	if a := pod.Spec.Affinity; a != nil && a.PodAffinity != nil {
		return a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	return nil
}

func repulsions(pod *v1.Pod) []v1.PodAffinityTerm {
	if a := pod.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
		return a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	return nil
}

// spreads are the constraints that say how evenly a pod and its like must stand.
func spreads(pod *v1.Pod) []v1.TopologySpreadConstraint {
	return slices.DeleteFunc(slices.Clone(pod.Spec.TopologySpreadConstraints), func(c v1.TopologySpreadConstraint) bool {
		return c.WhenUnsatisfiable != v1.DoNotSchedule
	})
}

// isEligible is true for nodes whose domain counts when a pod's like are spread.
func isEligible(pod *v1.Pod, c v1.TopologySpreadConstraint, node *v1.Node) bool {
	if _, ok := node.Labels[c.TopologyKey]; !ok || !isSelected(pod, node) {
		return false
	}
	if c.NodeTaintsPolicy == nil || *c.NodeTaintsPolicy == v1.NodeInclusionPolicyIgnore {
		return true
	}
	return !slices.ContainsFunc(node.Spec.Taints, func(taint v1.Taint) bool {
		return taint.Effect != v1.TaintEffectPreferNoSchedule && !tolerates(pod, taint)
	})
}

// isTogether is true for nodes in one domain of the key.
func isTogether(a, b *v1.Node, key string) bool {
	x, ok := a.Labels[key]
	y, too := b.Labels[key]
	return ok && too && x == y
}

// repels is true if a pod on its node must not share a domain with another on its own.
func repels(a *v1.Pod, on *v1.Node, b *v1.Pod, beside *v1.Node) bool {
	return slices.ContainsFunc(repulsions(a), func(term v1.PodAffinityTerm) bool {
		return isTogether(on, beside, term.TopologyKey) && picks(a, term.LabelSelector, b)
	})
}

// hostPorts are the ports of its node that a pod takes.
func hostPorts(pod *v1.Pod) []int32 {
	var ports []int32
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.HostPort > 0 {
				ports = append(ports, p.HostPort)
			}
		}
	}
	return ports
}

// collide is true if two pods want the same port of a node.
func collide(a, b *v1.Pod) bool {
	return slices.ContainsFunc(hostPorts(a), func(port int32) bool { return slices.Contains(hostPorts(b), port) })
}

// amounts counts resources: thousandths of a CPU, bytes, pieces.
type amounts map[v1.ResourceName]int64

func (a amounts) add(list v1.ResourceList, times int64) {
	for name, q := range list {
		if name == v1.ResourceCPU {
			a[name] += times * q.MilliValue()
		} else {
			a[name] += times * q.Value()
		}
	}
}

func (a amounts) take(pod *v1.Pod) {
	for _, c := range pod.Spec.Containers {
		a.add(c.Resources.Requests, -1)
	}
	a[v1.ResourcePods]--
}

// free is what the pods on a node leave of it; less than 0 of what is overcommitted.
func (f *Facts) free(node *v1.Node) amounts {
	left := amounts{}
	left.add(node.Status.Allocatable, 1)
	for _, pod := range f.Pods {
		if pod.Spec.NodeName == node.Name {
			left.take(pod)
		}
	}
	return left
}

// scarce returns a resource of which there is less than nothing, "" if there is none.
func (a amounts) scarce() v1.ResourceName {
	for name, left := range a {
		if left < 0 {
			return name
		}
	}
	return ""
}
