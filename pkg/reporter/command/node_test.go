package command

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientfake "k8s.io/client-go/kubernetes/fake"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/internal/fake"
)

func TestANodeShowsWhatItsGPUsAre(t *testing.T) {
	client := clientfake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d, log, ended := fake.H100(), &bytes.Buffer{}, make(chan error)
		o := &nodeOptions{name: "n1", namespace: "gpus", period: defaultPeriod}
		go func() {
			ended <- newNode(o, clients{nodes: client.CoreV1(), leases: client.CoordinationV1()}, slog.New(slog.NewTextHandler(log, nil))).report(ctx, d, reporter.Watchdog{})
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		node, err := client.CoreV1().Nodes().Get(ctx, "n1", metav1.GetOptions{})
		require.NoError(t, err)
		want, err := os.ReadFile("../../gpu/testdata/h100.json")
		require.NoError(t, err)
		assert.Equal(t, strings.TrimSpace(string(want)), node.Annotations["phalanx.dev/gpu-report"])
		before, err := client.CoordinationV1().Leases("gpus").Get(ctx, "n1", metav1.GetOptions{})
		require.NoError(t, err)

		time.Sleep(time.Minute)
		d.Happen(fake.UUID(3), 79)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		node, err = client.CoreV1().Nodes().Get(ctx, "n1", metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, "7 of 8 GPUs are usable. GPU 3 is in state lost: XID 79", node.Status.Conditions[0].Message)
		after, err := client.CoordinationV1().Leases("gpus").Get(ctx, "n1", metav1.GetOptions{})
		require.NoError(t, err)
		assert.Equal(t, 50*time.Second, after.Spec.RenewTime.Sub(before.Spec.RenewTime.Time))

		cancel()
		assert.NoError(t, <-ended)
		assert.Empty(t, log.String())
		assert.Equal(t, 1, d.Calls["Shutdown"])
	})
}

func TestADriverThatWasUpgradedEndsTheProgram(t *testing.T) {
	client := clientfake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	synctest.Test(t, func(t *testing.T) {
		d, ended := fake.H100(), make(chan error)
		o := &nodeOptions{name: "n1", namespace: "gpus", period: defaultPeriod}
		go func() {
			ended <- newNode(o, clients{nodes: client.CoreV1(), leases: client.CoordinationV1()}, slog.New(slog.DiscardHandler)).report(t.Context(), d, reporter.Watchdog{})
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		d.Faults = map[string]error{"Count": reporter.Mismatched}
		assert.EqualError(t, <-ended, "count of the GPUs: the GPU driver and its library are of different versions")
	})
}
