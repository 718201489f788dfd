// Package security proves what SECURITY.md promises, and that it promises nothing that is not proved.
//
// A rehearsal (rehearsal_test.go) leads the scheduler's binary and the reporter's packages through all that they do, under their
// ServiceAccounts, on an API server that enforces RBAC and writes down every request. Tests then read what was written: in the audit log, in
// logs, events and metrics. Other tests look at the repository's own files. docs/promises.yaml says which test is whose.
package security

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	authentication "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// patience is how long anything may take that takes a moment.
const patience = 60 * time.Second

// started are the clusters of tests, which outlive the test that needed them first.
var started []*cluster.Cluster

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(controlplane.Suite(func() int { return run(m) }))
}

func run(m *testing.M) int {
	code := m.Run()
	for _, c := range started {
		if err := c.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// startCluster starts one that all tests may use.
func startCluster(t *testing.T, options cluster.Options) *cluster.Cluster {
	t.Helper()
	options.Progress = os.Stderr
	c, err := cluster.Start(t.Context(), options)
	require.NoError(t, err)
	started = append(started, c)
	return c
}

// eventually waits until check has nothing to say.
func eventually(t *testing.T, check func(context.Context) string) {
	t.Helper()
	said := ""
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		now := check(ctx)
		if !strings.Contains(now, "context deadline") { // what is asked at the end tells nothing
			said = now
		}
		return now == "", nil
	})
	require.NoError(t, err, "still missing: %s", said)
}

// tokenOf is one of a ServiceAccount.
func tokenOf(t *testing.T, c *cluster.Cluster, namespace, account string) string {
	t.Helper()
	made, err := c.Client.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), account, &authentication.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	return made.Status.Token
}
