package security

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authentication "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/apiserver"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/publish"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/serve"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

const reporterNamespace = "phalanx-reporter"

// playReporter has a node report GPUs and be asked for its metrics: the parts of the reporter that talk to the API server, with the
// token that its pod would get. The binary would want a GPU.
func (r *record) playReporter(t *testing.T, node string) {
	t.Helper()
	api, err := apiserver.New(reporterConfig(t, r.Cluster, node))
	require.NoError(t, err)
	publishReport(t, api, node)

	certificate, err := serve.Certificate("", "", node)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- serve.Run(ctx, listener, serve.Handler(serve.NewMetrics(), &serve.Health{}, api), certificate, slog.New(slog.DiscardHandler))
	}()
	assert.Equal(t, http.StatusOK, get(t, "https://"+listener.Addr().String()+"/metrics", tokenOf(t, r.Cluster, "default", "monitor")).status)
	cancel()
	require.NoError(t, <-served)
}

// publishReport writes the report of a machine with 8 H100s and renews the Lease once.
func publishReport(t *testing.T, api publish.API, node string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "pkg/gpu/testdata/h100.json"))
	require.NoError(t, err)
	report, err := gpu.Parse([]byte(strings.TrimSpace(string(text))))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p := publish.New(publish.Options{API: api, Node: node, Namespace: reporterNamespace, Holder: "reporter", Log: slog.New(slog.DiscardHandler),
		Done: func(what publish.Request, err error) {
			assert.NoError(t, err)
			if err != nil || what == publish.Renew {
				cancel()
			}
		}})
	p.Offer(&report, []byte(strings.TrimSpace(string(text))), true)
	p.Run(ctx)
}

// reporterConfig makes the DaemonSet's pod for a node, as its controller would, and returns how it reaches the API server.
func reporterConfig(t *testing.T, c *cluster.Cluster, node string) *rest.Config {
	t.Helper()
	set, err := c.Client.AppsV1().DaemonSets(reporterNamespace).Get(t.Context(), "phalanx-reporter", metav1.GetOptions{})
	require.NoError(t, err)
	pod := &v1.Pod{ObjectMeta: set.Spec.Template.ObjectMeta, Spec: set.Spec.Template.Spec}
	pod.Name, pod.Spec.NodeName = "reporter-"+node, node
	pod, err = c.Client.CoreV1().Pods(reporterNamespace).Create(t.Context(), pod, metav1.CreateOptions{})
	require.NoError(t, err)
	request := &authentication.TokenRequest{Spec: authentication.TokenRequestSpec{
		BoundObjectRef: &authentication.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}}}
	made, err := c.Client.CoreV1().ServiceAccounts(reporterNamespace).CreateToken(t.Context(), "phalanx-reporter", request, metav1.CreateOptions{})
	require.NoError(t, err)
	admin := c.AdminConfig()
	return &rest.Config{Host: admin.Host, TLSClientConfig: rest.TLSClientConfig{CAData: admin.CAData}, BearerToken: made.Status.Token}
}
