package cluster

import (
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// admission is which nodes admit pods of one sort, by what the nodes' objects say.
type admission struct {
	by   []uint8
	seen position
}

// reasons are why a node's object turns a pod away.
var reasons = []string{"not selected", "unschedulable", "tainted"}

const (
	admitted uint8 = iota
	notSelected
	unschedulable
	tainted
)

// Excluded returns the nodes whose objects turn a pod away: by its node selector and affinity, its tolerations, the node that
// it names. It is shared: use [Exclude] to add to it. The answer is remembered for pods that say the same of all that, which is
// when they have the same key, and costs the nodes whose objects changed since.
func (c *Cluster) Excluded(logger klog.Logger, pod *v1.Pod) (excluded *placement.Exclusions, key string) {
	judge := judgeFor(pod)
	a, isNew := c.admissions.of(judge.key)
	if isNew {
		a.by = make([]uint8, c.tree.Len())
	}
	for i := range c.objects.since(&a.seen, c.tree.Len()) {
		a.by[i] = judge.of(logger, c.Info(i).Node())
	}
	return &placement.Exclusions{Reasons: reasons, By: a.by}, judge.key
}

// judge decides about nodes for pods of one sort.
type judge struct {
	key         string
	nodeName    string
	affinity    nodeaffinity.RequiredNodeAffinity
	tolerations []v1.Toleration
}

func judgeFor(pod *v1.Pod) judge {
	said := struct {
		Name        string
		Selector    map[string]string
		Affinity    *v1.NodeSelector
		Tolerations []v1.Toleration
	}{pod.Spec.NodeName, pod.Spec.NodeSelector, requiredAffinity(pod), pod.Spec.Tolerations}
	key, err := json.Marshal(said)
	if err != nil { // cannot be: it came as JSON
		key = fmt.Appendf(nil, "%+v", said)
	}
	return judge{string(key), pod.Spec.NodeName, nodeaffinity.GetRequiredNodeAffinity(pod), pod.Spec.Tolerations}
}

func requiredAffinity(pod *v1.Pod) *v1.NodeSelector {
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		return a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	return nil
}

func (j *judge) of(logger klog.Logger, node *v1.Node) uint8 {
	if matches, err := j.affinity.Match(node); err != nil || !matches || j.nodeName != "" && j.nodeName != node.Name {
		return notSelected
	}
	return closedTo(logger, node, j.tolerations)
}

// IsOpenTo is true for a node that is not closed to pods with these tolerations, whatever they select.
func IsOpenTo(logger klog.Logger, node *v1.Node, tolerations []v1.Toleration) bool {
	return closedTo(logger, node, tolerations) == admitted
}

// closedTo is why a node is closed to pods with these tolerations.
func closedTo(logger klog.Logger, node *v1.Node, tolerations []v1.Toleration) uint8 {
	if node.Spec.Unschedulable && !corev1helpers.TolerationsTolerateTaint(logger, tolerations, &v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}, false) {
		return unschedulable
	}
	if len(node.Spec.Taints) == 0 {
		return admitted
	}
	_, isTainted := corev1helpers.FindMatchingUntoleratedTaint(logger, node.Spec.Taints, tolerations, func(t *v1.Taint) bool {
		return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute
	}, false)
	if isTainted {
		return tainted
	}
	return admitted
}

// maxReasons is how many reasons exclusions can tell apart; what comes after is put under the last.
const maxReasons = 255

// Exclude returns the exclusions with one more node excluded. isOwn tells whether they are the caller's own already.
func Exclude(e *placement.Exclusions, isOwn bool, node int, reason string) *placement.Exclusions {
	if !isOwn {
		e = &placement.Exclusions{Reasons: append([]string(nil), e.Reasons...), By: append([]uint8(nil), e.By...)}
	}
	for i, known := range e.Reasons {
		if known == reason || i == maxReasons-1 {
			e.By[node] = uint8(i + 1)
			return e
		}
	}
	e.Reasons = append(e.Reasons, reason)
	e.By[node] = uint8(len(e.Reasons))
	return e
}
