package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// isLong is for by hand: faults last as long as they may in earnest, and leases are those of the manifests.
var isLong = flag.Bool("long", false, "faults last as long as they may in earnest")

// shared is the cluster that one round after the other is played on.
var shared *cluster.Cluster

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(controlplane.Suite(func() int {
		code, err := run(m)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	}))
}

// schedulerUser is the ServiceAccount of the manifests.
const schedulerUser = "system:serviceaccount:phalanx-system:phalanx-scheduler"

func run(m *testing.M) (int, error) {
	ctx := context.Background()
	if _, err := controlplane.EnsureBinaries(ctx, os.Stderr); err != nil {
		return 1, err
	}
	if _, err := cluster.BuildScheduler(ctx); err != nil {
		return 1, err
	}
	folder, err := os.MkdirTemp("", "phalanx-chaos-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(folder)
	policy := filepath.Join(folder, "policy.yaml")
	if err := os.WriteFile(policy, fmt.Appendf(nil, `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: [%[1]q], verbs: [create], resources: [{group: "", resources: [pods/binding]}]}
- {level: Request, users: [%[1]q], verbs: [update], resources: [{group: coordination.k8s.io, resources: [leases]}]}
- {level: None}
`, schedulerUser), 0o600); err != nil {
		return 1, err
	}
	shared, err = cluster.Start(ctx, cluster.Options{Options: controlplane.Options{
		Kwok: true, Controllers: true, NativePodGroups: true, AuditPolicyFile: policy,
		// Nobody is to collect what a round has not done with: it plays the owner of its pods.
		ControllerManagerArgs: map[string][]string{"controllers": {"serviceaccount-controller,namespace-controller,podgroup-protection-controller"}},
	}})
	if err != nil {
		return 1, err
	}
	defer func() { _ = shared.Stop() }()
	return m.Run(), nil
}
