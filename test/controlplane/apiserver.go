package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	etcdName      = "etcd"
	apiServerName = "kube-apiserver"
)

// startAPIServer starts etcd and kube-apiserver, makes the administrator and installs the CRDs.
func (c *ControlPlane) startAPIServer(ctx context.Context) error {
	for _, name := range []string{etcdName, apiServerName} {
		if err := c.leash.script(c.program(name), filepath.Join(c.binDir, name)); err != nil {
			return err
		}
	}
	if err := withFreshPorts(func() error { return c.runEnvtest(ctx) }); err != nil {
		return err
	}
	user, err := c.plane.AddUser(envtest.User{Name: "admin", Groups: []string{adminGroup}},
		&rest.Config{QPS: clientQPS, Burst: clientBurst})
	if err != nil {
		return fmt.Errorf("making the administrator: %w", err)
	}
	c.admin = user.Config()

	client, err := kubernetes.NewForConfig(c.AdminConfig())
	if err != nil {
		return err
	}
	namespace := expectation{what: "the default namespace", log: c.LogPath(apiServerName)}
	if err := namespace.wait(ctx, func(ctx context.Context) error {
		_, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
		return err
	}); err != nil {
		return err
	}
	if len(c.options.CRDPaths) == 0 {
		return nil
	}
	if _, err := envtest.InstallCRDs(c.AdminConfig(), envtest.CRDInstallOptions{
		Paths: c.options.CRDPaths, ErrorIfPathMissing: true, MaxTime: startTimeout, PollInterval: pollInterval,
	}); err != nil {
		return fmt.Errorf("installing CRDs: %w", err)
	}
	return nil
}

// program is the path under which envtest knows a program: a script that puts a guard in front of it.
func (c *ControlPlane) program(name string) string {
	return filepath.Join(c.dataDir, "programs", name)
}

// runEnvtest starts the two processes. envtest cannot be told to give up; cutting the leash ends what it waits for.
func (c *ControlPlane) runEnvtest(ctx context.Context) error {
	data, certificates := filepath.Join(c.dataDir, "etcd"), filepath.Join(c.dataDir, "apiserver")
	// An attempt before this one may have left certificates, which envtest would take for its own.
	for _, dir := range []string{data, certificates} {
		if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
			return err
		}
	}
	etcdLog, err := openLog(c.LogPath(etcdName))
	if err != nil {
		return err
	}
	defer etcdLog.Close()
	apiLog, err := openLog(c.LogPath(apiServerName))
	if err != nil {
		return err
	}
	defer apiLog.Close()

	plane := &envtest.ControlPlane{
		Etcd: &envtest.Etcd{
			Path: c.program(etcdName), DataDir: data, Out: etcdLog, Err: etcdLog,
			StartTimeout: startTimeout, StopTimeout: stopTimeout,
		},
		APIServer: &envtest.APIServer{
			Path: c.program(apiServerName), CertDir: certificates, Out: apiLog, Err: apiLog,
			StartTimeout: startTimeout, StopTimeout: stopTimeout,
		},
	}
	c.configureEtcd(plane.Etcd.Configure())
	c.configureAPIServer(plane.APIServer.Configure())

	started := make(chan error, 1)
	go func() { started <- plane.Start() }()
	select {
	case err = <-started:
	case <-ctx.Done():
		_ = c.leash.cut()
		err = errors.Join(ctx.Err(), <-started)
	}
	if err != nil {
		return c.explainStart(err)
	}
	c.plane = plane
	return nil
}

// explainStart adds the log of the process that envtest's error names, or of both if it names none.
func (c *ControlPlane) explainStart(err error) error {
	named := false
	for _, name := range []string{etcdName, apiServerName} {
		if strings.Contains(err.Error(), "process "+name+" ") {
			err, named = withTail(err, c.LogPath(name)), true
		}
	}
	if !named {
		err = withTail(withTail(err, c.LogPath(etcdName)), c.LogPath(apiServerName))
	}
	return fmt.Errorf("starting the API server: %w", err)
}

// configureEtcd: the data is thrown away, so nothing is synced to disk (envtest sees to that), and the log of changes
// kept in memory is short.
func (c *ControlPlane) configureEtcd(args *envtest.Arguments) {
	args.Set("log-level", "warn")
	args.Set("snapshot-count", "5000")
}

// unneededAdmission are plugins that wait for a controller that does not run here.
var unneededAdmission = []string{
	// Puts a not-ready taint on every new node, which the node lifecycle controller would take away.
	"TaintNodesByCondition",
	// Refuses pods until a controller has made the namespace's service account, and adds a token volume to each, which
	// nothing mounts. Authentication by service account tokens does not depend on it.
	"ServiceAccount",
	// Puts finalizers on volumes and claims for a controller to remove.
	"StorageObjectInUseProtection",
}

func (c *ControlPlane) configureAPIServer(args *envtest.Arguments) {
	for name, values := range map[string][]string{
		"disable-admission-plugins": {strings.Join(unneededAdmission, ",")},
		// Namespaces with thousands of pods go away in seconds.
		"delete-collection-workers": {"8"},
		// Events are most of what is written, and nobody looks at old ones here.
		"event-ttl": {"15m"},
		// Regular work for metrics that nobody reads.
		"etcd-count-metric-poll-period": {"0"},
		"etcd-db-metric-poll-interval":  {"0"},
		"endpoint-reconciler-type":      {"none"},
		// Without it a stop waits a minute for those who still watch; with it they are told to go.
		"shutdown-watch-termination-grace-period": {"1s"},
	} {
		args.Set(name, values...)
	}
	if gates := c.options.gates(); len(gates) > 0 {
		args.Set("feature-gates", switches(gates))
	}
	if config := c.options.runtimeConfig(); len(config) > 0 {
		args.Set("runtime-config", switches(config))
	}
	if c.options.AuditPolicyFile != "" {
		args.Set("audit-policy-file", c.options.AuditPolicyFile)
		args.Set("audit-log-path", c.AuditLogPath())
	}
	for name, values := range c.options.APIServerArgs {
		args.Set(name, values...)
	}
}
