package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
)

func TestAGangTellsEachChangeOfItsReasonOnce(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 1, func(w *world, d dialect) {
		w.members(d, "chatty", 0, 1, 8)
		w.waitSentence("chatty", fmt.Sprintf("GangNotFound: no PodGroup %s/chatty of dialect %s exists", w.ns, d.name))
		w.podGroup(d.groups, "chatty", d.minimum(2))
		w.waitSentence("chatty", "GangIncomplete: 1 of 2 members exist")
		w.members(d, "chatty", 1, 2, 8)
		w.waitSentence("chatty", "InsufficientGPUs: 2 members need 16 nvidia.com/gpu, 8 are free on 1 node")

		w.waitTries(sharedScheduler, d, "chatty", 4)
		w.waitEvents("PodGroup", "chatty", map[string]int{"GangIncomplete": 1, "InsufficientGPUs": 1})
		w.waitEvents("Pod", "chatty-0", map[string]int{"GangNotFound": 1})
		w.waitEvents("Pod", "chatty-1", map[string]int{})

		w.addNodes(1)
		w.waitRunning("chatty", 2)
		w.waitEvents("Pod", "chatty-0", map[string]int{"GangNotFound": 1, "Scheduled": 1})
		w.waitEvents("Pod", "chatty-1", map[string]int{"Scheduled": 1})
		w.waitEvents("PodGroup", "chatty", map[string]int{"GangIncomplete": 1, "InsufficientGPUs": 1})
	})
}

func TestAGangThatCanNeverFitSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mutate func(*v1.Pod)
		want   string
	}{
		"when no node is selected": {
			func(pod *v1.Pod) { pod.Spec.NodeSelector["no-such"] = "label" },
			"NodesRejected: no node admits 2 members",
		},
		"when nodes are large in sum, but not one by one": {
			func(pod *v1.Pod) { pod.Spec.Containers[0].Resources.Limits[gpu] = quantity("12") },
			"Fragmented: 2 members need 12 nvidia.com/gpu each on one node",
		},
		"when it asks for what nobody has": {
			func(pod *v1.Pod) {
				pod.Spec.Containers[0].Resources.Limits["example.com/unobtainium"] = quantity("1")
			},
			"InsufficientResources: 2 members need 2 example.com/unobtainium, 0 are free on 0 nodes",
		},
		"when memory lacks": {
			func(pod *v1.Pod) { pod.Spec.Containers[0].Resources.Limits["memory"] = quantity("10Ti") },
			"InsufficientResources: 2 members need 20Ti memory, 3Ti are free on 3 nodes",
		},
		"when a filter of Kubernetes' own turns its members away": {
			func(pod *v1.Pod) {
				pod.Spec.Volumes = []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{
					PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "absent"},
				}}}
			},
			"NodesRejected: no node admits 2 members",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, shared, 3)
			w.podGroup(volcanoGroups, "never", minMember(2))
			w.members(volcano, "never", 0, 2, 1, c.mutate)
			w.eventually(sayingAboutAll(w, "never", c.want))
			require.Zero(t, w.bound(t.Context(), "never"))
		})
	}
}

// waitEvents waits until exactly these events are there about an object.
func (w *world) waitEvents(kind, name string, want map[string]int) {
	w.t.Helper()
	w.eventually(func(context.Context) string {
		if got := w.events(kind, name); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Sprintf("events %v about %s %s, there are %v", want, kind, name, got)
		}
		return ""
	})
}
