package chaos

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// rogue is a scheduler that does as it likes, under the account of the real one and with a token of its own.
type rogue struct {
	s      *stage
	client kubernetes.Interface
}

func newRogue(s *stage) rogue {
	kubeconfig, err := s.KubeconfigForServiceAccount(s.t.Context(), cluster.Namespace, cluster.ServiceAccount)
	require.NoError(s.t, err)
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	require.NoError(s.t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(s.t, err)
	return rogue{s, client}
}

// bind binds a pod to the stage's i-th node.
func (r rogue) bind(pod string, i int) {
	require.NoError(r.s.t, r.client.CoreV1().Pods(r.s.ns).Bind(r.s.t.Context(), &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.s.ns, Name: pod}, Target: v1.ObjectReference{Kind: "Node", Name: nodes(r.s.ns)[i].Name},
	}, metav1.CreateOptions{}))
}

// lead takes the lease.
func (r rogue) lead() {
	leases := r.client.CoordinationV1().Leases(cluster.Namespace)
	lease, err := leases.Get(r.s.t.Context(), cluster.ServiceAccount, metav1.GetOptions{})
	require.NoError(r.s.t, err)
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = ptr.To("rogue"), ptr.To[int32](1)
	lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
	_, err = leases.Update(r.s.t.Context(), lease, metav1.UpdateOptions{})
	require.NoError(r.s.t, err)
}

// abandon submits a gang that no scheduler cares for.
func (s *stage) abandon(name string, members int, gpus int64, required string) {
	g := s.gangOf(name, members, gpus)
	g.Required = required
	for _, pod := range g.Pods {
		pod.Spec.SchedulerName = "nobody"
		delete(pod.Annotations, controlplane.AnnotationRunFor)
	}
	s.submit(g)
}

// TestPlantedBugsAreCaught has a rogue do on the real API server what must not be, and the same judge as everywhere say so, and
// nothing else.
func TestPlantedBugsAreCaught(t *testing.T) {
	for name, test := range map[string]struct {
		play  func(s *stage)
		later time.Duration // when it is judged
		long  bool          // too slow for who has no patience
		want  []string      // NS is the namespace, * any word
	}{
		"nothing wrong": {
			play: func(s *stage) {
				r := newRogue(s)
				r.lead()
				s.abandon("train", 3, 8, rackKey)
				for i := range 3 {
					r.bind(fmt.Sprint("train-", i), i)
				}
			},
			later: time.Hour,
		},
		"half a gang, and nothing more": {
			play: func(s *stage) {
				s.abandon("train", 3, 8, "")
				newRogue(s).bind("train-0", 0)
			},
			later: Grace + time.Second,
			want: []string{
				"volcano NS/train was half started for *: at most 1 of 3 members were placed",
				"pod NS/train-1 waits, though the cluster is quiet and it would fit",
				"pod NS/train-2 waits, though the cluster is quiet and it would fit",
			},
		},
		"a GPU promised twice": {
			play: func(s *stage) {
				s.abandon("a", 1, 8, "")
				s.abandon("b", 1, 1, "")
				r := newRogue(s)
				r.bind("a-0", 4)
				r.bind("b-0", 4)
			},
			want: []string{"node NS-n4 held pods that ask for 9 nvidia.com/gpu, it has 8"},
		},
		"a GPU promised twice by who comes back to a node that was renewed": {
			play: func(s *stage) {
				s.abandon("a", 1, 8, "")
				s.abandon("b", 1, 1, "")
				r := newRogue(s)
				r.bind("a-0", 4)
				s.deleteNode(s.ns + "-n4")
				s.createNode(s.ns + "-n4")
				r.bind("b-0", 4)
			},
			want: []string{"node NS-n4 held pods that ask for 9 nvidia.com/gpu, it has 8"},
		},
		"a gang in two racks": {
			play: func(s *stage) {
				s.abandon("train", 2, 8, rackKey)
				r := newRogue(s)
				r.bind("train-0", 0)
				r.bind("train-1", nodesPerRack)
			},
			want: []string{"volcano NS/train requires one " + rackKey + " and took room in r0 and r1"},
		},
		"two who bind": {
			play: func(s *stage) {
				s.abandon("a", 2, 1, "")
				leader, other := newRogue(s), newRogue(s)
				leader.lead()
				leader.bind("a-0", 0)
				other.bind("a-1", 0)
			},
			want: []string{"pod NS/a-1 was bound by * while * led"},
		},
		"one who leads no more and binds": {
			play: func(s *stage) {
				s.abandon("a", 2, 1, "")
				first, second := newRogue(s), newRogue(s)
				first.lead()
				first.bind("a-0", 0)
				second.lead()
				first.bind("a-1", 0)
			},
			want: []string{"pod NS/a-1 was bound by * while * led"},
		},
		"a pod that fits and is left waiting": {
			play: func(s *stage) { s.abandon("a", 1, 1, "") },
			want: []string{"pod NS/a-0 waits, though the cluster is quiet and it would fit"},
		},
		"a pod that runs and is said to wait": {
			play: func(s *stage) {
				s.abandon("a", 1, 1, "")
				newRogue(s).bind("a-0", 0)
				patch := []byte(`{"status":{"conditions":[{"type":"PodScheduled","status":"False","message":"no"}]}}`)
				_, err := s.Client.CoreV1().Pods(s.ns).Patch(s.t.Context(), "a-0", types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
				require.NoError(s.t, err)
			},
			want: []string{"pod NS/a-0 is bound, but its condition says that it is not: no"},
		},
		"half a gang beyond the API server's crash": {
			long: true,
			play: func(s *stage) {
				s.abandon("train", 2, 8, "")
				newRogue(s).bind("train-0", 0)
				s.crashAPIServer()
			},
			later: Grace + time.Minute,
			want: []string{
				"volcano NS/train was half started for *: at most 1 of 2 members were placed",
				"pod NS/train-1 waits, though the cluster is quiet and it would fit",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.long && !*isLong {
				t.Skip("for make chaos")
			}
			s := newStage(t, "planted-"+rand.String(6), 0, 0)
			test.play(s)
			e, err := s.evidence()
			require.NoError(t, err)
			e.now = e.now.Add(test.later)
			wrong, _, err := e.verdict()
			require.NoError(t, err)
			require.Len(t, wrong, len(test.want), "%v", wrong)
			for i, want := range test.want {
				pattern := regexp.QuoteMeta(strings.ReplaceAll(want, "NS", s.ns))
				require.Regexp(t, "^"+strings.ReplaceAll(pattern, `\*`, `\S+`)+"$", wrong[i])
			}
		})
	}
}
