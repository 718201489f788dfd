package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

const period = 10 * time.Second

// world is a publisher that is offered a report each period, a node, and time that jumps.
type world struct {
	t      *testing.T
	mu     sync.Mutex // held by whoever looks at what follows, and let go to hand it over
	client *fake.Clientset
	log    bytes.Buffer
	report *gpu.Report
	// isSilent: no report is offered; isDeaf: those that are, are not whole.
	isSilent, isDeaf bool
	fault            error // what each request returns
	done             []string
	at               []time.Time
	began            time.Time
}

func run(t *testing.T, do func(w *world)) {
	w := &world{t: t, report: eight(), client: fake.NewClientset(&v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "uid-1", Labels: map[string]string{"example.com/rack": "r1"}, Annotations: map[string]string{"example.com/note": "theirs"}},
		Status:     v1.NodeStatus{Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady"}}},
	})}
	w.client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.fault != nil, nil, w.fault
	})
	synctest.Test(t, func(t *testing.T) {
		w.t, w.began = t, time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.start(ctx)
		do(w)
	})
}

func (w *world) start(ctx context.Context) {
	p := New(Options{API: fakeAPI{w.client}, Node: "n1", Namespace: "gpus", Holder: "pod-1", Log: slog.New(slog.NewTextHandler(&w.log, nil)), Done: func(what Request, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.at = append(w.at, time.Now())
		if err != nil {
			what += "!"
		}
		w.done = append(w.done, string(what))
	}})
	go p.Run(ctx)
	go func() {
		for ctx.Err() == nil {
			w.mu.Lock()
			report, isSilent, isWhole := *w.report, w.isSilent, !w.isDeaf
			w.mu.Unlock()
			if !isSilent {
				text, err := report.Encode()
				assert.NoError(w.t, err)
				p.Offer(&report, text, isWhole)
			}
			select {
			case <-ctx.Done():
			case <-time.After(period):
			}
		}
	}()
}

// fakeAPI is the API server as the clientset plays it.
type fakeAPI struct{ *fake.Clientset }

func (a fakeAPI) Node(ctx context.Context, name string) (*v1.Node, error) {
	return a.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
}

var byForce = metav1.PatchOptions{FieldManager: "phalanx-reporter", Force: ptr.To(true)}

func (a fakeAPI) ApplyNodeStatus(ctx context.Context, name string, part map[string]any) error {
	text, err := json.Marshal(part)
	if err == nil {
		_, err = a.CoreV1().Nodes().Patch(ctx, name, types.ApplyPatchType, text, byForce, "status")
	}
	return err
}

func (a fakeAPI) ApplyLease(ctx context.Context, namespace, name string, part map[string]any) error {
	text, err := json.Marshal(part)
	if err == nil {
		_, err = a.CoordinationV1().Leases(namespace).Patch(ctx, name, types.ApplyPatchType, text, byForce)
	}
	return err
}

// eight are GPUs that are well.
func eight() *gpu.Report {
	r := &gpu.Report{Driver: "570.86.15", Links: gpu.Links{Kind: gpu.Switch}}
	for i := range 8 {
		r.GPUs = append(r.GPUs, gpu.GPU{Index: i, UUID: fmt.Sprintf("GPU-00000000-0000-0000-0000-%012d", i), NUMA: -1, Product: "NVIDIA H100 80GB HBM3", MemoryMiB: 1600, FreeMiB: 1500})
	}
	return r
}

// change changes the report from the next round on.
func (w *world) change(do func(r *gpu.Report)) {
	next := *w.report
	next.GPUs = append([]gpu.GPU(nil), w.report.GPUs...)
	do(&next)
	w.report = &next
}

func (w *world) state(i int, s gpu.State, reasons ...string) {
	w.change(func(r *gpu.Report) { r.GPUs[i].State, r.GPUs[i].Reasons = s, reasons })
}

// pass lets time go by, and returns what was requested, in order.
func (w *world) pass(d time.Duration) string {
	w.mu.Lock()
	w.done, w.at = nil, nil
	w.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
	return strings.Join(w.done, " ")
}

// count counts the requests of one sort among what was requested.
func (w *world) count(what Request) (n int) {
	for _, done := range w.done {
		if done == string(what) {
			n++
		}
	}
	return n
}

func (w *world) node() *v1.Node {
	node, err := w.client.Tracker().Get(v1.SchemeGroupVersion.WithResource("nodes"), "", "n1")
	require.NoError(w.t, err)
	return node.(*v1.Node)
}

func (w *world) condition() v1.NodeCondition {
	for _, c := range w.node().Status.Conditions {
		if c.Type == ConditionType {
			return c
		}
	}
	return v1.NodeCondition{}
}

func TestTheFirstReportIsWrittenAtOnce(t *testing.T) {
	run(t, func(w *world) {
		assert.Equal(t, "get write lease", w.pass(0))
		node := w.node()
		want, err := w.report.Encode()
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"phalanx.dev/gpu-report": string(want), "example.com/note": "theirs"}, node.Annotations)
		assert.Equal(t, map[string]string{"phalanx.dev/gpu-product": "NVIDIA-H100-80GB-HBM3", "phalanx.dev/gpu-link": "switch", "example.com/rack": "r1"}, node.Labels)
		assert.Len(t, node.Status.Conditions, 2, "that of the kubelet stays")
		now := metav1.NewTime(time.Now().Local())
		assert.Equal(t, v1.NodeCondition{Type: "GPUHealthy", Status: "True", Reason: "AllHealthy", Message: "8 of 8 GPUs are usable", LastHeartbeatTime: now, LastTransitionTime: now}, w.condition())
		lease, err := w.client.CoordinationV1().Leases("gpus").Get(w.t.Context(), "n1", metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, "pod-1", *lease.Spec.HolderIdentity)
		assert.EqualValues(t, 180, *lease.Spec.LeaseDurationSeconds)
		assert.Equal(t, []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "uid-1"}}, lease.OwnerReferences)
	})
}

func TestInSteadyStateTheNodeIsNotWritten(t *testing.T) {
	run(t, func(w *world) {
		w.pass(time.Second)
		w.pass(time.Hour)
		assert.Zero(t, w.count(Write))
		assert.Equal(t, 144, w.count(Renew), "each 25 s")
		assert.Equal(t, 12, w.count(Look), "each 5 minutes")
	})
}

func TestAReporterThatStartsAgainWritesNothing(t *testing.T) {
	run(t, func(w *world) {
		w.pass(time.Minute)
		since := w.condition().LastTransitionTime
		ctx, cancel := context.WithCancel(w.t.Context())
		defer cancel()
		w.start(ctx)
		assert.Equal(t, "get lease", w.pass(0))
		w.pass(2 * time.Minute)
		w.state(0, gpu.Degraded, "XID 63")
		w.pass(period)
		assert.Equal(t, since, w.condition().LastTransitionTime, "its status is as it was")
	})
}

func TestWorseIsWrittenAtOnceButEachTenSeconds(t *testing.T) {
	for name, worse := range map[string]func(w *world){
		"a state":    func(w *world) { w.state(3, gpu.Lost, "XID 79") },
		"no GPU":     func(w *world) { w.change(func(r *gpu.Report) { r.GPUs = r.GPUs[:7] }) },
		"missing":    func(w *world) { w.change(func(r *gpu.Report) { r.Missing++ }) },
		"links down": func(w *world) { w.change(func(r *gpu.Report) { r.Links.IsDown = true }) },
		"cut":        func(w *world) { w.change(func(r *gpu.Report) { r.GPUs[1].IsMIG = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				w.pass(time.Hour + time.Second)
				worse(w)
				assert.Contains(t, w.pass(period), "write", "with the next round")
				w.state(4, gpu.Drain, "XID 48")
				w.pass(period)
				w.state(5, gpu.Drain, "XID 48")
				w.pass(period)
				w.pass(0)
				assert.Equal(t, "drain", w.shown().GPUs[4].State.String())
			})
		})
	}
}

// shown is the report that the node shows.
func (w *world) shown() gpu.Report {
	report, err := gpu.Parse([]byte(w.node().Annotations[gang.GPUReportKey]))
	require.NoError(w.t, err)
	return report
}

func TestWritesKeepTheirDistance(t *testing.T) {
	for name, test := range map[string]struct {
		change func(w *world, i int)
		pause  time.Duration
	}{
		"worse and worse": {func(w *world, i int) { w.state(i%8, gpu.State(1+i/8), fmt.Sprintf("XID %d", i)) }, 10 * time.Second},
		"another memory": {func(w *world, i int) {
			w.change(func(r *gpu.Report) { r.GPUs[0].FreeMiB = []int{1500, 1400}[i%2] })
		}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				w.pass(time.Hour)
				var times []time.Time
				for i := range 24 {
					test.change(w, i)
					w.pass(7 * time.Second)
					for k, what := range w.done {
						if what == string(Write) {
							times = append(times, w.at[k])
						}
					}
				}
				require.GreaterOrEqual(t, len(times), 2)
				for i := 1; i < len(times); i++ {
					assert.GreaterOrEqual(t, times[i].Sub(times[i-1]), test.pause)
				}
				assert.LessOrEqual(t, len(times), 1+int(24*7*time.Second/test.pause))
			})
		})
	}
}

func TestBetterWaitsAMinuteFromTheLastWrite(t *testing.T) {
	run(t, func(w *world) {
		w.pass(time.Hour + time.Second)
		w.state(3, gpu.Drain, "XID 48")
		w.pass(period)
		assert.Equal(t, v1.ConditionFalse, w.condition().Status)
		assert.Equal(t, "7 of 8 GPUs are usable. GPU 3 is in state drain: XID 48", w.condition().Message)
		w.state(3, gpu.OK)
		w.pass(50 * time.Second)
		assert.Zero(t, w.count(Write))
		w.pass(period)
		assert.Equal(t, 1, w.count(Write))
		assert.Equal(t, v1.ConditionTrue, w.condition().Status)
	})
}

func TestALabelThatIsOverGoes(t *testing.T) {
	run(t, func(w *world) {
		w.pass(time.Hour)
		w.change(func(r *gpu.Report) {
			r.GPUs[0].Product = "NVIDIA L4"
			r.Fabric, r.Links.Kind = gpu.Fabric{UUID: "7f2e1c84-50a9-4d0b-9a3e-6c1f0b7d2e55", Clique: 32766}, gpu.MultiNode
		})
		w.pass(time.Minute)
		assert.Equal(t, map[string]string{"phalanx.dev/gpu-clique": "7f2e1c84-50a9-4d0b-9a3e-6c1f0b7d2e55.32766", "phalanx.dev/gpu-link": "mnnvl", "example.com/rack": "r1"}, w.node().Labels)
	})
}

func TestAfterAnOutageTheLatestIsWrittenOnce(t *testing.T) {
	run(t, func(w *world) {
		w.pass(time.Minute + time.Second)
		w.fault = errors.New("connection refused")
		for i := range 60 {
			w.state(3, gpu.Drain, fmt.Sprintf("XID %d", 100+i))
			w.pass(time.Minute)
			assert.LessOrEqual(t, len(w.done), 7, "in the first minute; in those after it fewer")
			if i > 2 {
				assert.LessOrEqual(t, len(w.done), 2)
			}
		}
		assert.Equal(t, 1, strings.Count(w.log.String(), "\n"), "it is said once")
		w.fault = nil
		requests := w.pass(time.Minute)
		assert.Equal(t, "get write lease", strings.Join(strings.Fields(requests)[:3], " "))
		assert.Equal(t, 1, w.count(Write))
		assert.Equal(t, []string{"XID 159"}, w.shown().GPUs[3].Reasons)
		assert.Contains(t, w.log.String(), "The API server answers again")
	})
}

func TestAfterAnOutageWithoutChangesTheNodeIsNotWritten(t *testing.T) {
	run(t, func(w *world) {
		w.pass(time.Minute + time.Second)
		w.fault = errors.New("connection refused")
		w.pass(time.Hour)
		w.fault = nil
		w.pass(time.Minute)
		assert.Zero(t, w.count(Write))
		assert.NotZero(t, w.count(Renew))
	})
}

func TestTheLeaseNeedsAWholeRound(t *testing.T) {
	for name, stop := range map[string]func(w *world){
		"no round":           func(w *world) { w.isSilent = true },
		"none that is whole": func(w *world) { w.isDeaf = true },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				w.pass(time.Minute + time.Second)
				stop(w)
				w.pass(30 * time.Second) // one is due for the rounds before
				w.pass(time.Hour)
				assert.Zero(t, w.count(Renew))
				w.isSilent, w.isDeaf = false, false
				w.pass(period)
				assert.Equal(t, 1, w.count(Renew))
			})
		})
	}
}

func TestWithoutAReportNothingIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		New(Options{Done: func(Request, error) { t.Error("a request") }}).Run(ctx)
	})
}

func TestANodeThatIsMadeAnewGetsItsReport(t *testing.T) {
	run(t, func(w *world) {
		w.pass(time.Minute)
		nodes := v1.SchemeGroupVersion.WithResource("nodes")
		require.NoError(t, w.client.Tracker().Delete(nodes, "", "n1"))
		require.NoError(t, w.client.Tracker().Add(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "uid-2"}}))
		w.pass(lookPeriod)
		assert.Equal(t, 1, w.count(Write))
		assert.NotEmpty(t, w.shown().GPUs)
	})
}

func TestConditions(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(r *gpu.Report)
		status  v1.ConditionStatus
		reason  string
		message string
	}{
		"without GPUs, all is well": {func(r *gpu.Report) { r.GPUs = nil }, "True", "AllHealthy", "0 of 0 GPUs are usable"},
		"a degraded one works":      {func(r *gpu.Report) { r.GPUs[2].State, r.GPUs[2].Reasons = gpu.Degraded, []string{"XID 63"} }, "True", "SomeDegraded", "8 of 8 GPUs are usable. GPU 2 is in state degraded: XID 63"},
		"a missing one does not":    {func(r *gpu.Report) { r.Missing = 1 }, "False", "SomeUnusable", "8 of 9 GPUs are usable. 1 do not say who they are"},
		"nor do switches":           {func(r *gpu.Report) { r.Links.IsDown = true }, "False", "SomeUnusable", "8 of 8 GPUs are usable. the switches between them are down"},
	} {
		t.Run(name, func(t *testing.T) {
			r := eight()
			test.change(r)
			c := conditionOf(r)
			assert.Equal(t, v1.NodeCondition{Type: ConditionType, Status: test.status, Reason: test.reason, Message: test.message}, c)
		})
	}
}

func TestAConditionIsShortHoweverManyGPUsAreIll(t *testing.T) {
	r := eight()
	for i := range r.GPUs {
		r.GPUs[i].State = gpu.Lost
		for k := range gpu.MaxReasons {
			r.GPUs[i].Reasons = append(r.GPUs[i].Reasons, fmt.Sprintf("%d %s", k, strings.Repeat("x", 60)))
		}
	}
	assert.Len(t, conditionOf(r).Message, longestMessage)
}

func TestLabelValues(t *testing.T) {
	for text, want := range map[string]string{
		"NVIDIA H100 80GB HBM3": "NVIDIA-H100-80GB-HBM3", "": "", " (x) ": "x", "a/b": "a-b",
		strings.Repeat("a", 62) + " b": strings.Repeat("a", 62),
	} {
		assert.Equal(t, want, labelValue(text), text)
	}
}
