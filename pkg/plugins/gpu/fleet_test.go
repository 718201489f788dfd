package gpu

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// told is an events.EventRecorder that keeps what is told.
type told struct{ events []string }

func (r *told) Eventf(regarding, _ runtime.Object, kind, reason, _, note string, args ...any) {
	ref := regarding.(*v1.ObjectReference)
	r.events = append(r.events, fmt.Sprintf("%s %s/%s %s: %s", kind, ref.Kind, ref.Name, reason, fmt.Sprintf(note, args...)))
}

func (r *told) AnnotatedEventf(regarding, related runtime.Object, _ map[string]string, kind, reason, action, note string, args ...any) {
	r.Eventf(regarding, related, kind, reason, action, note, args...)
}

// pass lets time pass in a bubble of synctest, and everybody do what is due.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestABadReportIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, recorder := NewFleet(clock.RealClock{}), &told{}
		liar := nodeWith(t, "n1", "h100")
		liar.Status.Capacity = gpuList(4)
		f.setNode("n1", liar)
		f.setNode("n2", nodeWith(t, "n2", "h100"))
		go f.Run(t.Context(), recorder, func(*v1.Node) { t.Error("nobody turned") })
		synctest.Wait()
		const lie = "Warning Node/n1 GPUReportInvalid: annotation phalanx.dev/gpu-report: it tells of 8 GPUs, the node has a capacity of 4 nvidia.com/gpu"
		require.Equal(t, []string{lie}, recorder.events)

		f.setNode("n1", liar.DeepCopy()) // a heartbeat
		pass(time.Minute)
		require.Len(t, recorder.events, 1, "nothing has changed")

		broken := liar.DeepCopy()
		broken.Annotations[gang.GPUReportKey] = "{}"
		f.setNode("n1", broken)
		pass(time.Minute)
		require.Equal(t, []string{"Warning Node/n1 GPUReportInvalid: annotation phalanx.dev/gpu-report: GPU report: version is 0: it must be 1"}, recorder.events[1:])

		f.setNode("n1", nodeWith(t, "n1", "h100"))
		pass(time.Minute)
		require.Len(t, recorder.events, 2, "it was mended")
		f.setNode("n1", liar)
		pass(time.Minute)
		require.Equal(t, []string{lie}, recorder.events[2:], "and broken again")
	})
}

func lease(node, version string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: node, ResourceVersion: version}}
}

// A reporter that dies takes no node out, and lets none in that it had taken out: what it said of free memory is forgotten after a
// while, and that of a lost GPU is not. When it lives again all of it counts.
func TestAReporterDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.GPU = w.build(t, NewFleet(clock.RealClock{}), nil)
		nodes := map[string]*v1.Node{}
		for i := range 10 {
			name := nodeName(i)
			nodes[name] = nodeWith(t, name, "h100")
		}
		nodes["n0"] = nodeWith(t, "n0", "h100", leak(0))
		nodes["n1"] = nodeWith(t, "n1", "h100", inState(gpu.Lost, 0))
		for name, node := range nodes {
			w.fleet.setNode(name, node)
		}
		var woken []string
		go w.fleet.Run(t.Context(), &told{}, func(n *v1.Node) { woken = append(woken, n.Name) })
		speak := func(version string, from int) {
			for i := from; i < 10; i++ {
				require.NoError(t, w.fleet.Leases().Update(lease(nodeName(i), version)))
			}
			pass(time.Minute)
		}
		dirty, lost := infoOf(nodes["n0"]), infoOf(nodes["n1"])
		ask := podWith("p", 1, gang.GPUMemoryKey, "40Gi")

		speak("1", 0)
		require.Equal(t, littleMemory, w.filter(t, ask, dirty))
		require.Equal(t, unhealthyNode, w.filter(t, ask, lost))
		speak("2", 2)
		speak("3", 2)
		require.Equal(t, littleMemory, w.filter(t, ask, dirty), "silent, but not for long")
		speak("4", 2)
		require.Empty(t, w.filter(t, ask, dirty), "stale")
		require.Less(t, w.score(t, ask, dirty), w.score(t, ask, infoOf(nodes["n2"])), "a stale report is worth less")
		require.Equal(t, unhealthyNode, w.filter(t, ask, lost), "what was lost is, until somebody tells otherwise")
		require.Equal(t, []string{"n0"}, woken, "nothing has changed for the other one")

		speak("5", 0)
		require.Equal(t, littleMemory, w.filter(t, ask, dirty), "it lives")
		require.Equal(t, []string{"n0", "n0"}, woken)

		fresh := w.score(t, ask, infoOf(nodes["n2"]))
		for range 5 { // nobody speaks
			pass(time.Minute)
		}
		require.Equal(t, littleMemory, w.filter(t, ask, dirty), "where all are silent it is not the reporters who are dead")
		require.Equal(t, fresh, w.score(t, ask, infoOf(nodes["n2"])))
	})
}

func TestTheFleetWatches(t *testing.T) {
	node, pod := nodeWith(t, "n1", "gb200"), on(podWith("a", 4), "n1")
	client := fake.NewClientset(node, pod)
	factory := informers.NewSharedInformerFactory(client, 0)
	f := NewFleet(clock.RealClock{})
	require.NoError(t, f.Watch(factory))
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	domain := func() string {
		read := f.readNamed("n1")
		if read == nil {
			return "no node"
		}
		return fmt.Sprint(read.HasReport(), " ", f.isWhole(read.Domain))
	}
	eventually := func(want string) {
		t.Helper()
		require.Eventually(t, func() bool { return domain() == want }, 10*time.Second, 10*time.Millisecond, "want %s", want)
	}
	eventually("true false")
	require.NoError(t, client.CoreV1().Pods("default").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	eventually("true true")
	require.NoError(t, client.CoreV1().Nodes().Delete(t.Context(), "n1", metav1.DeleteOptions{}))
	eventually("no node")
}

func TestTheFleetWatchesClaims(t *testing.T) {
	node := nodeWith(t, "n1", "h100")
	node.Status.Capacity, node.Status.Allocatable = gpuList(6), gpuList(6)
	claim := claimOn("n1", "gpu-0")
	client := fake.NewClientset(node, driverOf("n1", uuids(t, "h100", 0, 1)...), claim)
	factory := informers.NewSharedInformerFactory(client, 0)
	w := newWorld(t, nil)
	require.NoError(t, w.fleet.Watch(factory))
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	eventually := func(isRead bool, refusal string) {
		t.Helper()
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			read := w.fleet.readNamed("n1")
			require.NotNil(c, read)
			assert.Equal(c, isRead, read.HasReport())
			assert.Equal(c, refusal, w.filter(t, podWith("p", 1), infoOf(node)))
		}, 10*time.Second, 10*time.Millisecond)
	}
	eventually(true, "") // six are the plugin's, two the driver's
	require.NoError(t, client.ResourceV1().ResourceSlices().Delete(t.Context(), "n1-gpus", metav1.DeleteOptions{}))
	eventually(false, "") // whose are eight GPUs on a node of six?

	node = node.DeepCopy()
	node.Status.Capacity, node.Status.Allocatable = gpuList(8), gpuList(8)
	_, err := client.CoreV1().Nodes().Update(t.Context(), node, metav1.UpdateOptions{})
	require.NoError(t, err)
	_, err = client.ResourceV1().ResourceSlices().Create(t.Context(), driverOf("n1", uuids(t, "h100", 0, 1)...), metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(true, "node(s) had a GPU that a ResourceClaim holds and the device plugin could hand out again")
	epoch := w.fleet.Epoch()
	require.NoError(t, client.ResourceV1().ResourceClaims("default").Delete(t.Context(), "c", metav1.DeleteOptions{}))
	eventually(true, "")
	require.NotEqual(t, epoch, w.fleet.Epoch(), "who remembers closed nodes asks again")
}

func TestWhatIsReadIsReadOnce(t *testing.T) {
	w := newWorld(t, nil)
	node := nodeWith(t, "n1", "h100")
	info := infoOf(node)
	first := w.fleet.offer(info)
	assert.Same(t, first.Node, w.fleet.offer(info).Node)
	info.AddPod(on(podWith("a", 1), "n1"))
	second := w.fleet.offer(info)
	assert.Same(t, first.Node, second.Node, "the node is the same")
	assert.NotEqual(t, first.Taken, second.Taken, "its pods are not")
	info.SetNode(node.DeepCopy())
	assert.NotSame(t, first.Node, w.fleet.offer(info).Node)

	a, b := node.DeepCopy(), node.DeepCopy()
	w.fleet.setNode("n1", node)
	readA, readB := w.fleet.readOf(a), w.fleet.readOf(b)
	assert.Same(t, readA, w.fleet.readOf(a))
	assert.Same(t, readB, w.fleet.readOf(b))
	assert.Same(t, w.fleet.readNamed("n1"), w.fleet.readOf(node))
	w.fleet.setNode("n1", nil)
	assert.Nil(t, w.fleet.readNamed("n1"))
	assert.Empty(t, w.fleet.offers, "what is gone is forgotten")
}

func BenchmarkFilterAndScore(b *testing.B) {
	w := newWorld(b, nil)
	for _, c := range []struct {
		name string
		pods int
	}{{"an idle node", 0}, {"a node with 100 pods", 100}} {
		var pods []*v1.Pod
		for i := range c.pods {
			pods = append(pods, on(podWith(fmt.Sprint("cpu-", i), 0), "n1"))
		}
		if c.pods > 0 {
			pods = append(pods, on(podWith("a", 2), "n1", uuids(b, "h100", 0, 1)...))
		}
		info, ask := infoOf(nodeWith(b, "n1", "h100"), pods...), podWith("p", 2, gang.GPUMemoryKey, "40Gi", gang.GPUProductKey, "H100")
		need, _ := NeedOf(ask, nil)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if why, _ := w.fleet.Refusal(info, need); why != "" {
					b.Fatal(why)
				}
				w.weights.score(w.fleet.merits(info, need))
			}
		})
	}
}

// A simulation adds pods to a node of the snapshot and leaves it its generation.
func TestPodsOfASimulationCount(t *testing.T) {
	w := newWorld(t, nil)
	info := infoOf(nodeWith(t, "n1", "dgx1-v100"))
	two := podWith("two", 2, gang.GPULinkKey, "required:nvlink")
	require.Empty(t, w.filter(t, two, info))

	before := info.GetGeneration()
	assumed, err := framework.NewPodInfo(podWith("first", 4))
	require.NoError(t, err)
	info.AddPodInfo(assumed)
	info.Generation = before
	require.Equal(t, "node(s) had GPUs left of which it is not known whether they are linked as required", w.filter(t, two, info))

	require.NoError(t, info.RemovePod(klog.Background(), assumed.Pod))
	info.Generation = before
	require.Empty(t, w.filter(t, two, info), "and when it is over")
}

// Members of one gang are placed before any of them shows which GPUs it got.
func TestPodsThatWantAsManyGPUsShareANode(t *testing.T) {
	w := newWorld(t, nil)
	for name, test := range map[string]struct {
		system      string
		count, want int // pods
	}{
		"pairs of a mesh":        {"dgx1-v100", 2, 4},
		"bridged pairs":          {"a100-pcie", 2, 4},
		"three of bridged pairs": {"a100-pcie", 3, 0},
		"behind switches":        {"h100", 4, 2},
	} {
		t.Run(name, func(t *testing.T) {
			info, placed := infoOf(nodeWith(t, "n1", test.system)), 0
			for i := range 8 / test.count {
				member := podWith(fmt.Sprint("p", i), test.count, gang.GPULinkKey, "required:nvlink")
				if w.filter(t, member, info) != "" {
					break
				}
				promised, err := framework.NewPodInfo(member)
				require.NoError(t, err)
				info.AddPodInfo(promised)
				placed++
			}
			require.Equal(t, test.want, placed)
		})
	}
}
