package kubelet

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
)

func TestTheUUIDsInPodStatusFeedTheFreeSet(t *testing.T) {
	t.Parallel()
	n := newNode(t, "h100")
	n.pod("three", 3)
	held := n.waitRunning("three", 3)
	assert.ElementsMatch(t, n.plugin.handedOut(), held, "the status names what the plugin handed out")

	n.reportLost(held...)
	n.pod("beside", 1)
	beside := n.waitRunning("beside", 1)
	assert.NotContains(t, held, beside[0])

	n.reportLost(n.free()[0])
	n.pod("waiter", 1)
	n.waitSaying("waiter", unhealthyNode)
	n.reportLost(append(held, beside...)...)
	n.waitRunning("waiter", 1)

	n.remove("beside") // and the GPU that it held is free, and lost
	n.pod("late", 1)
	n.waitSaying("late", unhealthyNode)
}

func TestAContainerThatHasEndedHandsItsGPUsOn(t *testing.T) {
	t.Parallel()
	n := newNode(t, "a100-pcie")
	n.pod("job", 1, func(p *v1.Pod) {
		p.Spec.InitContainers = []v1.Container{container("first", 2)}
		p.Spec.Containers = append(p.Spec.Containers, container("second", 2))
	})
	n.waitPod("job", "whose first container runs", func(p *v1.Pod) bool {
		return len(p.Status.InitContainerStatuses) == 1 && p.Status.InitContainerStatuses[0].State.Running != nil
	})
	n.finish("job", "first")
	held := n.waitRunning("job", 3)
	assert.ElementsMatch(t, held, unique(n.plugin.handedOut()), "of the five that it asked for in turn, two it had already")

	n.reportLost(held...)
	n.pod("others", 5)
	others := n.waitRunning("others", 5)
	require.ElementsMatch(t, n.uuids(), append(others, held...), "they got all the others")
}

func unique(list []string) (out []string) {
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s] {
			out = append(out, s)
		}
		seen[s] = true
	}
	return out
}

func TestAPodThatHasSucceededHoldsNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t, "gb200")
	n.pod("done", 4)
	all := n.waitRunning("done", 4)
	n.pod("next", 4)
	n.waitSaying("next", tooFew)
	n.finish("done", "main")
	assert.ElementsMatch(t, all, n.waitRunning("next", 4))
}
