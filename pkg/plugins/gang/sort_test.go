package gang

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// halves is an account that knows which gangs are half started.
type halves struct {
	Account
	names map[string]bool
}

func (h halves) IsHalfStarted(key gang.Key) bool { return h.names[key.Name] }

func second(s int) time.Time { return time.Unix(int64(s), 0) }

func queuedGang(name string, priority int32, first, last int) fwk.QueuedEntityInfo {
	return &framework.QueuedPodGroupInfo{
		PodGroupInfo: &framework.PodGroupInfo{Namespace: "ns", Name: "volcano:" + name, Type: fwk.PodGroupKeyType,
			PodGroup: &schedulingv1beta1.PodGroup{Spec: schedulingv1beta1.PodGroupSpec{Priority: &priority}}},
		QueueingParams: framework.QueueingParams{InitialAttemptTimestamp: ptr.To(second(first)), Timestamp: second(last)},
	}
}

// withMember adds a waiting member with so many GPUs to a gang.
func withMember(entity fwk.QueuedEntityInfo, gpusEach string) fwk.QueuedEntityInfo {
	info, err := framework.NewPodInfo(podWith("p", gpus(gpusEach)))
	if err != nil {
		panic(err)
	}
	entity.(*framework.QueuedPodGroupInfo).QueuedPodInfos = map[fwk.EntityKey][]*framework.QueuedPodInfo{{}: {{PodInfo: info}}}
	return entity
}

func queuedPod(priority int32, first, last int) fwk.QueuedEntityInfo {
	return &framework.QueuedPodInfo{
		PodInfo:        &framework.PodInfo{Pod: &v1.Pod{Spec: v1.PodSpec{Priority: &priority}}},
		QueueingParams: framework.QueueingParams{InitialAttemptTimestamp: ptr.To(second(first)), Timestamp: second(last)},
	}
}

func TestTheOrderOfTheQueue(t *testing.T) {
	s := &Sort{halves{names: map[string]bool{"half": true, "too": true}}}
	for name, c := range map[string]struct{ first, second fwk.QueuedEntityInfo }{
		"a half-started gang goes before a higher priority": {queuedGang("half", 0, 9, 9), queuedGang("whole", 100, 1, 1)},
		"of two half-started gangs the one with larger members": {
			withMember(queuedGang("half", 0, 9, 9), "8"), withMember(queuedGang("too", 1, 1, 1), "4")},
		"of two half-started gangs with equal members the one that has waited longer": {
			withMember(queuedGang("half", 0, 1, 9), "8"), withMember(queuedGang("too", 0, 2, 1), "8")},
		"a higher priority goes first":                                          {queuedGang("a", 2, 9, 9), queuedGang("b", 1, 1, 1)},
		"of two gangs the one that has waited longer, though it was tried last": {queuedGang("a", 0, 1, 9), queuedGang("b", 0, 2, 3)},
		"of two pods the one that was tried longer ago":                         {queuedPod(0, 5, 3), queuedPod(0, 1, 4)},
		"a gang keeps its place between pods":                                   {queuedGang("a", 0, 2, 9), queuedPod(0, 1, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			require.True(t, s.Less(c.first, c.second))
			require.False(t, s.Less(c.second, c.first))
		})
	}
}
