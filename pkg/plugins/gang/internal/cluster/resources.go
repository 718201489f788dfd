package cluster

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
)

// AmountOf counts a resource as the fabric does: thousandths of a CPU, bytes, or pieces.
func AmountOf(name v1.ResourceName, q resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

// Request makes a request of one pod's resources, in the order of [CompareResources]: one slot among a node's pods is part of it.
func (c *Cluster) Request(list v1.ResourceList) fabric.Request {
	names := make([]v1.ResourceName, 0, len(list)+1)
	for name := range list {
		if name != v1.ResourcePods {
			names = append(names, name)
		}
	}
	names = append(names, v1.ResourcePods)
	slices.SortFunc(names, CompareResources)
	request := make(fabric.Request, 0, len(names))
	for _, name := range names {
		quantity := int64(1)
		if name != v1.ResourcePods {
			quantity = AmountOf(name, list[name])
		}
		if quantity > 0 {
			request = append(request, fabric.Amount{Resource: c.fabric.Resource(string(name)), Quantity: quantity})
		}
	}
	return request
}

// Whole is what each node has of a share: of something that pods of one gang take from each other, and that only this gang knows.
const Whole = 1 << 20

// Share returns the number of a share. Its name has a space in it, which no resource of Kubernetes has: see [IsShare].
func (c *Cluster) Share(name string) fabric.Resource { return c.fabric.Everywhere(name, Whole) }

// IsShare knows shares by their names.
func IsShare(name string) bool { return strings.Contains(name, " ") }

// CompareResources puts GPUs first, since they are what people count, and the others in the order of their names.
func CompareResources(a, b v1.ResourceName) int {
	if x, y := IsGPU(a), IsGPU(b); x != y {
		if x {
			return -1
		}
		return 1
	}
	return strings.Compare(string(a), string(b))
}

// IsGPU knows GPUs by the names of their resources: nvidia.com/gpu, amd.com/gpu, nvidia.com/gpu.shared, nvidia.com/mig-1g.10gb.
func IsGPU(name v1.ResourceName) bool {
	_, kind, ok := strings.Cut(string(name), "/")
	return ok && (kind == "gpu" || strings.HasPrefix(kind, "gpu.") || strings.HasPrefix(kind, "mig-"))
}

// common are the resources that every node has, by number.
type common struct{ cpu, memory, storage, pods fabric.Resource }

func commonResources(f *fabric.Fabric) common {
	of := func(name v1.ResourceName) fabric.Resource { return f.Resource(string(name)) }
	return common{of(v1.ResourceCPU), of(v1.ResourceMemory), of(v1.ResourceEphemeralStorage), of(v1.ResourcePods)}
}

// free returns what a node has left, by the fabric's numbers.
func (c *Cluster) free(info fwk.NodeInfo) []int64 {
	have, used := info.GetAllocatable(), info.GetRequested()
	scalars, taken := have.GetScalarResources(), used.GetScalarResources()
	free := make([]int64, c.common.pods+1, int(c.common.pods)+1+len(scalars)) // the common ones have the first numbers
	free[c.common.cpu] = have.GetMilliCPU() - used.GetMilliCPU()
	free[c.common.memory] = have.GetMemory() - used.GetMemory()
	free[c.common.storage] = have.GetEphemeralStorage() - used.GetEphemeralStorage()
	free[c.common.pods] = int64(have.GetAllowedPodNumber() - len(info.GetPods()))
	for name, amount := range scalars {
		r := c.fabric.Resource(string(name))
		for len(free) <= int(r) {
			free = append(free, c.fabric.Default(fabric.Resource(len(free))))
		}
		free[r] = amount - taken[name]
	}
	return free
}

// Allocatable returns what a node has of a resource when it is empty, counted as by [AmountOf].
func Allocatable(info fwk.NodeInfo, name v1.ResourceName) int64 {
	have := info.GetAllocatable()
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

// Left returns what a node has left of a resource, counted likewise.
func Left(info fwk.NodeInfo, name v1.ResourceName) int64 {
	used := info.GetRequested()
	switch name {
	case v1.ResourceCPU:
		return Allocatable(info, name) - used.GetMilliCPU()
	case v1.ResourceMemory:
		return Allocatable(info, name) - used.GetMemory()
	case v1.ResourceEphemeralStorage:
		return Allocatable(info, name) - used.GetEphemeralStorage()
	case v1.ResourcePods:
		return Allocatable(info, name) - int64(len(info.GetPods()))
	}
	return Allocatable(info, name) - used.GetScalarResources()[name]
}

// isWhole is true for a node none of whose GPUs is taken; where it has none, for one that no pod runs on.
func isWhole(info fwk.NodeInfo) bool {
	hasGPUs := false
	taken := info.GetRequested().GetScalarResources()
	for name, amount := range info.GetAllocatable().GetScalarResources() {
		if IsGPU(name) && amount > 0 {
			hasGPUs = true
			if taken[name] > 0 {
				return false
			}
		}
	}
	return hasGPUs || len(info.GetPods()) == 0
}
