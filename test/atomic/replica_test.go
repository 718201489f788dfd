package atomic

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

// takeover bounds the time until a replica has noticed that the leader is gone, by the lease's 15 s, and has placed a gang.
const takeover = time.Minute

// TestAReplicaTakesOver runs two replicas as the manifests do, under one lease that neither may create, and kills the one
// that leads.
func TestAReplicaTakesOver(t *testing.T) {
	_, err := controlplane.EnsureBinaries(t.Context(), os.Stderr)
	require.NoError(t, err)
	c, err := cluster.Start(t.Context(), cluster.Options{Options: controlplane.Options{Kwok: true}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Stop()) })
	s := &scene{t: t, Cluster: c, judge: oracle.New(oracle.DefaultGrace)}
	s.addNodes(4)

	replicas := map[string]*cluster.Scheduler{}
	for _, name := range []string{"replica-a", "replica-b"} {
		replicas[name], err = c.StartScheduler(t.Context(), cluster.SchedulerOptions{Name: name, Elect: true})
		require.NoError(t, err)
		if name == "replica-a" {
			s.runGang("first") // so that it is this one that leads
		}
	}
	require.Equal(t, 1, s.leaseChanges())
	require.NoError(t, replicas["replica-a"].Kill())
	s.runGang("second")
	require.Equal(t, 2, s.leaseChanges())
	require.NoError(t, replicas["replica-b"].Failure())
}

// runGang submits a gang and waits until all its members have a node.
func (s *scene) runGang(name string) {
	s.t.Helper()
	g := gang{name: name, members: 2, gpus: 8, runFor: time.Hour, dialect: oracle.Volcano}
	require.NoError(s.t, s.createGroup(s.t.Context(), g))
	for i := range g.members {
		_, err := s.Client.CoreV1().Pods("default").Create(s.t.Context(), s.pod(g, i), metav1.CreateOptions{})
		require.NoError(s.t, err)
	}
	var bound int
	err := wait.PollUntilContextTimeout(s.t.Context(), 100*time.Millisecond, takeover, true, func(ctx context.Context) (bool, error) {
		list, err := s.Client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "gang=" + name})
		bound = 0
		for _, p := range list.Items {
			if p.Spec.NodeName != "" {
				bound++
			}
		}
		return bound == g.members, err
	})
	require.NoError(s.t, err, "%d of %d members of %s are bound", bound, g.members, name)
}

// leaseChanges returns how many replicas have led so far.
func (s *scene) leaseChanges() int {
	s.t.Helper()
	lease, err := s.Client.CoordinationV1().Leases(cluster.Namespace).Get(s.t.Context(), cluster.ServiceAccount, metav1.GetOptions{})
	require.NoError(s.t, err)
	require.NotNil(s.t, lease.Spec.LeaseTransitions)
	_, err = s.Client.CoordinationV1().Leases(metav1.NamespaceSystem).Get(s.t.Context(), "kube-scheduler", metav1.GetOptions{})
	require.Error(s.t, err, "the default scheduler's lease is not ours to take")
	return int(*lease.Spec.LeaseTransitions)
}
