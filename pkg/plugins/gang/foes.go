package gang

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// foes returns whom pods that run will not have beside them, by their required anti-affinity, as far as that can mean pods of
// a namespace. Members whose specs are equal are not alike if one is meant and another is not.
func (g *Gang) foes(namespace string) []labels.Selector {
	nodes, err := g.handle.SnapshotSharedLister().NodeInfos().HavePodsWithRequiredAntiAffinityList()
	if err != nil {
		return nil // cannot be: it is a list in memory
	}
	var out []labels.Selector
	seen := map[string]bool{}
	for _, node := range nodes {
		for _, pod := range node.GetPodsWithRequiredAntiAffinity() {
			for _, term := range pod.GetRequiredAntiAffinityTerms() {
				if !term.Namespaces.Has(namespace) && term.NamespaceSelector == labels.Nothing() {
					continue
				}
				if key := term.Selector.String(); !seen[key] { // replicas all say the same
					seen[key] = true
					out = append(out, term.Selector)
				}
			}
		}
	}
	return out
}

// sameToFoes is true if each selector means both pods or neither.
func sameToFoes(foes []labels.Selector, a, b *v1.Pod) bool {
	for _, selector := range foes {
		if selector.Matches(labels.Set(a.Labels)) != selector.Matches(labels.Set(b.Labels)) {
			return false
		}
	}
	return true
}

// lookAgain has the filters look at each member of a plan where foes tell members apart: those in slices must be of one class,
// so that what was found for one of them may not hold for another.
func (t *try) lookAgain(pods []*v1.Pod, foes []labels.Selector) {
	if !slices.ContainsFunc(pods, func(pod *v1.Pod) bool { return !sameToFoes(foes, pods[0], pod) }) {
		return
	}
	for uid, to := range t.plan {
		to.judged = nil
		t.plan[uid] = to
	}
}
