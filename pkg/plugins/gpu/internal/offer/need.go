package offer

import (
	v1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/wish"
)

// Need is what one pod needs of its node's GPUs.
type Need struct {
	// Count is how many GPUs it takes, Largest the most that one of its containers does, Sets how many containers have any.
	Count, Largest, Sets int
	wish.Wish
}

// IsZero is true for a pod that asks for no whole GPU.
func (n Need) IsZero() bool { return n.Count == 0 }

// CountOf counts the GPUs of a pod's containers; what it wishes of them is left open. What an init container had the containers after it get again, as far as they
// want as many.
func CountOf(pod *v1.Pod) Need {
	var need Need
	first := 0 // GPUs of the init container with the most
	for i := range pod.Spec.Containers {
		n := gpusOf(&pod.Spec.Containers[i])
		need.Largest, need.Sets = max(need.Largest, n), need.Sets+min(1, n)
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		n := gpusOf(c)
		if c.RestartPolicy == nil || *c.RestartPolicy != v1.ContainerRestartPolicyAlways {
			first = max(first, n)
			continue
		}
		need.Largest, need.Sets = max(need.Largest, n), need.Sets+min(1, n)
	}
	if first > 0 && first != need.Largest {
		need.Sets++
	}
	if need.Largest = max(need.Largest, first); need.Largest == 0 {
		return Need{}
	}
	total := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})[GPU]
	need.Count = int(total.Value())
	return need
}

func gpusOf(c *v1.Container) int {
	q := c.Resources.Requests[GPU] // which the API server makes of limits
	return int(q.Value())
}
