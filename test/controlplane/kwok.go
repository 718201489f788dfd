package controlplane

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

const kwokName = "kwok"

const (
	// AnnotationNode with the value "fake" gives a node to kwok. NewNode sets it.
	AnnotationNode = "kwok.x-k8s.io/node"
	// AnnotationRunFor makes a pod succeed this long after its start: a duration as Go writes it, "1m30s". The start is
	// the pod's status.startTime, in whole seconds. Without it a pod runs until it is deleted.
	AnnotationRunFor = "phalanx.dev/run-for"
	// AnnotationFailAfter makes a pod fail, with exit code 1, this long after its start. It wins over AnnotationRunFor.
	// The pod fails whatever its restart policy says: nothing here restarts containers.
	AnnotationFailAfter = "phalanx.dev/fail-after"
)

// kwokConfig is how nodes and pods live.
//
//go:embed kwok.yaml
var kwokConfig []byte

func (c *ControlPlane) startKwok(ctx context.Context) error {
	kubeconfig, err := c.componentKubeconfig(kwokName)
	if err != nil {
		return err
	}
	config := filepath.Join(c.dataDir, "kwok.yaml")
	if err := os.WriteFile(config, kwokConfig, 0o644); err != nil {
		return err
	}
	return withFreshPorts(func() error { return c.runKwok(ctx, kubeconfig, config) })
}

func (c *ControlPlane) runKwok(ctx context.Context, kubeconfig, config string) error {
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	p, err := c.leash.start(kwokName, filepath.Join(c.binDir, kwokName), c.LogPath(kwokName),
		"--kubeconfig="+kubeconfig, "--config="+csvQuote(config), "--server-address="+address, "--v=WARN")
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	healthy := expectation{what: "kwok to be healthy", log: p.LogPath(), process: p}
	err = healthy.wait(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("kwok says %s", response.Status)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.own = append(c.own, p)
	return nil
}

// csvQuote makes a path one element of a flag that takes a list, even with a comma in it.
func csvQuote(path string) string {
	return `"` + strings.ReplaceAll(path, `"`, `""`) + `"`
}

// freeAddress is a local address that nobody listens on. Somebody else may take it before kwok does: see withFreshPorts.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
