package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	// adminGroup may do everything, whatever RBAC says.
	adminGroup = "system:masters"
	// tokenLifetime of service account tokens: longer than anybody keeps a throw-away cluster.
	tokenLifetime = 24 * time.Hour
)

// AdminConfig is a client configuration that may do everything and is not slowed down by its own rate limit. Each call
// returns a copy of its own.
func (c *ControlPlane) AdminConfig() *rest.Config {
	return rest.CopyConfig(c.admin)
}

// Kubeconfig returns a kubeconfig that authenticates as this user with a client certificate. What the user may do is up to
// RBAC: nothing, until somebody binds a role. The group "system:masters" may do everything.
func (c *ControlPlane) Kubeconfig(user string, groups ...string) ([]byte, error) {
	c.usersMu.Lock()
	defer c.usersMu.Unlock()
	authenticated, err := c.plane.AddUser(envtest.User{Name: user, Groups: groups}, nil)
	if err != nil {
		return nil, fmt.Errorf("making the user %q: %w", user, err)
	}
	return authenticated.KubeConfig()
}

// KubeconfigForServiceAccount returns a kubeconfig that authenticates as the service account, which must exist, with a
// token that the API server issues.
func (c *ControlPlane) KubeconfigForServiceAccount(ctx context.Context, namespace, name string) ([]byte, error) {
	client, err := kubernetes.NewForConfig(c.AdminConfig())
	if err != nil {
		return nil, err
	}
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(tokenLifetime.Seconds()))},
	}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("getting a token for service account %s/%s: %w", namespace, name, err)
	}
	const entry = "phalanx"
	return clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{entry: {
			Server: c.admin.Host, CertificateAuthorityData: c.admin.CAData,
		}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{entry: {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{entry: {Cluster: entry, AuthInfo: entry, Namespace: namespace}},
		CurrentContext: entry,
	})
}

// WriteKubeconfig writes a kubeconfig into the data directory, for processes that take a path, and returns that path.
func (c *ControlPlane) WriteKubeconfig(name string, kubeconfig []byte) (string, error) {
	path := filepath.Join(c.dataDir, "kubeconfigs", name)
	return path, os.WriteFile(path, kubeconfig, 0o600)
}

// componentKubeconfig is the kubeconfig file of a part of the control plane. It may do everything; the user's name tells
// who did what in an audit log.
func (c *ControlPlane) componentKubeconfig(name string) (string, error) {
	kubeconfig, err := c.Kubeconfig("system:"+name, adminGroup)
	if err != nil {
		return "", err
	}
	return c.WriteKubeconfig(name, kubeconfig)
}
