package command

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/internal/fake"
)

// board is an API server that knows one node and its Lease.
type board struct {
	mu    sync.Mutex
	node  v1.Node
	lease coordinationv1.Lease
}

func (b *board) Node(context.Context, string) (*v1.Node, error) {
	node, _ := b.look()
	return node, nil
}

// look returns copies of what it shows.
func (b *board) look() (*v1.Node, *coordinationv1.Lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.node.DeepCopy(), b.lease.DeepCopy()
}

func (b *board) ApplyNodeStatus(_ context.Context, _ string, part map[string]any) error {
	return b.fill(&b.node, part)
}

func (b *board) ApplyLease(_ context.Context, _, _ string, part map[string]any) error {
	return b.fill(&b.lease, part)
}

func (b *board) fill(into any, part map[string]any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	text, err := json.Marshal(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func TestANodeShowsWhatItsGPUsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &board{}
		ctx, cancel := context.WithCancel(t.Context())
		d, log, ended := fake.H100(), &bytes.Buffer{}, make(chan error)
		o := &nodeOptions{name: "n1", namespace: "gpus", period: defaultPeriod}
		go func() {
			ended <- newNode(o, api, slog.New(slog.NewTextHandler(log, nil))).report(ctx, d, reporter.Watchdog{})
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		node, before := api.look()
		want, err := os.ReadFile("../../gpu/testdata/h100.json")
		require.NoError(t, err)
		assert.Equal(t, strings.TrimSpace(string(want)), node.Annotations["phalanx.dev/gpu-report"])

		time.Sleep(time.Minute)
		d.Happen(fake.UUID(3), 79)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		node, after := api.look()
		assert.Equal(t, "7 of 8 GPUs are usable. GPU 3 is in state lost: XID 79", node.Status.Conditions[0].Message)
		assert.Equal(t, "gpus/n1", after.Namespace+"/"+after.Name)
		assert.Equal(t, 50*time.Second, after.Spec.RenewTime.Sub(before.Spec.RenewTime.Time))

		cancel()
		assert.NoError(t, <-ended)
		assert.Empty(t, log.String())
		assert.Equal(t, 1, d.Calls["Shutdown"])
	})
}

func TestADriverThatWasUpgradedEndsTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &board{}
		d, ended := fake.H100(), make(chan error)
		o := &nodeOptions{name: "n1", namespace: "gpus", period: defaultPeriod}
		go func() {
			ended <- newNode(o, api, slog.New(slog.DiscardHandler)).report(t.Context(), d, reporter.Watchdog{})
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		d.Faults = map[string]error{"Count": reporter.Mismatched}
		d.Changed()
		assert.EqualError(t, <-ended, "count of the GPUs: the GPU driver and its library are of different versions")
	})
}
