package controlplane_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// helperVariable makes the test binary a process that starts a control plane, says where its data is, and stops it when it
// is interrupted. Its value is the folder for programs.
const helperVariable = "PHALANX_TEST_HELPER_BIN_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperVariable); dir != "" {
		if err := runHelper(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func runHelper(binDir string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	plane, err := controlplane.Start(ctx, controlplane.Options{BinDir: binDir, Kwok: true, Controllers: true})
	if err != nil {
		return err
	}
	fmt.Println(plane.DataDir())
	<-ctx.Done()
	return plane.Stop()
}

// patience is how long a condition may take to come true. Conditions here take a second or two on a quiet machine.
const patience = time.Minute

// start starts a control plane that ends with the test, and a client for its administrator.
func start(t *testing.T, options controlplane.Options) (*controlplane.ControlPlane, kubernetes.Interface) {
	t.Helper()
	dir, err := controlplane.EnsureBinaries(t.Context(), os.Stderr)
	require.NoError(t, err)
	options.BinDir = dir
	begin := time.Now()
	plane, err := controlplane.Start(t.Context(), options)
	require.NoError(t, err)
	t.Logf("started in %s", time.Since(begin).Round(time.Millisecond))
	config := plane.AdminConfig()
	httpClient := httpClientFor(t, config)
	t.Cleanup(func() {
		httpClient.CloseIdleConnections()
		begin := time.Now()
		require.NoError(t, plane.Stop())
		t.Logf("stopped in %s", time.Since(begin).Round(time.Millisecond))
	})
	client, err := kubernetes.NewForConfigAndClient(config, httpClient)
	require.NoError(t, err)
	return plane, client
}

// eventually waits until the condition holds. The condition says what is still missing, or "" when nothing is.
func eventually(t testing.TB, missing func(ctx context.Context) (string, error)) {
	t.Helper()
	var last string
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true,
		func(ctx context.Context) (bool, error) {
			var err error
			last, err = missing(ctx)
			return err == nil && last == "", err
		})
	require.NoError(t, err, "still missing: %s", last)
}
