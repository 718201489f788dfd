package survive

import (
	"fmt"
	"maps"
	"math/rand/v2"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// The labels of nodes. A power feed crosses racks.
const (
	ZoneKey  = v1.LabelTopologyZone
	BlockKey = "example.com/block"
	RackKey  = "example.com/rack"
	PowerKey = "example.com/power"

	poolKey       = "example.com/pool"
	generationKey = "example.com/generation"
)

// The labels of pods.
const (
	gangLabel = "gang"
	roleLabel = "role"
	appLabel  = "app"
	teamLabel = "team"
	bondLabel = "bond"
)

var (
	pools = []string{"a", "b"}
	apps  = []string{"db", "cache"}
	teams = []string{"red", "green", "blue"}
	ports = []int32{8080, 9090}
)

// dice is the one source of chance.
type dice struct{ *rand.Rand }

// is is true in so many of a hundred cases.
func (d dice) is(percent int) bool { return d.IntN(100) < percent }

// between is a number from first to last.
func (d dice) between(first, last int) int { return first + d.IntN(last-first+1) }

func oneOf[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

// World is a cluster, and gangs that come one after the other.
type World struct {
	Nodes []*v1.Node
	// Residents are pods of no gang that run before any gang comes.
	Residents []*v1.Pod
	Gangs     []*Gang
}

// Draw makes the world of a seed: the same for the same seed.
func Draw(seed uint64, namespace string, gangs int) *World {
	d := dice{rand.New(rand.NewPCG(seed, 0))}
	w := &World{}
	racks := d.racks()
	for i := range d.between(10, 25) {
		w.Nodes = append(w.Nodes, d.node(fmt.Sprintf("%s-n%02d", namespace, i), oneOf(d, racks...)))
	}
	for _, node := range w.Nodes {
		for i := range d.between(0, 2) {
			w.Residents = append(w.Residents, d.resident(namespace, node, i))
		}
	}
	for i := range gangs {
		w.Gangs = append(w.Gangs, d.gang(w, namespace, fmt.Sprintf("g%02d", i)))
	}
	return w
}

// rack is where a node may stand.
type rack struct{ zone, block, rack string }

func (d dice) racks() []rack {
	var out []rack
	for z := range d.between(1, 3) {
		for b := range d.between(1, 2) {
			for r := range d.between(1, 3) {
				out = append(out, rack{fmt.Sprint("z", z), fmt.Sprintf("z%d-b%d", z, b), fmt.Sprintf("z%d-b%d-r%d", z, b, r)})
			}
		}
	}
	return out
}

func (d dice) node(name string, at rack) *v1.Node {
	labels := map[string]string{ZoneKey: at.zone, BlockKey: at.block, RackKey: at.rack, generationKey: fmt.Sprint(d.between(1, 3))}
	switch forgotten := d.IntN(25); {
	case forgotten == 0:
		delete(labels, ZoneKey)
		fallthrough
	case forgotten == 1:
		delete(labels, BlockKey)
		fallthrough
	case forgotten == 2:
		delete(labels, RackKey)
	}
	if d.is(80) {
		labels[poolKey] = oneOf(d, pools...)
	}
	if d.is(80) {
		labels[PowerKey] = fmt.Sprint("feed", d.between(1, 3))
	}
	node := controlplane.NewNode(controlplane.FakeNode{
		Name: name, Labels: labels, GPUs: oneOf[int64](d, 0, 2, 4, 8, 8), CPUs: int64(d.between(8, 32)), MemoryGiB: int64(d.between(32, 128)),
	})
	if d.is(20) {
		effect := oneOf(d, v1.TaintEffectNoSchedule, v1.TaintEffectNoSchedule, v1.TaintEffectNoExecute, v1.TaintEffectPreferNoSchedule)
		node.Spec.Taints = append(node.Spec.Taints, v1.Taint{Key: "dedicated", Value: oneOf(d, teams...), Effect: effect})
	}
	node.Spec.Unschedulable = d.is(7)
	return node
}

// resident is a pod that runs on a node, whatever the node's taints.
func (d dice) resident(namespace string, node *v1.Node, i int) *v1.Pod {
	requests := v1.ResourceList{v1.ResourceCPU: *resource.NewQuantity(int64(d.between(1, 3)), resource.DecimalSI)}
	if have := node.Status.Allocatable[controlplane.ResourceGPU]; have.Value() >= 2 && d.is(40) {
		maps.Copy(requests, GPUs(1))
	}
	pod := NewPod(namespace, fmt.Sprintf("%s-resident%d", node.Name, i), requests, map[string]string{appLabel: oneOf(d, apps...)})
	pod.Spec.NodeName = node.Name
	pod.Spec.Tolerations = []v1.Toleration{{Operator: v1.TolerationOpExists}}
	if d.is(25) {
		pod.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: ports[i], HostPort: ports[i]}}
	}
	if d.is(15) {
		repel(pod, oneOf(d, v1.LabelHostname, RackKey), map[string]string{teamLabel: oneOf(d, teams...)})
	}
	return pod
}

// GPUs requests so many.
func GPUs(count int64) v1.ResourceList {
	return v1.ResourceList{controlplane.ResourceGPU: *resource.NewQuantity(count, resource.DecimalSI)}
}

// NewPod makes a pod of the scheduler's that requests this much.
func NewPod(namespace, name string, requests v1.ResourceList, labels map[string]string) *v1.Pod {
	resources := v1.ResourceRequirements{Requests: requests}
	if gpus, ok := requests[controlplane.ResourceGPU]; ok { // what is extended has no limit but its request
		resources.Limits = v1.ResourceList{controlplane.ResourceGPU: gpus}
	}
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec: v1.PodSpec{
			SchedulerName: "phalanx",
			Containers:    []v1.Container{{Name: "main", Image: "registry.k8s.io/pause:3.10", Resources: resources}},
		},
	}
}
