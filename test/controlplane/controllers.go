package controlplane

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const controllerManagerName = "kube-controller-manager"

// controllerNames are the controllers that run. Left out: everything about nodes, which would evict pods from nodes whose
// leases nobody renews, and what needs a network, volumes or a cloud.
var controllerNames = []string{
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"root-ca-certificate-publisher-controller",
	"namespace-controller",
	"garbage-collector-controller",
	"pod-garbage-collector-controller",
	"job-controller",
	"cronjob-controller",
	"ttl-after-finished-controller",
	"replicaset-controller",
	"deployment-controller",
	"daemonset-controller",
	"statefulset-controller",
	"disruption-controller",
	"resourcequota-controller",
	"resourceclaim-controller",
	"clusterrole-aggregation-controller",
}

// nativePodGroupController keeps a native PodGroup until its pods are gone; it exists only with the API's gates on.
const nativePodGroupController = "podgroup-protection-controller"

func (c *ControlPlane) startControllers() (*Process, error) {
	kubeconfig, err := c.componentKubeconfig(controllerManagerName)
	if err != nil {
		return nil, err
	}
	certificates := c.plane.APIServer.CertDir
	rootCA := filepath.Join(certificates, "ca.crt")
	if err := os.WriteFile(rootCA, c.plane.APIServer.SecureServing.CA, 0o644); err != nil {
		return nil, err
	}
	names := slices.Clone(controllerNames)
	if c.options.NativePodGroups {
		names = append(names, nativePodGroupController)
	}
	args := map[string][]string{
		"kubeconfig":  {kubeconfig},
		"controllers": {strings.Join(names, ",")},
		// There is one, and nobody connects to it.
		"leader-elect": {"false"},
		"secure-port":  {"0"},
		"profiling":    {"false"},
		"root-ca-file": {rootCA},
		// The key that the API server checks tokens with.
		"service-account-private-key-file": {filepath.Join(certificates, "sa-signer.key")},
		// A job of a thousand pods is made as fast as the API server can take it. More workers than a few only make
		// two cores switch between them.
		"kube-api-qps":                        {"1000"},
		"kube-api-burst":                      {"2000"},
		"concurrent-job-syncs":                {"8"},
		"concurrent-gc-syncs":                 {"8"},
		"concurrent-namespace-syncs":          {"4"},
		"concurrent-ttl-after-finished-syncs": {"2"},
	}
	if gates := c.options.gates(); len(gates) > 0 {
		args["feature-gates"] = []string{switches(gates)}
	}
	maps.Copy(args, c.options.ControllerManagerArgs)
	p, err := c.leash.start(controllerManagerName, filepath.Join(c.binDir, controllerManagerName),
		c.LogPath(controllerManagerName), flags(args)...)
	if err != nil {
		return nil, err
	}
	c.own = append(c.own, p)
	return p, nil
}

// waitForControllers waits for the first thing that controllers do in a new cluster: the default namespace gets its
// service account.
func waitForControllers(ctx context.Context, p *Process, client kubernetes.Interface) error {
	account := expectation{what: "the default service account", log: p.LogPath(), process: p}
	return account.wait(ctx, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}
