// Package kubelet proves on real kubelets what the scheduler takes for granted of them: which GPUs pods show that they hold,
// which GPUs they get, what becomes of a GPU that turns bad, and that no pod is refused that was placed.
//
// What is real: the API server, the scheduler as a process under its own rights, and for each node a kubelet. What is not: the
// container runtime is the fake of k8s.io/cri-client, which starts nothing, and the device plugin is the test's own; it chooses as
// NVIDIA's does (see package besteffort) from the GPUs of a report that nobody read off a machine.
//
// A kubelet needs Linux and root. What it would change on the machine whatever its configuration says, it changes in a mount
// namespace of its own (see enter), so many may run side by side and nothing is left of them.
package kubelet

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

var (
	shared  *cluster.Cluster
	program string // the kubelet's
	lacking string // why no kubelet can run here, "" if one can
	refused = refusals{why: map[string]string{}}
)

// roomArgument makes the test binary a kubelet: see enter.
const roomArgument = "run-in-a-room"

// defaultParallel is how many tests run at a time, each with a kubelet: they wait more than they work.
const defaultParallel = "3"

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == roomArgument {
		fmt.Fprintln(os.Stderr, enter(os.Args[2], os.Args[3], os.Args[4:]))
		os.Exit(1)
	}
	flag.Parse()
	isGiven := false
	flag.Visit(func(f *flag.Flag) { isGiven = isGiven || f.Name == "test.parallel" })
	if !isGiven {
		_ = flag.Set("test.parallel", defaultParallel)
	}
	if lacking = whatLacks(); lacking != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(controlplane.Suite(func() int {
		code, err := run(m)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	}))
}

// whatLacks is why no kubelet can run here, "" if one can.
func whatLacks() string {
	switch {
	case runtime.GOOS != "linux":
		return "a kubelet needs Linux, this is " + runtime.GOOS
	case os.Geteuid() != 0:
		return fmt.Sprintf("a kubelet needs root, this is user %d", os.Geteuid())
	}
	dir, err := os.MkdirTemp("", "phalanx-kubelet-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command(os.Args[0], roomArgument, dir, "/bin/true").CombinedOutput(); err != nil {
		return fmt.Sprintf("a kubelet needs a mount namespace of its own, which cannot be had here: %s", strings.TrimSpace(string(out)))
	}
	return ""
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, err := controlplane.EnsureBinaries(ctx, os.Stderr); err != nil {
		return 1, err
	}
	if program, err = controlplane.EnsureKubelet(ctx, os.Stderr); err != nil {
		return 1, err
	}
	if shared, err = cluster.Start(ctx, cluster.Options{}); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, shared.Stop()) }()
	factory := informers.NewSharedInformerFactory(shared.Client, 0)
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(refused.handlers()); err != nil {
		return 1, err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	scheduler, err := shared.StartScheduler(ctx, cluster.SchedulerOptions{V: 2})
	if err != nil {
		return 1, err
	}
	return m.Run(), scheduler.Failure()
}

// refusals are pods that a kubelet did not take, and why. No pod of these tests fails for another reason: none does anything.
type refusals struct {
	mu  sync.Mutex
	why map[string]string // by node and pod
}

func (r *refusals) handlers() cache.ResourceEventHandler {
	see := func(object any) {
		pod, isPod := object.(*v1.Pod)
		if !isPod || pod.Status.Phase != v1.PodFailed {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.why[pod.Spec.NodeName+"/"+pod.Name] = pod.Status.Reason + ": " + pod.Status.Message
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: see, UpdateFunc: func(_, after any) { see(after) }, DeleteFunc: see}
}

// by are those that a node's kubelet refused.
func (r *refusals) by(node string) (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, why := range r.why {
		if strings.HasPrefix(name, node+"/") {
			list = append(list, name+": "+why)
		}
	}
	return list
}
