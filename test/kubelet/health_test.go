package kubelet

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
)

func TestAGPUThatTurnsBadWhileHeld(t *testing.T) {
	t.Parallel()
	n := newNode(t, "h100")
	n.pod("holder", 1)
	bad := n.waitRunning("holder", 1)[0]

	n.reportLost(bad)
	n.pod("two", 2)
	assert.NotContains(t, n.waitRunning("two", 2), bad)
	n.withdraw(bad, 7) // of the five that are free the counter counts four now: allocatable less what pods asked for
	n.waitPod("holder", "that shows its GPU as unhealthy", func(p *v1.Pod) bool { return isSick(p, bad) })
	n.pod("four", 4)
	assert.NotContains(t, n.waitRunning("four", 4), bad)
	n.pod("waiter", 1)
	n.waitSaying("waiter", tooFew)

	n.remove("holder") // the bad one is free now, and withdrawn: the last good one is had
	assert.NotContains(t, n.waitRunning("waiter", 1), bad)
	n.pod("late", 1)
	n.waitSaying("late", tooFew)
	n.plugin.call(bad, false)
	n.reportLost()
	assert.Equal(t, []string{bad}, n.waitRunning("late", 1))
}

// isSick is true if a pod shows that it holds a GPU, and that it is unhealthy.
func isSick(p *v1.Pod, uuid string) bool {
	for _, s := range p.Status.ContainerStatuses {
		for _, r := range s.AllocatedResourcesStatus {
			for _, h := range r.Resources {
				if string(h.ResourceID) == uuid {
					return h.Health == v1.ResourceHealthStatusUnhealthy
				}
			}
		}
	}
	return false
}

func TestAGPUThatTurnsBadWhileFree(t *testing.T) {
	t.Parallel()
	n := newNode(t, "h100")
	bad := n.uuids()[3]
	n.reportLost(bad)
	n.pod("first", 2)
	n.waitSaying("first", unhealthyNode)
	n.withdraw(bad, 7)
	assert.NotContains(t, n.waitRunning("first", 2), bad)
	n.pod("five", 5)
	assert.NotContains(t, n.waitRunning("five", 5), bad)
	n.pod("waiter", 1)
	n.waitSaying("waiter", tooFew)
	n.plugin.call(bad, false) // the reporter does not agree yet
	n.waitAllocatable(8)
	n.waitSaying("waiter", unhealthyNode)
	n.reportLost()
	assert.Equal(t, []string{bad}, n.waitRunning("waiter", 1))
}

func TestAGPUThatTurnsBadWhilePromised(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// getsIt is true if the pod that was promised a GPU gets the bad one, isSeen if the device plugin knows that it is bad
		// before the pod has it.
		getsIt, isSeen bool
	}{
		"and the promised pod gets it":                                 {getsIt: true},
		"and the promised pod gets another":                            {},
		"and the promised pod gets it though the plugin knows":         {getsIt: true, isSeen: true},
		"and the promised pod gets another, of those the plugin calls": {isSeen: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, "h100")
			bad, good := n.uuids()[2], n.uuids()[5]
			q := n.plugin.askMe()
			n.pod("promised", 1)
			select {
			case <-q.asked:
			case <-t.Context().Done():
				t.Fatal("the kubelet did not ask for GPUs")
			}
			n.reportLost(bad)
			if test.isSeen {
				n.withdraw(bad, 7)
			} else {
				n.pod("waiter", 1)
				n.waitSaying("waiter", unhealthyNode)
			}

			gets := good
			if test.getsIt {
				gets = bad
			}
			q.answer <- []string{gets}
			assert.Equal(t, []string{gets}, n.waitRunning("promised", 1))
			switch {
			case test.isSeen:
				n.pod("waiter", 1)
			case !test.getsIt:
				n.pod("late", 1)
				n.waitSaying("late", unhealthyNode)
				n.withdraw(bad, 7)
			}
			assert.NotContains(t, n.waitRunning("waiter", 1), bad)
		})
	}
}
