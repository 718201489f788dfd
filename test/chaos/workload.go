package chaos

import (
	"fmt"
	"math/rand/v2"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
	"github.com/phalanx-scheduler/phalanx/test/survive"
)

// The cluster: racks of nodes with 8 GPUs each.
const (
	racks        = 3
	nodesPerRack = 3
	gpusPerNode  = 8
	rackKey      = survive.RackKey
)

// jobLabel of a pod is the name of its gang, or of itself where it is alone.
const jobLabel = "job"

func nodes(prefix string) []*v1.Node {
	var out []*v1.Node
	for i := range racks * nodesPerRack {
		out = append(out, controlplane.NewNode(controlplane.FakeNode{
			Name: fmt.Sprintf("%s-n%d", prefix, i), GPUs: gpusPerNode, Labels: map[string]string{rackKey: fmt.Sprintf("r%d", i/nodesPerRack)},
		}))
	}
	return out
}

// drawJob draws a gang that fits on the empty cluster, or now and then a pod alone, which is a gang without a dialect.
func drawJob(random *rand.Rand, namespace, name string) *survive.Gang {
	gpus := []int64{1, 2, 4, 8}[random.IntN(4)]
	g := &survive.Gang{Name: name, Minimum: 1}
	members := 1
	if random.IntN(100) < 85 {
		g.Dialect = []string{oracle.Volcano, oracle.Coscheduling, oracle.Native}[random.IntN(3)]
		members = 2 + random.IntN(6)
		if random.IntN(100) < 40 {
			g.Required = rackKey
			members = min(members, nodesPerRack*int(gpusPerNode/gpus))
		}
		g.Minimum = members
		if members > 2 && random.IntN(100) < 25 {
			g.Minimum = members - 1
		}
	}
	return newJob(namespace, g, members, gpus, time.Duration(1000+random.IntN(1500))*time.Millisecond)
}

// newJob gives a gang its members. One without a dialect is a pod alone.
func newJob(namespace string, g *survive.Gang, members int, gpus int64, runFor time.Duration) *survive.Gang {
	for i := range members {
		pod := survive.NewPod(namespace, fmt.Sprintf("%s-%d", g.Name, i), survive.GPUs(gpus), map[string]string{jobLabel: g.Name})
		pod.Spec.RestartPolicy = v1.RestartPolicyNever
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, controlplane.AnnotationRunFor, runFor.String())
		g.Join(pod)
		g.Pods = append(g.Pods, pod)
	}
	return g
}
