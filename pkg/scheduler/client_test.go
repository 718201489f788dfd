package scheduler

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
)

const waitPatch = `{"status":{"$setElementOrder/conditions":[{"type":"PodScheduled"}],"conditions":[{"message":"0/9 nodes","reason":"Unschedulable","status":"False","type":"PodScheduled"}]}}`

// TestTheCoreWritesWhatTheScribeDoesNot sends status patches through the guarded client and looks at what reaches the API
// server.
func TestTheCoreWritesWhatTheScribeDoesNot(t *testing.T) {
	for name, c := range map[string]struct {
		pod, patch string
		sent       string // "" if nothing may be sent
	}{
		"a member's wait is left to the scribe": {"member", waitPatch, ""},
		"a plain pod's wait is upstream's":      {"plain", waitPatch, waitPatch},
		"a member's nomination is sent without its wait": {"member",
			`{"status":{"conditions":[{"type":"PodScheduled","status":"False"}],"nominatedNodeName":"n"}}`, `{"status":{"nominatedNodeName":"n"}}`},
		"another condition of a member is sent": {"member",
			`{"status":{"conditions":[{"type":"PodScheduled","status":"False"},{"type":"DisruptionTarget","status":"True"}]}}`,
			`{"status":{"conditions":[{"status":"True","type":"DisruptionTarget"}]}}`},
		"a patch without conditions is sent as it is": {"member", `{"status":{"nominatedNodeName":"n"}}`, `{"status":{"nominatedNodeName":"n"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			backend, l := fake.NewClientset(pod("member", "train"), pod("plain", "")), newLedger(t)
			client := guardedClient{backend, l}
			_, err := client.CoreV1().Pods("ns").Patch(context.Background(), c.pod, types.StrategicMergePatchType, []byte(c.patch), metav1.PatchOptions{}, "status")
			require.NoError(t, err)
			require.Equal(t, c.sent, patchSent(backend))
		})
	}
}

func TestAnErrorOfTheSchedulerIsWhatTheGangWaitsFor(t *testing.T) {
	backend, l := fake.NewClientset(), newLedger(t)
	_, err := guardedClient{backend, l}.CoreV1().Pods("ns").Patch(context.Background(), "member", types.StrategicMergePatchType,
		[]byte(`{"status":{"conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulerError","message":"binding: timeout"}]}}`), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
	state, _ := l.State(gang.Key{Dialect: "volcano", Namespace: "ns", Name: "train"})
	require.Equal(t, "GangNotFound", string(state.Progress.Waiting.Reason), "what blocks a gang goes before what a try met")
}

func TestPodGroupsThatExistInMemoryOnlyAreNotWritten(t *testing.T) {
	backend := fake.NewClientset()
	groups := guardedClient{backend, newLedger(t)}.SchedulingV1beta1().PodGroups("ns")
	_, err := groups.Patch(context.Background(), "volcano:train", types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{}, "status")
	require.NoError(t, err)
	require.Empty(t, backend.Actions())
	_, err = groups.Patch(context.Background(), "train", types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{}, "status")
	require.Error(t, err, "a native one goes to the API server, which has none here")
}

func pod(name, group string) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}, Spec: v1.PodSpec{SchedulerName: "phalanx"}}
	if group != "" {
		p.Annotations = map[string]string{"scheduling.k8s.io/group-name": group}
	}
	return p
}

func newLedger(t *testing.T) *ledger.Ledger {
	t.Helper()
	l := ledger.New(dialects(), []string{"phalanx"}, func(gang.Key) {})
	require.NoError(t, l.PodStore().Add(pod("member", "train")))
	require.NoError(t, l.PodStore().Add(pod("plain", "")))
	return l
}

func patchSent(client *fake.Clientset) string {
	for _, action := range client.Actions() {
		if patch, ok := action.(clienttesting.PatchAction); ok {
			return string(patch.GetPatch())
		}
	}
	return ""
}
