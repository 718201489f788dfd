package serve_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	certutil "k8s.io/client-go/util/cert"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/serve"
)

// cluster is an API server that knows the tokens "monitor" and "stranger", and allows the first to get /metrics.
func cluster(fault *error) *fake.Clientset {
	client := fake.NewClientset()
	client.PrependReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authentication.TokenReview).DeepCopy()
		token := review.Spec.Token
		review.Status = authentication.TokenReviewStatus{Authenticated: token == "monitor" || token == "stranger",
			User: authentication.UserInfo{Username: token, Groups: []string{"g"}, Extra: map[string]authentication.ExtraValue{"k": {"v"}}}}
		return true, review, *fault
	})
	client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authorization.SubjectAccessReview).DeepCopy()
		s := review.Spec
		isAsked := s.NonResourceAttributes.Path == "/metrics" && s.NonResourceAttributes.Verb == "get" && s.Groups[0] == "g" && s.Extra["k"][0] == "v"
		review.Status.Allowed = isAsked && s.User == "monitor"
		return true, review, *fault
	})
	return client
}

// reviewer is the API server as the clientset plays it.
type reviewer struct{ *fake.Clientset }

func (r reviewer) ReviewToken(ctx context.Context, review *authentication.TokenReview) (*authentication.TokenReview, error) {
	return r.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
}

func (r reviewer) ReviewAccess(ctx context.Context, review *authorization.SubjectAccessReview) (*authorization.SubjectAccessReview, error) {
	return r.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
}

// start serves, and returns the address.
func start(t *testing.T, client *fake.Clientset, metrics *serve.Metrics, h *serve.Health) string {
	certificate, err := serve.Certificate("", "", "n1")
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- serve.Run(ctx, listener, serve.Handler(metrics, h, reviewer{client}), certificate, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	return listener.Addr().String()
}

func get(t *testing.T, url, token string, config *tls.Config) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if token != "" {
		request.Header.Set("Authorization", token)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// trusting is for a certificate that was made at start, and signed by nobody.
var trusting = &tls.Config{InsecureSkipVerify: true}

func TestWhoMayGetMetrics(t *testing.T) {
	var fault error
	client := cluster(&fault)
	address := start(t, client, serve.NewMetrics(), &serve.Health{Limit: time.Minute})
	for name, test := range map[string]struct {
		authorization string
		want          int
	}{
		"nobody":                        {"", 401},
		"a password":                    {"Basic bW9uaXRvcjo=", 401},
		"an empty token":                {"Bearer ", 401},
		"a token that nobody knows":     {"Bearer x", 401},
		"a token without end":           {"Bearer " + strings.Repeat("x", 17<<10), 401},
		"one without the right to":      {"Bearer stranger", 403},
		"one with it":                   {"Bearer monitor", 200},
		"one who writes it differently": {"bearer  monitor", 200},
	} {
		t.Run(name, func(t *testing.T) {
			status, body, err := get(t, "https://"+address+"/metrics", test.authorization, trusting)
			require.NoError(t, err)
			assert.Equal(t, test.want, status)
			assert.Equal(t, test.want == 200, strings.Contains(body, "go_goroutines"))
		})
	}
	before := len(client.Actions())
	_, _, err := get(t, "https://"+address+"/metrics", "Bearer monitor", trusting)
	require.NoError(t, err)
	assert.Len(t, client.Actions(), before, "an answer is good for a while")
	fault = errors.New("connection refused")
	status, _, err := get(t, "https://"+address+"/metrics", "Bearer other", trusting)
	require.NoError(t, err)
	assert.Equal(t, 503, status, "if nobody can be asked")
}

func TestOnlyTodaysTLSIsSpoken(t *testing.T) {
	var fault error
	address := start(t, cluster(&fault), serve.NewMetrics(), &serve.Health{Limit: time.Minute})
	status, body, err := get(t, "http://"+address+"/metrics", "Bearer monitor", nil)
	require.NoError(t, err)
	assert.Equal(t, 400, status)
	assert.NotContains(t, body, "go_goroutines")
	_, _, err = get(t, "https://"+address+"/livez", "", &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	assert.ErrorContains(t, err, "protocol version not supported")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		status, _, err = get(t, "https://"+address+"/livez", "", &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		require.NoError(t, err)
		assert.Equal(t, 200, status)
	}
}

func TestHealth(t *testing.T) {
	var fault error
	client := cluster(&fault)
	synctest.Test(t, func(t *testing.T) {
		h := &serve.Health{Limit: time.Minute}
		handler := serve.Handler(serve.NewMetrics(), h, reviewer{client})
		ask := func(path string) string {
			w := &recorder{header: http.Header{}}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			require.NoError(t, err)
			handler.ServeHTTP(w, request)
			return strings.TrimSpace(fmt.Sprintf("%d %s", max(w.status, 200), w.body.String()))
		}
		assert.Equal(t, "200 ok", ask("/livez"))
		assert.Equal(t, "503 the GPUs have not been read yet", ask("/readyz"))
		h.Turn(reporter.NoLibrary)
		assert.Equal(t, "200 ok", ask("/livez"), "a node without a driver needs no restart")
		assert.Equal(t, "503 the GPU driver's library libnvidia-ml.so.1 was not found", ask("/readyz"))
		h.Turn(nil)
		assert.Equal(t, "200 ok", ask("/readyz"))
		time.Sleep(61 * time.Second)
		assert.Equal(t, "503 the GPUs were read 1m1s ago for the last time", ask("/livez"))
	})
}

type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header            { return r.header }
func (r *recorder) WriteHeader(status int)         { r.status = status }
func (r *recorder) Write(text []byte) (int, error) { return r.body.Write(text) }

func TestMetrics(t *testing.T) {
	var fault error
	metrics := serve.NewMetrics()
	address := start(t, cluster(&fault), metrics, &serve.Health{Limit: time.Minute})
	scrape := func() map[string]bool {
		_, body, err := get(t, "https://"+address+"/metrics", "Bearer monitor", trusting)
		require.NoError(t, err)
		lines := map[string]bool{}
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, "phalanx_reporter_") {
				lines[strings.TrimSpace(line)] = true
			}
		}
		return lines
	}
	metrics.CountXID("GPU-a", health.Node)
	metrics.CountRequest("write", nil)
	metrics.CountRound(errors.New("no"))
	metrics.Measure(&gpu.Report{GPUs: []gpu.GPU{{UUID: "GPU-a", State: gpu.Lost}, {UUID: "GPU-b"}}}, map[string]reporter.Meters{"GPU-b": {
		reporter.MemoryBytes: 80 << 30, reporter.UsedBytes: 1 << 30, reporter.BusyRatio: .5, reporter.Celsius: 41, reporter.Watts: 72.5, reporter.ProcessorHertz: 1.98e9,
		reporter.MemoryHertz: 2.619e9, reporter.Joules: 12.5, reporter.MemoryErrors: 2, reporter.LinkErrors: 3,
	}}, 30*time.Millisecond)
	lines := scrape()
	for _, want := range []string{
		`gpu_xids_total{class="node",uuid="GPU-a"} 1`, `requests_total{request="write",result="success"} 1`, `rounds_total{result="failure"} 1`,
		`round_duration_seconds_bucket{le="0.05"} 1`, `gpu_state{uuid="GPU-a"} 3`, `gpu_state{uuid="GPU-b"} 0`,
		`gpu_memory_bytes{uuid="GPU-b"} 8.589934592e+10`, `gpu_memory_used_bytes{uuid="GPU-b"} 1.073741824e+09`, `gpu_busy_ratio{uuid="GPU-b"} 0.5`,
		`gpu_temperature_celsius{uuid="GPU-b"} 41`, `gpu_power_watts{uuid="GPU-b"} 72.5`, `gpu_processor_clock_hertz{uuid="GPU-b"} 1.98e+09`,
		`gpu_memory_clock_hertz{uuid="GPU-b"} 2.619e+09`, `gpu_energy_joules_total{uuid="GPU-b"} 12.5`,
		`gpu_uncorrected_memory_errors_total{uuid="GPU-b"} 2`, `gpu_nvlink_errors_total{uuid="GPU-b"} 3`,
	} {
		assert.True(t, lines["phalanx_reporter_"+want], want)
	}
	metrics.Measure(&gpu.Report{GPUs: []gpu.GPU{{UUID: "GPU-a"}}}, nil, time.Millisecond)
	for line := range scrape() {
		assert.NotContains(t, line, "GPU-b", "what is gone has no series")
	}
}

func TestACertificateMayBeRenewed(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	renew := func(host string) {
		certPEM, keyPEM, err := certutil.GenerateSelfSignedCertKey(host, nil, nil)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(certFile, certPEM, 0o600))
		require.NoError(t, os.WriteFile(keyFile, keyPEM, 0o600))
	}
	_, err := serve.Certificate(certFile, keyFile, "n1")
	assert.ErrorContains(t, err, "no such file")
	renew("first")
	certificate, err := serve.Certificate(certFile, keyFile, "n1")
	require.NoError(t, err)
	for _, host := range []string{"first", "second"} {
		renew(host)
		got, err := certificate(nil)
		require.NoError(t, err)
		assert.Contains(t, got.Leaf.DNSNames, host)
	}
}
