package reporter

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// build builds the reporter as `make build` does. Where the test can say nothing, it is skipped.
func build(t *testing.T) string {
	t.Helper()
	root, err := cluster.Root()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "make", "-s", "reporter")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	program := filepath.Join(root, "bin", "phalanx-reporter")
	out, _ = exec.CommandContext(t.Context(), program, "--once").CombinedOutput()
	if !strings.Contains(string(out), "library libnvidia-ml.so.1 was not found") {
		t.Skipf("this needs a program with a backend and a machine without a driver: %s", out)
	}
	return program
}

// argsFor are those of a reporter of a node, with the token that its pod would get, and where it serves health and metrics.
func argsFor(t *testing.T, node string) (args []string, address string) {
	t.Helper()
	config := reporterOn(t, node)
	kubeconfig, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{node: {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{node: {Token: config.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{node: {Cluster: node, AuthInfo: node}},
		CurrentContext: node,
	})
	require.NoError(t, err)
	path, err := shared.WriteKubeconfig("phalanx-reporter-"+node, kubeconfig)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address = listener.Addr().String()
	require.NoError(t, listener.Close())
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	return []string{"--kubeconfig=" + path, "--node-name=" + node, "--namespace=" + namespace, "--bind-address=127.0.0.1", "--secure-port=" + port}, address
}

func TestTheProgramWaitsForADriver(t *testing.T) {
	program := build(t)
	makeNode(t, "bare")
	before := getNode(t, "bare").ResourceVersion
	args, address := argsFor(t, "bare")
	process, err := shared.StartProcess("phalanx-reporter", program, append(args, "--period=1s")...)
	require.NoError(t, err)

	const reason = "the GPU driver's library libnvidia-ml.so.1 was not found"
	eventually(t, func() string {
		status, body := cluster.Ask(t.Context(), address, "/readyz", "")
		if status != 503 || !strings.HasSuffix(strings.TrimSpace(body), reason) {
			return fmt.Sprintf("/readyz to say that there is no driver: it says %d %s", status, body)
		}
		return ""
	})
	status, _ := cluster.Ask(t.Context(), address, "/livez", "")
	assert.Equal(t, 200, status, "it needs no restart")
	status, _ = cluster.Ask(t.Context(), address, "/metrics", "")
	assert.Equal(t, 401, status)
	assert.Equal(t, before, getNode(t, "bare").ResourceVersion)
	_, err = shared.Client.CoordinationV1().Leases(namespace).Get(t.Context(), "bare", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "what cannot report gives no sign of life: %v", err)
	require.NoError(t, process.Stop())
	log, err := os.ReadFile(process.LogPath())
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(log), "There are no GPUs to report. That is tried again"), "%s", log)
}
