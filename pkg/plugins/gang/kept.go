package gang

import (
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"

	"github.com/phalanx-scheduler/phalanx/pkg/explain"
	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// A place that is kept for a gang (package repair) is taken off what its node has free, for everybody but members of that gang and
// pods of a higher priority. The solver sees it so (holdKept), and so does the filter, which speaks for all who go the
// framework's own way: single pods, and gangs whose nodes the framework chooses. Where a pod of a higher priority, or anything else,
// has taken the room, or the node is closed to the lost member, there is no place any more, and nothing is taken off.

// asking is what a pod asks of nodes on which places are kept.
type asking struct {
	key      gang.Key // zero for a pod of no gang
	priority int32
	request  v1.ResourceList // one slot among a node's pods included
	names    []v1.ResourceName
	ports    []v1.ContainerPort
}

// Clone implements fwk.StateData. It is never changed.
func (a *asking) Clone() fwk.StateData { return a }

const askingKey fwk.StateKey = Name + "/asking"

func askingOf(pod *v1.Pod) *asking {
	key, _ := keyOf(pod)
	a := &asking{
		key: key, priority: corev1helpers.PodPriority(pod), ports: schedutil.GetHostPorts(pod),
		request: resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}),
	}
	a.request[v1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	for name, q := range a.request {
		if !q.IsZero() {
			a.names = append(a.names, name)
		}
	}
	slices.SortFunc(a.names, cluster.CompareResources)
	return a
}

// keptFrom returns what is kept on a node from members of a gang, or from a pod of none, with a priority.
func (g *Gang) keptFrom(key gang.Key, priority int32, info fwk.NodeInfo) (kept []*repair.Place) {
	for _, place := range g.places.On(info.Node().Name) {
		isForOthers := place.Gang != key && place.Priority >= priority
		if isForOthers && cluster.IsOpenTo(klog.Background(), info.Node(), place.Pod.Spec.Tolerations) && hasRoom(info, kept, place) {
			kept = append(kept, place)
		}
	}
	return kept
}

// hasRoom is true if a node has left what a place takes besides others.
func hasRoom(info fwk.NodeInfo, others []*repair.Place, place *repair.Place) bool {
	for name, q := range place.Request {
		if cluster.AmountOf(name, q) > cluster.Left(info, name)-sumOf(others, name) {
			return false
		}
	}
	return true
}

func sumOf(places []*repair.Place, name v1.ResourceName) int64 {
	sum := int64(0)
	for _, place := range places {
		sum += cluster.AmountOf(name, place.Request[name])
	}
	return sum
}

// refusalFor says why a node with kept places does not take a pod that it else has room for, nil if it does. It may make room by
// preemption, unless even the empty node has too little beside the places.
func (g *Gang) refusalFor(a *asking, info fwk.NodeInfo) *fwk.Status {
	kept := g.keptFrom(a.key, a.priority, info)
	if len(kept) == 0 {
		return nil
	}
	for _, name := range a.names {
		want, sum := cluster.AmountOf(name, a.request[name]), sumOf(kept, name)
		if sum == 0 || want <= cluster.Left(info, name)-sum {
			continue
		}
		code := fwk.Unschedulable
		if want > cluster.Allocatable(info, name)-sum {
			code = fwk.UnschedulableAndUnresolvable
		}
		first := kept[slices.IndexFunc(kept, func(p *repair.Place) bool { return cluster.AmountOf(name, p.Request[name]) > 0 })]
		return fwk.NewStatus(code, fmt.Sprintf("node(s) kept %s %s for %s", written(string(name), sum), name, g.whose(first)))
	}
	for _, place := range kept {
		for _, port := range schedutil.GetHostPorts(place.Pod) {
			if slices.ContainsFunc(a.ports, func(own v1.ContainerPort) bool { return nameOf(own) == nameOf(port) }) {
				return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf("node(s) kept %s for %s", nameOf(port), g.whose(place)))
			}
		}
	}
	return nil
}

// whose tells for whom a place is kept, in the same words for all places of a gang: they end with the oldest.
func (g *Gang) whose(place *repair.Place) string {
	oldest := place
	if all := g.places.Of(place.Gang); len(all) > 0 { // else they were given up this moment
		oldest = all[0]
	}
	return fmt.Sprintf("gang %s/%s until %s", place.Gang.Namespace, place.Gang.Name, oldest.Until.UTC().Format(time.RFC3339))
}

// holdKept takes what is kept from a gang off the picture that it is planned in, until the next one is. It costs one look for each
// node on which anything is kept.
func (g *Gang) holdKept(c *cluster.Cluster, t *try) {
	c.Unhold()
	for _, name := range g.places.Nodes() {
		number, isThere := c.Fabric().Number(name)
		if !isThere {
			continue
		}
		for _, place := range g.keptFrom(t.key, priorityOf(t), c.Info(number)) {
			c.Hold(number, c.Request(place.Request))
			t.kept = append(t.kept, place)
		}
	}
}

func priorityOf(t *try) int32 {
	if t.group == nil || t.group.Spec.Priority == nil {
		return 0
	}
	return *t.group.Spec.Priority
}

// tellKept adds to a refusal for want of room what is kept from the gang on nodes that its members may use.
func (g *Gang) tellKept(logger klog.Logger, t *try, c *cluster.Cluster) {
	if len(t.kept) == 0 || !isAboutRoom(t.refused) {
		return
	}
	isUsable := func(place *repair.Place) bool {
		number, isThere := c.Fabric().Number(place.Node)
		return isThere && slices.ContainsFunc(t.classes, func(class class) bool {
			excluded, _ := c.Excluded(logger, class.pod())
			return excluded.By[number] == 0
		})
	}
	kept := slices.DeleteFunc(slices.Clone(t.kept), func(place *repair.Place) bool { return !isUsable(place) })
	if len(kept) == 0 {
		return
	}
	of := map[gang.Key]int64{}
	for _, place := range kept {
		of[place.Gang]++
	}
	first := kept[0]
	verb := "are"
	if of[first.Gang] == 1 {
		verb = "is"
	}
	t.refused.Sentence += fmt.Sprintf("; %s %s kept for lost members of %s", explain.Plural(of[first.Gang], "place"), verb, g.whose(first))
	if others := int64(len(of) - 1); others > 0 {
		t.refused.Sentence += fmt.Sprintf(", and more for %s", explain.Plural(others, "other gang"))
	}
}
