package reporter

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/apiserver"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/publish"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/serve"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// requests are those that a publisher makes until it has renewed the Lease once.
func requests(t *testing.T, api publish.API, node string, report *gpu.Report) (made []string) {
	t.Helper()
	text, err := report.Encode()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p := publish.New(publish.Options{API: api, Node: node, Namespace: namespace, Holder: "reporter-" + node, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Done: func(what publish.Request, err error) {
			assert.NoError(t, err)
			made = append(made, string(what))
			if err != nil || what == publish.Renew {
				cancel()
			}
		}})
	p.Offer(report, text, true)
	p.Run(ctx)
	return made
}

// known is the report of a system, from the testdata of package gpu.
func known(t *testing.T, system string) *gpu.Report {
	t.Helper()
	root, err := cluster.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "pkg/gpu/testdata", system+".json"))
	require.NoError(t, err)
	report, err := gpu.Parse([]byte(strings.TrimSpace(string(text))))
	require.NoError(t, err)
	return &report
}

func TestANodeShowsItsReportAndWhatIsOthersStays(t *testing.T) {
	makeNode(t, "shown")
	api, err := apiserver.New(reporterOn(t, "shown"))
	require.NoError(t, err)
	before := getNode(t, "shown")
	report := known(t, "gb200")
	assert.Equal(t, []string{"get", "write", "lease"}, requests(t, api, "shown", report))

	node := getNode(t, "shown")
	text, err := report.Encode()
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"example.com/note": "theirs", "phalanx.dev/gpu-report": string(text)}, node.Annotations)
	assert.Equal(t, map[string]string{
		"example.com/rack": "r1", "phalanx.dev/rack": "r1", "kubernetes.io/hostname": "shown",
		"phalanx.dev/gpu-product": "NVIDIA-GB200", "phalanx.dev/gpu-link": "mnnvl", "phalanx.dev/gpu-clique": fmt.Sprintf("%s.%d", report.Fabric.UUID, report.Fabric.Clique),
	}, node.Labels)
	assert.Equal(t, before.Spec, node.Spec)
	assert.Equal(t, before.Status.Capacity, node.Status.Capacity)
	require.Len(t, node.Status.Conditions, 2)
	assert.Equal(t, before.Status.Conditions[0], node.Status.Conditions[0])
	assert.Equal(t, "4 of 4 GPUs are usable", node.Status.Conditions[1].Message)
	lease, err := shared.Client.CoordinationV1().Leases(namespace).Get(t.Context(), "shown", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, node.UID, lease.OwnerReferences[0].UID)

	t.Run("one that starts again writes nothing", func(t *testing.T) {
		assert.Equal(t, []string{"get", "lease"}, requests(t, api, "shown", report))
		assert.Equal(t, node.ResourceVersion, getNode(t, "shown").ResourceVersion)
		again, err := shared.Client.CoordinationV1().Leases(namespace).Get(t.Context(), "shown", metav1.GetOptions{})
		require.NoError(t, err)
		assert.NotEqual(t, lease.ResourceVersion, again.ResourceVersion)
	})
	t.Run("labels that are over go, and the condition keeps its time", func(t *testing.T) {
		assert.Equal(t, []string{"get", "write", "lease"}, requests(t, api, "shown", known(t, "l40s")))
		now := getNode(t, "shown")
		assert.NotContains(t, now.Labels, "phalanx.dev/gpu-clique")
		assert.Equal(t, "none", now.Labels["phalanx.dev/gpu-link"])
		assert.Contains(t, now.Labels, "example.com/rack")
		assert.Equal(t, node.Status.Conditions[1].LastTransitionTime, now.Status.Conditions[1].LastTransitionTime)
	})
	t.Run("a kubelet's write does not take it away", func(t *testing.T) {
		assert.NoError(t, patch(t, shared.Client, "shown", "application/strategic-merge-patch+json", `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, "status"))
		assert.Len(t, getNode(t, "shown").Status.Conditions, 2)
	})
}

func TestTheAPIServerSaysWhoMayGetMetrics(t *testing.T) {
	makeNode(t, "served")
	certificate, err := serve.Certificate("", "", "served")
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	api, err := apiserver.New(reporterOn(t, "served"))
	require.NoError(t, err)
	handler := serve.Handler(serve.NewMetrics(), &serve.Health{}, api)
	go func() {
		_ = serve.Run(t.Context(), listener, handler, certificate, slog.New(slog.DiscardHandler))
	}()
	for _, account := range []string{"stranger", "monitor"} {
		_, err := shared.Client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	allowMetrics(t, "monitor")
	stranger, monitor := token(t, "stranger", nil), token(t, "monitor", nil)
	for name, test := range map[string]struct {
		token string
		want  int
	}{
		"nobody is asked who it is":              {"", 401},
		"nor is a token good that somebody made": {stranger[:len(stranger)-4] + "AAAA", 401},
		"an account without the right":           {stranger, 403},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, scrape(t, listener.Addr().String(), test.token))
		})
	}
	eventually(t, func() string { // the right is read from a cache, the answer remembered for a while
		if status := scrape(t, listener.Addr().String(), monitor); status != 200 {
			return fmt.Sprintf("200 for an account with the right, it got %d", status)
		}
		return ""
	})
}

func scrape(t *testing.T, address, token string) int {
	t.Helper()
	status, body := cluster.Ask(t.Context(), address, "/metrics", token)
	assert.Equal(t, status == 200, strings.Contains(body, "go_goroutines"))
	return status
}

// allowMetrics gives an account the right to get them.
func allowMetrics(t *testing.T, account string) {
	t.Helper()
	rbac := shared.Client.RbacV1()
	_, err := rbac.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics"},
		Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "metrics"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: account}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}
