package harness

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/metrics/testutil"
	core "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/test/utils/client-go/ktesting"
)

const (
	// measuredNamespace is where workloads.yaml puts the pods that count.
	measuredNamespace = "measured-0"
	rackLabel         = "topology.kubernetes.io/rack"

	decisionHistogram = "scheduler_podgroup_scheduling_algorithm_duration_seconds"
	attemptHistogram  = "scheduler_podgroup_scheduling_attempt_duration_seconds"
)

// measure reports, when the benchmark ends:
//
//	pods/s         pods over the time from the first one's arrival at the scheduler to the last one's node being seen there.
//	               The harness has such a figure too, from samples a second apart: too coarse for gangs of 1,000.
//	decision-ms    mean of the core's histogram of the pod group algorithm: nodes found for all members, or not
//	attempt-ms     mean of the core's histogram of attempts that succeeded: from the queue to all in binding
//	attempts       how many attempts there were; more than gangs means that some were in vain
//	sched-cpu-s    CPU of the scheduler from arrival to binding, see [cpuOf], per gang where there are gangs
//	bind-cpu-s     its CPU for binding, in the same way
//	process-cpu-s  CPU of the whole process in the same time: API server and load generator too
func measure(tCtx ktesting.TContext, sched *core.Scheduler, nodes *v1.NodeList) error {
	b, ok := tCtx.TB().(*testing.B)
	if !ok {
		return fmt.Errorf("want a benchmark, got %T", tCtx.TB())
	}
	observed := &observer{rackOf: map[string]string{}, racks: map[string]sets.Set[string]{}}
	for _, node := range nodes.Items {
		observed.rackOf[node.Name] = node.Labels[rackLabel]
	}
	factory := sched.Profiles[v1.DefaultSchedulerName].SharedInformerFactory()
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(observed.handler()); err != nil {
		return err
	}
	samples := &bytes.Buffer{}
	if err := pprof.StartCPUProfile(samples); err != nil {
		return err
	}
	b.Cleanup(func() {
		pprof.StopCPUProfile()
		observed.report(b)
		reportHistograms(b)
		if err := reportCPU(b, samples, max(1, len(observed.racks))); err != nil {
			b.Errorf("CPU profile: %v", err)
		}
	})
	return nil
}

// observer sees the measured pods arrive and be bound.
type observer struct {
	rackOf map[string]string // by node

	mu          sync.Mutex
	first, last time.Time
	bound       int
	racks       map[string]sets.Set[string] // by gang
}

func (o *observer) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) {
			if pod, ok := object.(*v1.Pod); ok && pod.Namespace == measuredNamespace {
				o.arrived(pod)
			}
		},
		UpdateFunc: func(before, after any) {
			a, wasPod := before.(*v1.Pod)
			b, isPod := after.(*v1.Pod)
			if wasPod && isPod && b.Namespace == measuredNamespace && a.Spec.NodeName == "" && b.Spec.NodeName != "" {
				o.placed(b)
			}
		},
	}
}

func (o *observer) arrived(pod *v1.Pod) {
	o.mu.Lock()
	if o.first.IsZero() {
		o.first = time.Now()
	}
	o.mu.Unlock()
	if pod.Spec.NodeName != "" { // the informer was faster to see it bound than to tell of its arrival
		o.placed(pod)
	}
}

func (o *observer) placed(pod *v1.Pod) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = time.Now()
	o.bound++
	if group := pod.Spec.SchedulingGroup; group != nil {
		name := *group.PodGroupName
		if o.racks[name] == nil {
			o.racks[name] = sets.New[string]()
		}
		o.racks[name].Insert(o.rackOf[pod.Spec.NodeName])
	}
}

// report also holds the contenders to what was asked of them: a fast answer must be a right one. The harness itself fails
// where a pod is left without a node.
func (o *observer) report(b *testing.B) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bound > 0 {
		b.ReportMetric(float64(o.bound)/o.last.Sub(o.first).Seconds(), "pods/s")
	}
	if !strings.Contains(b.Name(), "/ours/") && !strings.Contains(b.Name(), "/upstream-tas/") {
		return // the others were not asked for a rack, or do not listen
	}
	for name, racks := range o.racks {
		if racks.Len() != 1 {
			b.Errorf("%s is in racks %v, want one", name, sets.List(racks))
		}
	}
}

func reportHistograms(b *testing.B) {
	gangs, err := testutil.GetHistogramVecFromGatherer(legacyregistry.DefaultGatherer, decisionHistogram, nil)
	if err != nil || gangs.GetAggregatedSampleCount() == 0 {
		return // plain pods
	}
	b.ReportMetric(gangs.Average()*1e3, "decision-ms")
	b.ReportMetric(float64(gangs.GetAggregatedSampleCount()), "attempts")
	whole, err := testutil.GetHistogramVecFromGatherer(legacyregistry.DefaultGatherer, attemptHistogram, map[string]string{"result": "scheduled"})
	if err != nil {
		b.Errorf("%s: %v", attemptHistogram, err)
		return
	}
	b.ReportMetric(whole.Average()*1e3, "attempt-ms")
}

func reportCPU(b *testing.B, samples *bytes.Buffer, gangs int) error {
	cpu, err := profile.ParseData(samples.Bytes())
	if err != nil {
		return err
	}
	if folder := flag.Lookup("data-items-dir").Value.String(); folder != "" { // for whoever wants to know where it goes
		name := strings.ReplaceAll(strings.TrimPrefix(b.Name(), "BenchmarkPerfScheduling/"), "/", "-") + ".cpu.pprof"
		if err := os.WriteFile(filepath.Join(folder, name), samples.Bytes(), 0o644); err != nil {
			return err
		}
	}
	spent := cpuOf(cpu)
	for unit, took := range map[string]time.Duration{"sched-cpu-s": spent.scheduler, "bind-cpu-s": spent.binding, "process-cpu-s": spent.process} {
		b.ReportMetric(took.Seconds()/float64(gangs), unit)
	}
	return nil
}

// spent is CPU. The scheduler's is that of samples in whose stack it has a frame: queue, cycles, handlers of its informers,
// ledger. Where that is a binding cycle, which is an API request in the main, it counts as binding instead.
//
// Not in it is what runs for the scheduler on goroutines of others: the decoding of watch events and the HTTP transport,
// which are the same for all contenders, and the garbage collector's workers, which is kind to those that allocate much.
type spent struct{ scheduler, binding, process time.Duration }

// The frames to tell by.
var (
	schedulers    = []string{"k8s.io/kubernetes/pkg/scheduler", "github.com/phalanx-scheduler/phalanx/pkg/"}
	bindingCycles = []string{"k8s.io/kubernetes/pkg/scheduler.(*Scheduler).runBindingCycle"}
)

func cpuOf(cpu *profile.Profile) spent {
	var sum spent
	for _, sample := range cpu.Sample {
		took := time.Duration(sample.Value[len(sample.Value)-1]) // samples/count, cpu/nanoseconds
		sum.process += took
		switch {
		case isIn(sample, bindingCycles):
			sum.binding += took
		case isIn(sample, schedulers):
			sum.scheduler += took
		}
	}
	return sum
}

// isIn is true if a function in the sample's stack begins with one of the names.
func isIn(sample *profile.Sample, names []string) bool {
	return slices.ContainsFunc(sample.Location, func(location *profile.Location) bool {
		return slices.ContainsFunc(location.Line, func(line profile.Line) bool {
			return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(line.Function.Name, name) })
		})
	})
}
