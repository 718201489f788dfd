package security

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter/apiserver"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// deployedArgs are the flags that the Deployment gives, but for the file that cluster.StartScheduler names itself.
func deployedArgs(t *testing.T) []string {
	t.Helper()
	for _, object := range render(t, "manifests/base") {
		if object.kind == "Deployment" {
			args := parse[appsv1.Deployment](t, object.text).Spec.Template.Spec.Containers[0].Args
			return slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--config=") })
		}
	}
	t.Fatal("there is no Deployment")
	return nil
}

// answer is what an endpoint says.
type answer struct {
	status int
	body   string
	err    error
}

// get asks an endpoint. Its certificate is made at start and signed by nobody.
func get(t *testing.T, url, token string, options ...func(*tls.Config)) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	config := &tls.Config{InsecureSkipVerify: true}
	for _, option := range options {
		option(config)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{status: response.StatusCode, body: string(body)}
}

// scrapeMetrics returns the scheduler's metrics, as who may read them.
func (r *record) scrapeMetrics(t *testing.T) string {
	t.Helper()
	a := get(t, "https://"+r.scheduler.Address+"/metrics", tokenOf(t, r.Cluster, "default", "monitor"))
	require.NoError(t, a.err)
	require.Equal(t, http.StatusOK, a.status, a.body)
	return a.body
}

func TestTheSchedulersEndpointsAreForWhomTheClusterAllows(t *testing.T) {
	r := rehearse(t)
	address := "https://" + r.scheduler.Address
	monitor, stranger := tokenOf(t, r.Cluster, "default", "monitor"), tokenOf(t, r.Cluster, "default", "stranger")
	for name, test := range map[string]struct {
		path, token string
		want        int
	}{
		"nobody gets no metrics":                  {"/metrics", "", http.StatusForbidden},
		"nor does who made a token":               {"/metrics", stranger[:len(stranger)-4] + "AAAA", http.StatusUnauthorized},
		"nor an account without the right":        {"/metrics", stranger, http.StatusForbidden},
		"an account with the right does":          {"/metrics", monitor, http.StatusOK},
		"a right to one path is no right to all":  {"/configz", monitor, http.StatusForbidden},
		"nobody gets the configuration":           {"/configz", "", http.StatusForbidden},
		"a kubelet is told whether it lives":      {"/livez", "", http.StatusOK},
		"there is no profile, not even to ask of": {"/debug/pprof/heap", monitor, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			a := get(t, address+test.path, test.token)
			require.NoError(t, a.err)
			assert.Equal(t, test.want, a.status)
			assert.Equal(t, test.want == http.StatusOK && test.path == "/metrics", strings.Contains(a.body, "scheduler_"))
		})
	}
	t.Run("profiling is off for those who may do everything", func(t *testing.T) {
		assert.Equal(t, http.StatusNotFound, get(t, address+"/debug/pprof/heap", "", asAdmin(t, r.Cluster)).status)
		assert.Equal(t, http.StatusOK, get(t, address+"/configz", "", asAdmin(t, r.Cluster)).status)
	})
}

// asAdmin shows a client certificate that may do everything.
func asAdmin(t *testing.T, c *cluster.Cluster) func(*tls.Config) {
	t.Helper()
	admin := c.AdminConfig()
	certificate, err := tls.X509KeyPair(admin.CertData, admin.KeyData)
	require.NoError(t, err)
	return func(config *tls.Config) { config.Certificates = []tls.Certificate{certificate} }
}

func TestTheSchedulerSpeaksTodaysTLSAlone(t *testing.T) {
	r := rehearse(t)
	plain := get(t, "http://"+r.scheduler.Address+"/livez", "")
	require.NoError(t, plain.err)
	assert.Equal(t, http.StatusBadRequest, plain.status)
	assert.Contains(t, plain.body, "Client sent an HTTP request to an HTTPS server")
	for version, isSpoken := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			a := get(t, "https://"+r.scheduler.Address+"/livez", "", func(config *tls.Config) { config.MinVersion, config.MaxVersion = version, version })
			if isSpoken {
				assert.NoError(t, a.err)
				return
			}
			assert.ErrorContains(t, a.err, "protocol version not supported")
		})
	}
}

// TestTheSchedulerEndsIfItCannotAskWhoAsks starts it with an account that may not read the authority of client certificates. It could
// serve without, and would then know callers by less than the cluster does.
func TestTheSchedulerEndsIfItCannotAskWhoAsks(t *testing.T) {
	r := rehearse(t)
	nobody, err := r.Kubeconfig("nobody")
	require.NoError(t, err)
	path, err := r.WriteKubeconfig("nobody", nobody)
	require.NoError(t, err)
	ours, err := r.KubeconfigForServiceAccount(t.Context(), cluster.Namespace, cluster.ServiceAccount)
	require.NoError(t, err)
	process := r.startBare(t, "asks-nobody", ours, slices.Concat(deployedArgs(t), []string{"--authentication-kubeconfig=" + path})...)
	select {
	case <-process.Done():
	case <-time.After(patience):
		t.Error("it serves all the same")
		require.NoError(t, process.Kill())
	}
	assert.ErrorContains(t, process.Failure(), "extension-apiserver-authentication")
}

// startBare starts the scheduler with this kubeconfig and these flags.
func (r *record) startBare(t *testing.T, name string, kubeconfig []byte, args ...string) *controlplane.Process {
	t.Helper()
	program, err := cluster.BuildScheduler(t.Context())
	require.NoError(t, err)
	path, err := r.WriteKubeconfig(name+"-own", kubeconfig)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	process, err := r.StartProcess(name, program, slices.Concat([]string{"--kubeconfig=" + path, "--bind-address=127.0.0.1", "--secure-port=" + port, "--leader-elect=false"}, args)...)
	require.NoError(t, err)
	return process
}

// TestAnAPIServerOfAForeignAuthorityIsNotTalkedTo gives both the certificate of an authority that did not sign the API server's.
func TestAnAPIServerOfAForeignAuthorityIsNotTalkedTo(t *testing.T) {
	const unknown = "certificate signed by unknown authority"
	r := rehearse(t)
	foreign, _, err := certutil.GenerateSelfSignedCertKey("foreign", nil, nil)
	require.NoError(t, err)
	ours, err := r.KubeconfigForServiceAccount(t.Context(), cluster.Namespace, cluster.ServiceAccount)
	require.NoError(t, err)
	config, err := clientcmd.Load(ours)
	require.NoError(t, err)
	for _, c := range config.Clusters {
		c.CertificateAuthorityData = foreign
	}
	kubeconfig, err := clientcmd.Write(*config)
	require.NoError(t, err)

	t.Run("the scheduler", func(t *testing.T) {
		process := r.startBare(t, "foreign", kubeconfig)
		eventually(t, func(context.Context) string {
			log, err := os.ReadFile(process.LogPath())
			if err != nil || !strings.Contains(string(log), unknown) {
				return "a log that says so"
			}
			return ""
		})
		if process.Failure() == nil {
			require.NoError(t, process.Kill())
		}
	})
	t.Run("the reporter", func(t *testing.T) {
		admin := r.AdminConfig()
		api, err := apiserver.New(&rest.Config{Host: admin.Host, TLSClientConfig: rest.TLSClientConfig{CAData: foreign}})
		require.NoError(t, err)
		_, err = api.Node(t.Context(), "node-0")
		assert.ErrorContains(t, err, unknown)
	})
}
