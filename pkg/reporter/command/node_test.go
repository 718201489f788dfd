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
	mu     sync.Mutex
	node   v1.Node
	lease  coordinationv1.Lease
	writes int // of the node
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
	b.mu.Lock()
	b.writes++
	b.mu.Unlock()
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
		n := newNode(o, api, slog.New(slog.NewTextHandler(log, nil)))
		assert.Regexp(t, "^[0-9a-f-]{36}$", n.boot, "that of this machine")
		n.boot = ""
		go func() { ended <- n.report(ctx, d, reporter.Watchdog{}) }()
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

// An XID is told once. A reporter that starts after it knows of it from the node, and of what made up for it from the GPU.
func TestWhatAReporterSaidBeforeItWasRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &board{}
		// live has a reporter live for a while on the same node, with this driver.
		live := func(d *fake.Driver, boot string, do func()) string {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			n := newNode(&nodeOptions{name: "n1", namespace: "gpus", period: defaultPeriod}, api, slog.New(slog.DiscardHandler))
			n.boot = boot
			go func() { ended <- n.report(ctx, d, reporter.Watchdog{}) }()
			time.Sleep(time.Minute)
			do()
			synctest.Wait()
			cancel()
			require.NoError(t, <-ended)
			node, _ := api.look()
			return node.Status.Conditions[0].Message
		}
		const monday, tuesday = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
		const well, ill = "8 of 8 GPUs are usable", "7 of 8 GPUs are usable. GPU 3 is in state drain: XID 48"
		nothing, hours := func() {}, func() { time.Sleep(6 * time.Hour) }

		d := fake.H100()
		assert.Equal(t, ill, live(d, monday, func() {
			d.Happen(fake.UUID(3), 48)
			time.Sleep(2 * time.Second)
		}))
		writes := api.writes
		assert.Equal(t, ill, live(fake.H100(), monday, hours))
		assert.Equal(t, ill, live(fake.H100(), monday, nothing))
		assert.Equal(t, writes, api.writes, "nothing has changed")

		reset := fake.H100()
		reset.GPUs[3].Energy = 5
		assert.Equal(t, ill, live(reset, monday, nothing), "the clean period is not over")
		assert.Equal(t, well, live(reset, monday, hours), "also if it is interrupted")

		live(d, monday, func() {
			d.Happen(fake.UUID(3), 48)
			time.Sleep(2 * time.Minute)
		})
		assert.Equal(t, well, live(fake.H100(), tuesday, hours), "a reboot makes up for all")
	})
}

func TestWhatMovesIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, d := &board{}, fake.H100()
		for _, g := range d.GPUs {
			step := 0
			g.Before = func(call string) {
				if call != "Memory" { // the first of a round that moves
					return
				}
				step++
				g.Heat, g.Power, g.Busy, g.Energy = 60+step%7, 650_000+step%13, 40+step%20, uint64(7_000_000*step)
				g.Speed.ProcessorMHz, g.LinkErrorCount, g.Bus.Generation = 1900+step%5*15, uint64(step), 5
				// About a sixteenth of all memory, less being free at first.
				g.MemoryUse.FreeMiB = g.MemoryUse.TotalMiB*7/8 - 40 + 20*((step-1)%5)
			}
		}
		o := &nodeOptions{name: "n1", namespace: "gpus", period: defaultPeriod}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- newNode(o, api, slog.New(slog.DiscardHandler)).report(ctx, d, reporter.Watchdog{})
		}()
		time.Sleep(6*time.Hour - time.Second)
		cancel()
		require.NoError(t, <-ended)
		assert.Equal(t, 6*360, d.Calls["Count"])
		assert.Equal(t, 1, api.writes)
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
