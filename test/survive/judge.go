package survive

import (
	"fmt"
	"math"

	v1 "k8s.io/api/core/v1"
)

// Violations judges all bound pods, each sentence saying one thing that must not be.
func (f *Facts) Violations(gangs []*Gang) []string {
	var out []string
	for _, node := range f.Nodes {
		if name := f.free(node).scarce(); name != "" {
			out = append(out, fmt.Sprintf("node %s has too little %s for its pods", node.Name, name))
		}
	}
	for _, pod := range f.Pods {
		node := f.node(pod.Spec.NodeName)
		if node == nil {
			out = append(out, fmt.Sprintf("pod %s is on node %s, which does not exist", pod.Name, pod.Spec.NodeName))
			continue
		}
		complain := func(format string, args ...any) {
			out = append(out, fmt.Sprintf("pod %s on node %s: ", pod.Name, node.Name)+fmt.Sprintf(format, args...))
		}
		if why := f.objection(pod, node); why != "" {
			complain("%s", why)
		}
		f.judgeNeighbours(pod, node, complain)
		f.judgeSpread(pod, node, complain)
	}
	for _, g := range gangs {
		out = append(out, f.judgeGang(g)...)
	}
	return out
}

func (f *Facts) judgeNeighbours(pod *v1.Pod, node *v1.Node, complain func(string, ...any)) {
	for _, other := range f.Pods {
		if other == pod {
			continue
		}
		if other.Spec.NodeName == node.Name && collide(pod, other) {
			complain("%s has its host port", other.Name)
		}
		if beside := f.node(other.Spec.NodeName); beside != nil && repels(pod, node, other, beside) {
			complain("%s is where it must not be", other.Name)
		}
	}
	for _, term := range attractions(pod) {
		isBeside, isAnywhere := false, false
		for _, other := range f.Pods {
			if beside := f.node(other.Spec.NodeName); other != pod && beside != nil && picks(pod, term.LabelSelector, other) {
				isAnywhere = true
				isBeside = isBeside || isTogether(node, beside, term.TopologyKey)
			}
		}
		isFirst := !isAnywhere && picks(pod, term.LabelSelector, pod)
		if _, ok := node.Labels[term.TopologyKey]; !ok || !isBeside && !isFirst {
			complain("nobody is beside it in its %s", term.TopologyKey)
		}
	}
}

func (f *Facts) judgeSpread(pod *v1.Pod, node *v1.Node, complain func(string, ...any)) {
	for _, c := range spreads(pod) {
		counts := map[string]int{}
		for _, n := range f.Nodes {
			if isEligible(pod, c, n) {
				counts[n.Labels[c.TopologyKey]] += 0
			}
		}
		for _, other := range f.Pods {
			if n := f.node(other.Spec.NodeName); n != nil && isEligible(pod, c, n) && picks(pod, c.LabelSelector, other) {
				counts[n.Labels[c.TopologyKey]]++
			}
		}
		fewest := math.MaxInt
		for _, count := range counts {
			fewest = min(fewest, count)
		}
		if most, isCounted := counts[node.Labels[c.TopologyKey]]; !isCounted {
			complain("the node is in no %s that its like are spread over", c.TopologyKey)
		} else if most > fewest+int(c.MaxSkew) {
			complain("%d of its like are in its %s, %d in another", most, c.TopologyKey, fewest)
		}
	}
}

func (f *Facts) judgeGang(g *Gang) []string {
	var out []string
	bound := f.members(g)
	if len(bound) == 0 {
		return nil
	}
	if len(bound) < g.Minimum {
		out = append(out, fmt.Sprintf("%d members of gang %s are bound, it needs %d", len(bound), g.Name, g.Minimum))
	}
	perRole := map[string]int{}
	for _, pod := range bound {
		perRole[roleOf(pod)]++
	}
	for role, minimum := range g.MinPerRole {
		if perRole[role] < minimum {
			out = append(out, fmt.Sprintf("%d members of role %s of gang %s are bound, it needs %d", perRole[role], role, g.Name, minimum))
		}
	}
	if g.Required == "" {
		return out
	}
	first := f.node(bound[0].Spec.NodeName)
	for _, pod := range bound[1:] {
		if node := f.node(pod.Spec.NodeName); node != first && !isTogether(first, node, g.Required) {
			out = append(out, fmt.Sprintf("%s and %s of gang %s are not in one %s", bound[0].Name, pod.Name, g.Name, g.Required))
		}
	}
	return out
}

// members are those of a gang that are bound.
func (f *Facts) members(g *Gang) []*v1.Pod {
	var out []*v1.Pod
	for _, pod := range f.Pods {
		if pod.Labels[gangLabel] == g.Name {
			out = append(out, pod)
		}
	}
	return out
}
