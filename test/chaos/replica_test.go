package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/chaos/proxy"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// lease is how leaders are elected.
type lease struct{ duration, renew, retry time.Duration }

// leases are those of the manifests, or shorter ones for who has no patience.
func leases() lease {
	if *isLong {
		return lease{15 * time.Second, 10 * time.Second, 2 * time.Second}
	}
	return lease{4 * time.Second, 2500 * time.Millisecond, 400 * time.Millisecond}
}

// takeover is how long it takes at most until a leader that does nothing any more is followed: see [Grace].
func (l lease) takeover() time.Duration {
	const jitter = 2.2
	return l.duration + time.Duration(2*jitter*float64(l.retry))
}

func config() string {
	l := leases()
	return fmt.Sprintf(`
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection:
  resourceName: %s
  resourceNamespace: %s
  leaseDuration: %s
  renewDeadline: %s
  retryPeriod: %s
profiles:
- schedulerName: phalanx
  pluginConfig:
  - name: Gang
    args:
      topology:
        levels: [{name: rack, nodeLabel: %s}]
  - name: GPU
    args: {staleAfterSeconds: 2, maxStalePercent: 100}
`, cluster.ServiceAccount, cluster.Namespace, l.duration, l.renew, l.retry, rackKey)
}

// replica is a scheduler that is started again whenever it ends, with the same token and by way of the same proxy.
type replica struct {
	name  string
	proxy *proxy.Proxy

	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	runs    *cluster.Scheduler // nil while it does not
	starts  int
	failure error // why the last start failed
}

// startReplica starts one that takes part in the election, or leads at once where nobody is elected, and returns when it is ready.
func startReplica(t *testing.T, name string, seed uint64, elect bool) *replica {
	t.Helper()
	p, err := proxy.Start(shared.AdminConfig(), seed)
	require.NoError(t, err)
	direct, err := shared.KubeconfigForServiceAccount(t.Context(), cluster.Namespace, cluster.ServiceAccount)
	require.NoError(t, err)
	kubeconfig, err := p.Kubeconfig(direct)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r := &replica{name: name, proxy: p, stop: cancel}
	r.done.Go(func() {
		r.keepRunning(ctx, cluster.SchedulerOptions{Name: name, Config: config(), Elect: elect, Kubeconfig: kubeconfig, V: 2})
	})
	t.Cleanup(func() {
		cancel()
		r.done.Wait()
		p.Stop()
	})
	isReady := assert.Eventually(t, func() bool { return r.scheduler() != nil }, patience, 50*time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	require.True(t, isReady, "%s does not start: %v", name, r.failure)
	return r
}

// keepRunning plays the kubelet.
func (r *replica) keepRunning(ctx context.Context, options cluster.SchedulerOptions) {
	for ctx.Err() == nil {
		s, err := shared.StartScheduler(ctx, options)
		r.mu.Lock()
		r.runs, r.failure = s, err
		r.starts++
		r.mu.Unlock()
		if err != nil {
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-s.Done():
		case <-ctx.Done():
			_ = errors.Join(s.Thaw(), s.Kill())
		}
		r.mu.Lock()
		r.runs = nil
		r.mu.Unlock()
	}
}

// scheduler is the process, nil while none is ready.
func (r *replica) scheduler() *cluster.Scheduler {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.runs
}

// crashes is how often it had to be started again.
func (r *replica) crashes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starts - 1
}
