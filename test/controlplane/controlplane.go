package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	// startTimeout bounds how long any one part may take to become usable. It is far beyond what a busy machine takes:
	// a part that fails ends by itself and is reported at once.
	startTimeout = 90 * time.Second
	// pollInterval is how often a condition is looked at while starting.
	pollInterval = 50 * time.Millisecond

	// clientQPS and clientBurst are for clients that must never wait for themselves.
	clientQPS   = 5000
	clientBurst = 10000
)

// ControlPlane is a control plane that runs. Its methods may be called from several goroutines.
type ControlPlane struct {
	options Options
	dataDir string
	isTemp  bool
	binDir  string
	unlock  func() // gives the data directory back

	leash *leash
	plane *envtest.ControlPlane
	admin *rest.Config

	// own are the processes that envtest does not start, in the order of their start.
	own []*Process

	usersMu sync.Mutex // envtest's certificate authority counts without a lock

	stopOnce sync.Once
	stopErr  error
}

// Start starts a control plane and returns when it is usable: the API server serves, the CRDs are established, the
// controllers work, kwok watches. ctx bounds the start only. On an error nothing is left behind but the logs of a given
// DataDir.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	c := &ControlPlane{options: options, binDir: options.BinDir}
	if err := c.start(ctx); err != nil {
		// The reason for the failure matters more than what went wrong while cleaning up after it.
		_ = c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *ControlPlane) start(ctx context.Context) error {
	if c.binDir == "" {
		dir, err := EnsureBinaries(ctx, c.options.Progress)
		if err != nil {
			return err
		}
		c.binDir = dir
	}
	if c.options.NativePodGroups {
		release, err := apiServerVersion(ctx, c.binDir)
		if err != nil {
			return err
		}
		c.options.NativePodGroups = release.AtLeast(version.MustParseGeneric(nativePodGroupsSince))
	}
	if err := c.prepareDataDir(ctx); err != nil {
		return err
	}
	leash, err := newLeash(filepath.Join(c.binDir, guardBinary), c.dataDir)
	if err != nil {
		return err
	}
	c.leash = leash
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	// The controllers get going while kwok does.
	var controllers *Process
	if c.options.Controllers {
		if controllers, err = c.startControllers(); err != nil {
			return err
		}
	}
	if c.options.Kwok {
		if err := c.startKwok(ctx); err != nil {
			return err
		}
	}
	if c.options.Controllers {
		client, err := kubernetes.NewForConfig(c.AdminConfig())
		if err != nil {
			return err
		}
		return waitForControllers(ctx, controllers, client)
	}
	return nil
}

// ownedNames are what a control plane leaves in its data directory, and what the next one there removes first.
var ownedNames = []string{"etcd", "apiserver", "programs", "kubeconfigs", "leash", "kwok.yaml", "audit.log",
	"etcd.log", "kube-apiserver.log", "kube-controller-manager.log", "kwok.log"}

func (c *ControlPlane) prepareDataDir(ctx context.Context) error {
	if c.options.DataDir == "" {
		dir, err := os.MkdirTemp("", "phalanx-controlplane-")
		if err != nil {
			return err
		}
		c.dataDir, c.isTemp = dir, true
	} else {
		dir, err := filepath.Abs(c.options.DataDir)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		c.dataDir = dir
	}
	unlock, err := c.claimDataDir(ctx)
	if err != nil {
		return err
	}
	c.unlock = unlock
	for _, name := range ownedNames {
		if err := os.RemoveAll(filepath.Join(c.dataDir, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"programs", "kubeconfigs"} {
		if err := os.Mkdir(filepath.Join(c.dataDir, name), 0o700); err != nil {
			return err
		}
	}
	return nil
}

var errInUse = errors.New("another control plane uses it")

// claimDataDir makes sure that no other control plane works in the data directory. It does not wait for one.
func (c *ControlPlane) claimDataDir(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unlock, err := lock(ctx, filepath.Join(c.dataDir, lockFile), func() { cancel(errInUse) })
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", c.dataDir, context.Cause(ctx))
	}
	return unlock, nil
}

// Stop ends every process, in the reverse order of their start, and removes a temporary data directory. It may be called
// more than once. Its error tells about processes that had ended before, or would not end; even then none is left.
func (c *ControlPlane) Stop() error {
	c.stopOnce.Do(func() { c.stopErr = c.stop() })
	return c.stopErr
}

func (c *ControlPlane) stop() error {
	var errs []error
	for i := len(c.own) - 1; i >= 0; i-- {
		errs = append(errs, c.own[i].Stop())
	}
	if c.plane != nil {
		errs = append(errs, c.plane.Stop())
	}
	if c.leash != nil {
		errs = append(errs, c.leash.cut())
	}
	if c.unlock != nil {
		c.unlock()
	}
	if c.isTemp {
		errs = append(errs, os.RemoveAll(c.dataDir))
	}
	return errors.Join(errs...)
}

// StartProcess runs a program beside the control plane, with its output in <DataDir>/<name>.log: the scheduler, say. Like
// the control plane's own processes it does not outlive this one. It is the caller's to stop; Stop kills it if it still
// runs. A second one of the same name, after the first has ended, adds to the log.
func (c *ControlPlane) StartProcess(name, program string, args ...string) (*Process, error) {
	return c.leash.start(name, program, c.LogPath(name), args...)
}

// DataDir is the folder that holds logs, certificates and data.
func (c *ControlPlane) DataDir() string { return c.dataDir }

// LogPath is where the process writes its output: etcd, kube-apiserver, kube-controller-manager, kwok, or what was started
// with StartProcess.
func (c *ControlPlane) LogPath(name string) string {
	return filepath.Join(c.dataDir, name+".log")
}

// AuditLogPath is where the API server writes its audit log, if AuditPolicyFile asked for one.
func (c *ControlPlane) AuditLogPath() string {
	return filepath.Join(c.dataDir, "audit.log")
}

// Failure is an error if a process that must run has ended, with the tail of its log. It sees kube-controller-manager and
// kwok; an API server that is gone is seen by whoever calls it.
func (c *ControlPlane) Failure() error {
	var errs []error
	for _, p := range c.own {
		errs = append(errs, p.Failure())
	}
	return errors.Join(errs...)
}
