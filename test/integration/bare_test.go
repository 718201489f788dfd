package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// On a cluster where nobody has heard of PodGroups, with a scheduler that was given a kubeconfig and nothing else. The parts
// follow each other.
func TestOnAClusterWithoutPodGroups(t *testing.T) {
	t.Parallel()
	c := startCluster(t, cluster.Options{WithoutCRDs: true, Options: controlplane.Options{Kwok: true, Controllers: true}})
	program, err := cluster.BuildScheduler(t.Context())
	require.NoError(t, err)
	ours, err := c.StartProcess("phalanx-scheduler", program, "--kubeconfig="+adminKubeconfig(t, c, "alone"), "--secure-port="+freePort(t))
	require.NoError(t, err)

	t.Run("a kubeconfig alone serves the profile phalanx under a lease of our own", func(t *testing.T) {
		w := newWorld(t, c, 1)
		w.create(w.pod(podSpec{name: "ours", gpus: 8}))
		w.create(w.pod(podSpec{name: "theirs", scheduler: "default-scheduler"}), w.pod(podSpec{name: "volcanos", scheduler: "volcano"}))
		w.waitRunning("ours", 1)
		require.Zero(t, w.bound(t.Context(), "theirs")+w.bound(t.Context(), "volcanos"))
		leases := c.Client.CoordinationV1().Leases(metav1.NamespaceSystem)
		lease, err := leases.Get(t.Context(), "phalanx-scheduler", metav1.GetOptions{})
		require.NoError(t, err)
		require.NotEmpty(t, ptr.Deref(lease.Spec.HolderIdentity, ""))
		_, err = leases.Get(t.Context(), "kube-scheduler", metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err), "%v", err)
	})
	t.Run("plain pods schedule as under kube-scheduler", func(t *testing.T) { testPlainPods(t, c) })
	t.Run("dialects come and go", func(t *testing.T) { testDialectsComeAndGo(t, c) })

	require.NoError(t, inspect(&cluster.Scheduler{Process: ours}))
}

func testDialectsComeAndGo(t *testing.T, c *cluster.Cluster) {
	w := newWorld(t, c, 8)
	w.members(volcano, "early", 0, 2, 8)
	w.waitSentence("early", fmt.Sprintf("GangNotFound: no PodGroup %s/early of dialect volcano exists", w.ns))
	w.create(w.pod(podSpec{name: "plain", gpus: 8}))
	w.waitRunning("plain", 1)

	require.NoError(t, c.Kustomize(t.Context(), "manifests/crds"))
	w.awaitServed(volcanoGroups, true)
	w.awaitServed(coschedulingGroups, true)
	w.podGroup(volcanoGroups, "early", minMember(2))
	w.waitStatus(volcanoGroups, "early", map[string]any{"phase": "Running", "running": 2})
	w.podGroup(coschedulingGroups, "stays", minMember(3))
	w.members(coscheduling, "stays", 0, 2, 8)
	w.waitSentence("stays", "GangIncomplete: 2 of 3 members exist")

	require.NoError(t, c.Dynamic.Resource(definitions).Delete(t.Context(), "podgroups.scheduling.volcano.sh", metav1.DeleteOptions{}))
	w.awaitServed(volcanoGroups, false)
	w.members(coscheduling, "stays", 2, 3, 8)
	w.waitStatus(coschedulingGroups, "stays", map[string]any{"phase": "Running", "running": 3})
	w.waitRunning("early", 2)
	w.members(volcano, "early", 2, 3, 8)
	w.eventually(func(ctx context.Context) string {
		p, err := c.Client.CoreV1().Pods(w.ns).Get(ctx, "early-2", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if cond := condition(p, v1.PodScheduled); cond == nil || cond.Message != fmt.Sprintf("GangNotFound: no PodGroup %s/early of dialect volcano exists", w.ns) {
			return fmt.Sprintf("a late member to wait for its group: it shows %v", cond)
		}
		return ""
	})

	require.NoError(t, c.Kustomize(t.Context(), "manifests/crds"))
	w.awaitServed(volcanoGroups, true)
	w.podGroup(volcanoGroups, "early", minMember(2))
	w.waitStatus(volcanoGroups, "early", map[string]any{"phase": "Running", "running": 3})
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// awaitServed waits until the API server serves a resource, or ceases to.
func (w *world) awaitServed(resource schema.GroupVersionResource, isServed bool) {
	w.t.Helper()
	w.eventually(func(ctx context.Context) string {
		_, err := w.Dynamic.Resource(resource).Namespace(w.ns).List(ctx, metav1.ListOptions{Limit: 1})
		if apierrors.IsNotFound(err) == isServed {
			return fmt.Sprintf("%s served: %t (%v)", resource, isServed, err)
		}
		return ""
	})
}

// startCluster starts a cluster of the test's own.
func startCluster(t *testing.T, options cluster.Options) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		if logs := os.Getenv("KEEP_LOGS"); t.Failed() && logs != "" {
			if raw, err := os.ReadFile(c.LogPath("phalanx-scheduler")); err == nil {
				_ = os.WriteFile(logs+"-"+filepath.Base(t.Name()), raw, 0o644)
			}
		}
		_ = c.Stop()
	})
	return c
}

// freePort is a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}
