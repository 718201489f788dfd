// Package harness runs our plugins and upstream's in upstream's own benchmark, scheduler_perf: API server, scheduler and load
// generator in one process, etcd beside it.
//
// Purpose: the same measurement for every contender. A benchmark is named after its contender and its workload
// (workloads.yaml), e.g. BenchmarkPerfScheduling/ours/3x1000, and reports the figures of measure_test.go.
// Run one per process, with etcd on the PATH; the driver in test/bench does both.
package harness

import (
	"fmt"
	"os"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	_ "k8s.io/component-base/logs/json/register"
	core "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	configconversion "k8s.io/kubernetes/pkg/scheduler/apis/config/v1"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	perf "k8s.io/kubernetes/test/integration/scheduler_perf"
	"k8s.io/kubernetes/test/utils/client-go/ktesting"
	"k8s.io/utils/clock"

	gangplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gang"
	gpuplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

// patience is for upstream's topology-aware scheduling, which takes longest.
const patience = 20 * time.Minute

func TestMain(m *testing.M) {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func prepare() error {
	for _, s := range []*runtime.Scheme{scheme.Scheme, configconversion.GetPluginArgConversionScheme()} {
		for _, add := range []func(*runtime.Scheme) error{gangplugin.AddToScheme, gpuplugin.AddToScheme} {
			if err := add(s); err != nil {
				return err
			}
		}
	}
	return perf.InitTests()
}

func BenchmarkPerfScheduling(b *testing.B) {
	ours := &edge{fleet: gpuplugin.NewFleet(clock.RealClock{})}
	perf.RunBenchmarkPerfScheduling(b, "workloads.yaml", "bench", frameworkruntime.Registry{
		gangplugin.Name:     ours.gang,
		gangplugin.SortName: ours.sort,
		gpuplugin.Name:      gpuplugin.Factory(ours.fleet),
		roundRobinName:      newRoundRobin,
	},
		perf.WithPodsSchedulingTimeout(patience),
		perf.WithNodeUpdateFn(func(tCtx ktesting.TContext, sched *core.Scheduler, _ *perf.Workload, nodes *v1.NodeList) error {
			// Called between nodes and pods: the scheduler runs and has nothing to do yet.
			ours.wrap(sched)
			return measure(tCtx, sched, nodes)
		}))
}
