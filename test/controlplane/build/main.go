// Command build makes the control plane's binaries, and the kubelet's, so that a Makefile can have them ready before tests with a time limit
// need them. It prints the folder that holds them. PHALANX_TEST_KUBERNETES chooses a Kubernetes version; the kubelet comes with the current one.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	dir, err := controlplane.EnsureBinaries(ctx, os.Stderr)
	isCurrent := os.Getenv(controlplane.MinorVariable) == ""
	if err == nil && isCurrent && runtime.GOOS == "linux" { // elsewhere a kubelet does not run
		_, err = controlplane.EnsureKubelet(ctx, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
