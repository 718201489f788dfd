// Package cluster is a control plane with Phalanx on it: the manifests of this repository applied, and the scheduler as a
// process of its own, under the ServiceAccount and with the rights that the manifests give it.
//
// Purpose: the integration tests and the demo begin here. Invariants: the scheduler is the binary that `make build` makes;
// it may do what manifests/base/rbac.yaml says and nothing else; it can be killed and started again like a crashed pod.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

const (
	// Namespace is where the manifests put the scheduler, ServiceAccount its name there.
	Namespace      = "phalanx-system"
	ServiceAccount = "phalanx-scheduler"
	// startPatience is how long the scheduler may take until it says that it is ready.
	startPatience = 90 * time.Second
)

// Cluster is a running control plane with the manifests applied.
type Cluster struct {
	*controlplane.ControlPlane
	Client  kubernetes.Interface
	Dynamic dynamic.Interface

	root   string
	mapper meta.ResettableRESTMapper
}

// Options say what to start.
type Options struct {
	controlplane.Options
	// WithoutCRDs leaves the PodGroup CRDs out, as on a cluster where nobody uses a dialect.
	WithoutCRDs bool
}

// Start starts the control plane and applies manifests/default, or manifests/base without the CRDs.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	plane, err := controlplane.Start(ctx, options.Options)
	if err != nil {
		return nil, err
	}
	c := &Cluster{ControlPlane: plane, root: root}
	if err := c.install(ctx, options.WithoutCRDs); err != nil {
		return nil, errors.Join(err, plane.Stop())
	}
	return c, nil
}

func (c *Cluster) install(ctx context.Context, withoutCRDs bool) error {
	config := c.AdminConfig()
	var err error
	if c.Client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if c.Dynamic, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))
	if withoutCRDs {
		return c.Kustomize(ctx, "manifests/base")
	}
	return c.Kustomize(ctx, "manifests/default")
}

// Root is the repository's root folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "manifests", "base")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not inside the repository: no folder above has manifests/base")
		}
		dir = parent
	}
}

// Kustomize renders a folder of the repository and applies it, as kubectl apply -k does.
func (c *Cluster) Kustomize(ctx context.Context, folder string) error {
	objects, err := Render(folder)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := c.applyObject(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// Apply applies manifests, one YAML document after the other, as their only author. Objects without a namespace go to
// "default". It waits for kinds that a CRD among them defines.
func (c *Cluster) Apply(ctx context.Context, manifests []byte) error {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(object.Object) == 0 {
			continue
		}
		if err := c.applyObject(ctx, object); err != nil {
			return err
		}
	}
}

func (c *Cluster) applyObject(ctx context.Context, object *unstructured.Unstructured) error {
	if err := c.apply(ctx, object); err != nil {
		return fmt.Errorf("apply %s %s/%s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
	}
	return nil
}

func (c *Cluster) apply(ctx context.Context, object *unstructured.Unstructured) error {
	mapping, err := c.mapping(ctx, object)
	if err != nil {
		return err
	}
	options := metav1.ApplyOptions{FieldManager: "phalanx-test", Force: true}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		_, err = c.Dynamic.Resource(mapping.Resource).Apply(ctx, object.GetName(), object, options)
		return err
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(metav1.NamespaceDefault)
	}
	_, err = c.Dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace()).Apply(ctx, object.GetName(), object, options)
	return err
}

func (c *Cluster) mapping(ctx context.Context, object *unstructured.Unstructured) (*meta.RESTMapping, error) {
	kind := object.GroupVersionKind()
	var mapping *meta.RESTMapping
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		var err error
		mapping, err = c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if meta.IsNoMatchError(err) {
			c.mapper.Reset()
			return false, nil
		}
		return err == nil, err
	})
	return mapping, err
}

// Serves says whether the API server serves a resource.
func (c *Cluster) Serves(resource schema.GroupVersionResource) (bool, error) {
	list, err := c.Client.Discovery().ServerResourcesForGroupVersion(resource.GroupVersion().String())
	if err != nil {
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return false, err
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource.Resource }), nil
}

var built struct {
	sync.Mutex
	program string
}

// BuildScheduler builds the scheduler as `make build` does and returns its path. It is looked at once per process: a scheduler that
// crashes is to start again at once.
func BuildScheduler(ctx context.Context) (string, error) {
	built.Lock()
	defer built.Unlock()
	var err error
	if built.program == "" {
		built.program, err = build(ctx, "bin")
	}
	return built.program, err
}

// BuildSchedulerAs builds it under another version, in a folder of the caller's.
func BuildSchedulerAs(ctx context.Context, version, folder string) (string, error) {
	return build(ctx, folder, "VERSION="+version, "BIN="+folder)
}

func build(ctx context.Context, folder string, variables ...string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "make", append([]string{"-s", "build"}, variables...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make build: %w\n%s", err, out)
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(root, folder)
	}
	return filepath.Join(folder, "phalanx-scheduler"), nil
}

// SchedulerOptions say how to run the scheduler.
type SchedulerOptions struct {
	// Name tells several runs apart: it names process, log and kubeconfig. "phalanx-scheduler" if empty.
	Name string
	// Program is what to run; empty means what BuildScheduler builds.
	Program string
	// Config is a KubeSchedulerConfiguration without clientConnection, which is filled in; empty means that of
	// manifests/drop-in. It is served with leader election off, unless Elect is set: a successor need not wait for a lease.
	Config string
	Elect  bool
	// Kubeconfig is what it connects with; empty means the ServiceAccount of the manifests, with a token that is made now.
	Kubeconfig []byte
	// QPS bounds the requests of the core by the second; 0 leaves the default.
	QPS int
	// Launched is called when it runs and is not yet ready.
	Launched func(*Scheduler)
	// Args are more flags.
	Args []string
	// V is the verbosity of its log.
	V int
}

// Scheduler is the scheduler as a process.
type Scheduler struct {
	*controlplane.Process
	// Address serves its health and metrics over HTTPS.
	Address string
}

// StartScheduler starts the scheduler and returns once it is ready.
func (c *Cluster) StartScheduler(ctx context.Context, options SchedulerOptions) (*Scheduler, error) {
	if options.Name == "" {
		options.Name = "phalanx-scheduler"
	}
	if options.Program == "" {
		var err error
		if options.Program, err = BuildScheduler(ctx); err != nil {
			return nil, err
		}
	}
	args, address, err := c.schedulerArgs(ctx, options)
	if err != nil {
		return nil, err
	}
	process, err := c.StartProcess(options.Name, options.Program, args...)
	if err != nil {
		return nil, err
	}
	s := &Scheduler{Process: process, Address: address}
	if options.Launched != nil {
		options.Launched(s)
	}
	if err := s.waitUntilReady(ctx); err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	return s, nil
}

func (c *Cluster) schedulerArgs(ctx context.Context, options SchedulerOptions) (args []string, address string, err error) {
	if options.Kubeconfig == nil {
		if options.Kubeconfig, err = c.KubeconfigForServiceAccount(ctx, Namespace, ServiceAccount); err != nil {
			return nil, "", err
		}
	}
	kubeconfigPath, err := c.WriteKubeconfig(options.Name, options.Kubeconfig)
	if err != nil {
		return nil, "", err
	}
	if options.Config == "" {
		raw, err := os.ReadFile(filepath.Join(c.root, "manifests", "drop-in", "config.yaml"))
		if err != nil {
			return nil, "", err
		}
		options.Config = string(raw)
	}
	configPath := filepath.Join(c.DataDir(), options.Name+"-config.yaml")
	config := strings.TrimSpace(options.Config) + fmt.Sprintf("\nclientConnection:\n  kubeconfig: %q\n", kubeconfigPath)
	if options.QPS > 0 {
		config += fmt.Sprintf("  qps: %d\n  burst: %d\n", options.QPS, options.QPS)
	}
	if err := os.WriteFile(configPath, []byte(config), 0o600); err != nil {
		return nil, "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, "", err
	}
	_, port, _ := net.SplitHostPort(address)
	args = append([]string{
		"--config=" + configPath, "--bind-address=127.0.0.1", "--secure-port=" + port,
		"--authentication-kubeconfig=" + kubeconfigPath, "--authorization-kubeconfig=" + kubeconfigPath,
		fmt.Sprintf("--leader-elect=%t", options.Elect), fmt.Sprintf("--v=%d", options.V),
	}, options.Args...)
	return args, address, nil
}

// waitUntilReady waits for /readyz, which includes that all informers have synced. A replica that waits for the lease of another one
// is ready, too.
func (s *Scheduler) waitUntilReady(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startPatience, true, func(ctx context.Context) (bool, error) {
		if err := s.Failure(); err != nil {
			return false, err
		}
		status, _ := Ask(ctx, s.Address, "/readyz", "")
		return status == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("the scheduler did not become ready: %w (its log: %s)", err, s.LogPath())
	}
	return nil
}
