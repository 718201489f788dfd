package gang

import (
	"cmp"
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// SortName is the name of the plugin that orders the queue. It is a plugin of its own because all profiles of a process
// must order by the same plugin with the same arguments, while those of [Gang] may differ.
const SortName = "GangSort"

// Sort orders the queue.
type Sort struct{ account Account }

var _ fwk.QueueSortPlugin = &Sort{}

// SortFactory returns what the framework builds the plugin with.
func SortFactory(account Account) frameworkruntime.PluginFactory {
	return func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) { return &Sort{account}, nil }
}

// Name implements fwk.Plugin.
func (*Sort) Name() string { return SortName }

// Less is called by the queue's heap: half-started gangs first, then by priority, then by age. A half-started gang comes
// first whatever its priority: it holds GPUs that nobody uses until it is whole, and after a crash its members' places are
// free still, which they are not once another gang was tried. Of several, those with the largest members come first: small
// ones find a place in what is left, large ones do not in what small ones have broken.
func (s *Sort) Less(a, b fwk.QueuedEntityInfo) bool {
	x, y := s.isHalfStarted(a), s.isHalfStarted(b)
	if x != y {
		return x
	}
	if x {
		if c := compareLargest(a, b); c != 0 {
			return c > 0
		}
	}
	if x, y := a.GetPriority(), b.GetPriority(); x != y {
		return x > y
	}
	return age(a).Before(age(b))
}

// compareLargest compares the largest waiting members of two gangs, by GPUs, then by CPU.
func compareLargest(a, b fwk.QueuedEntityInfo) int {
	gpusA, cpuA := largest(a)
	gpusB, cpuB := largest(b)
	return cmp.Or(cmp.Compare(gpusA, gpusB), cmp.Compare(cpuA, cpuB))
}

func largest(entity fwk.QueuedEntityInfo) (gpus, cpu int64) {
	group, ok := entity.(*framework.QueuedPodGroupInfo)
	if !ok {
		return 0, 0
	}
	for _, members := range group.QueuedPodInfos {
		for _, member := range members {
			request := member.CalculateResource().Resource
			all := int64(0)
			for name, amount := range request.GetScalarResources() {
				if cluster.IsGPU(name) {
					all += amount
				}
			}
			gpus, cpu = max(gpus, all), max(cpu, request.GetMilliCPU())
		}
	}
	return gpus, cpu
}

// age is the moment since which an entity waits in line. A single pod goes to the end of the line with each try, as in
// upstream's order. A gang keeps its place: it takes long until room for many appears, and gangs that came later would
// take it again and again.
func age(entity fwk.QueuedEntityInfo) time.Time {
	if first := entity.GetInitialAttemptTimestamp(); entity.Type() == fwk.PodGroupKeyType && first != nil {
		return *first
	}
	return entity.GetTimestamp()
}

func (s *Sort) isHalfStarted(entity fwk.QueuedEntityInfo) bool {
	group, ok := entity.(*framework.QueuedPodGroupInfo)
	return ok && s.account.IsHalfStarted(gang.KeyOf(group.Namespace, group.Name))
}
