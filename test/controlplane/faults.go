package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"k8s.io/apimachinery/pkg/util/wait"
)

// FreezeEtcd stops etcd in the middle of what it does: the API server's requests to it hang. ThawEtcd lets it go on.
func (c *ControlPlane) FreezeEtcd() error { return c.signal(etcdName, syscall.SIGTSTP) }

// ThawEtcd lets a frozen etcd go on.
func (c *ControlPlane) ThawEtcd() error { return c.signal(etcdName, syscall.SIGCONT) }

// CrashAPIServer ends kube-apiserver with SIGKILL and returns when it is gone. RestartAPIServer is to follow.
func (c *ControlPlane) CrashAPIServer(ctx context.Context) error {
	if err := c.signal(apiServerName, syscall.SIGUSR1); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, pollInterval, stopTimeout, true, func(context.Context) (bool, error) {
		return errors.Is(c.signal(apiServerName, syscall.Signal(0)), syscall.ESRCH), nil
	})
}

// RestartAPIServer starts kube-apiserver again after a crash, at the same address and with the same users and tokens, and
// returns when it serves.
func (c *ControlPlane) RestartAPIServer(ctx context.Context) error {
	log, err := openLog(c.LogPath(apiServerName))
	if err != nil {
		return err
	}
	defer log.Close()
	c.plane.APIServer.Out, c.plane.APIServer.Err = log, log
	started := make(chan error, 1)
	go func() { started <- c.plane.APIServer.Start() }()
	select {
	case err = <-started:
	case <-ctx.Done():
		_ = c.leash.cut() // envtest cannot be told to give up
		err = errors.Join(ctx.Err(), <-started)
	}
	if err != nil {
		return withTail(fmt.Errorf("starting the API server again: %w", err), c.LogPath(apiServerName))
	}
	return nil
}

// signal reaches a program that envtest has started, through its guard.
func (c *ControlPlane) signal(name string, s syscall.Signal) error {
	raw, err := os.ReadFile(c.program(name) + ".pid")
	if err != nil {
		return err
	}
	guard, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return fmt.Errorf("process id of %s: %w", name, err)
	}
	if err := syscall.Kill(guard, s); err != nil {
		return fmt.Errorf("sending %s to %s: %w", s, name, err)
	}
	return nil
}
