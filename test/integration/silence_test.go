package integration

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	gpureport "github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// A report goes stale here after four seconds instead of three minutes; the rest is as the manifests have it.
const impatientConfig = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: phalanx
  pluginConfig:
  - name: GPU
    args: {staleAfterSeconds: 4}
`

const (
	littleMemory = "1 node(s) had a GPU with less free memory than wished"
	// renewal is how often those who live say so.
	renewal = time.Second
)

// choir renews the Leases of reporters, but for those who are silent.
type choir struct {
	mu     sync.Mutex
	voices map[string]bool
}

// sing renews them until the test is over.
func (c *choir) sing(w *world) {
	ctx, cancel := context.WithCancel(context.Background())
	var singing sync.WaitGroup
	singing.Go(func() {
		tick := time.NewTicker(renewal)
		defer tick.Stop()
		for {
			c.renew(ctx, w)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	w.t.Cleanup(func() {
		cancel()
		singing.Wait()
	})
}

func (c *choir) renew(ctx context.Context, w *world) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.voices {
		lease := fmt.Appendf(nil, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":%q},"spec":{"renewTime":%q}}`,
			name, time.Now().UTC().Format(metav1.RFC3339Micro))
		_, err := w.Client.CoordinationV1().Leases("phalanx-reporter").Patch(ctx, name, types.ApplyPatchType, lease, metav1.PatchOptions{FieldManager: "choir"})
		if err != nil && ctx.Err() == nil {
			w.t.Error(err)
		}
	}
}

// hush silences some for good.
func (c *choir) hush(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		delete(c.voices, name)
	}
}

// free is what is free of all GPUs.
func free(of func(gpureport.GPU) int) func(*gpureport.Report) {
	return func(r *gpureport.Report) {
		for i := range r.GPUs {
			r.GPUs[i].FreeMiB = of(r.GPUs[i])
		}
	}
}

func TestReportersFallSilent(t *testing.T) {
	t.Parallel()
	c := startCluster(t, cluster.Options{Options: controlplane.Options{Kwok: true}})
	w := newWorld(t, c, 0)
	choir := &choir{voices: map[string]bool{}}
	add := func(name string, changes ...func(*gpureport.Report)) {
		w.addNodes(1, reporting(h100s(t, changes...)), func(n *v1.Node) { n.Name, n.Labels[v1.LabelHostname] = name, name })
		choir.voices[name] = true
	}
	add("leaky", free(func(gpureport.GPU) int { return 0 }))
	add("lost", lost)
	add("quiet")
	add("empty", free(func(g gpureport.GPU) int { return g.MemoryMiB })) // more than what of an idle GPU is called free
	var loud []string
	for i := range 16 {
		loud = append(loud, fmt.Sprint("loud-", i))
		add(loud[i])
	}
	s, err := c.StartScheduler(t.Context(), cluster.SchedulerOptions{Config: impatientConfig, V: 3})
	require.NoError(t, err)
	choir.sing(w)
	ask := func(name string, gpus int64, annotations map[string]string, nodes ...string) {
		w.create(w.pod(podSpec{name: name, gpus: gpus, annotations: annotations, mutate: func(p *v1.Pod) {
			p.Spec.NodeSelector = nil
			p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{
				NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: nodes}}}},
			}}}
		}}))
	}
	nodeOf := func(name string) string { return w.pods(t.Context(), name)[0].Spec.NodeName }
	memory := map[string]string{gang.GPUMemoryKey: "40Gi"}

	ask("memory", 1, memory, "leaky")
	ask("any", 1, nil, "lost")
	w.waitSaying("memory", littleMemory)
	w.waitSaying("any", unhealthyNode)

	choir.hush("leaky", "lost", "quiet", "empty") // a fifth of all, and no more
	w.waitRunning("memory", 1)
	ask("linked", 2, map[string]string{gang.GPULinkKey: "required:nvlink"}, "leaky")
	w.waitRunning("linked", 1)
	ask("other-product", 1, map[string]string{gang.GPUProductKey: "B200"}, "leaky")
	w.waitSaying("other-product", "1 node(s) had a GPU of another product than wished")
	ask("any-more", 1, nil, "lost")
	w.waitSaying("any-more", unhealthyNode) // what was lost stays so
	for i := range 4 {
		name := fmt.Sprint("whole-", i)
		ask(name, 8, nil, "quiet", loud[0], loud[1], loud[2], loud[3])
		w.waitRunning(name, 1)
		require.NotEqual(t, "quiet", nodeOf(name), "a node whose reporter lives is a little better")
	}
	ask("late", 8, nil, "quiet", loud[0], loud[1], loud[2], loud[3])
	w.waitRunning("late", 1)
	require.Equal(t, "quiet", nodeOf("late"), "a dead reporter takes no node out")

	// More than a fifth, and it is nobody's reporter that is at fault: all reports count again.
	all := map[string]string{gang.GPUMemoryKey: "81559Mi"}
	ask("huge", 1, all, "empty")
	w.waitSaying("huge", littleMemory)
	choir.hush(loud...)
	w.waitRunning("huge", 1)
	ask("memory-again", 1, memory, "leaky")
	w.waitSaying("memory-again", littleMemory)
	require.NoError(t, inspect(s))
}
