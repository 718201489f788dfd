package gang

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/explain"
	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// written writes an amount as people do in manifests: "1500m" CPUs, "40Gi" of memory, 8 GPUs.
func written(name string, amount int64) string {
	switch {
	case name == string(v1.ResourceCPU):
		return resource.NewMilliQuantity(amount, resource.DecimalSI).String()
	case name == string(v1.ResourceMemory) || name == string(v1.ResourceEphemeralStorage) || strings.HasPrefix(name, v1.ResourceHugePagesPrefix):
		return resource.NewQuantity(amount, resource.BinarySI).String()
	}
	if cluster.IsShare(name) {
		amount = (amount + cluster.Whole - 1) / cluster.Whole
	}
	return fmt.Sprint(amount)
}

func insufficient(resource string) gang.Reason {
	if cluster.IsGPU(v1.ResourceName(resource)) {
		return gang.InsufficientGPUs
	}
	return gang.InsufficientResources
}

// shortOfMinResources checks what the PodGroup itself says it needs to start against what all nodes have free.
func shortOfMinResources(minResources v1.ResourceList, c *cluster.Cluster, nodes []fwk.NodeInfo) gang.Waiting {
	f := c.Fabric()
	for _, name := range slices.Sorted(maps.Keys(minResources)) {
		want, free, r := cluster.AmountOf(name, minResources[name]), int64(0), f.Resource(string(name))
		for node := range f.Tree().Len() {
			free += max(0, f.Free(node, r))
		}
		if want <= free {
			continue
		}
		asks := fmt.Sprintf("minResources asks for %s %s", written(string(name), want), name)
		if all := total(nodes, name); want > all {
			return gang.Waiting{Reason: insufficient(string(name)), Sentence: fmt.Sprintf("%s, all nodes together have %s", asks, written(string(name), all))}
		}
		return gang.Waiting{Reason: insufficient(string(name)), Sentence: fmt.Sprintf("%s, %s %s free", asks, written(string(name), free), explain.AreIs(free))}
	}
	return gang.Waiting{}
}

// total returns what all nodes have of a resource when they are empty.
func total(nodes []fwk.NodeInfo, name v1.ResourceName) int64 {
	sum := int64(0)
	for _, node := range nodes {
		sum += cluster.Allocatable(node, name)
	}
	return sum
}
