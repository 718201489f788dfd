// Package integration proves the scheduler on a real control plane: as a process of its own, under its ServiceAccount, with
// the manifests that users apply.
package integration

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// shared is the cluster that tests use which only need namespaces of their own. Its nodes have a label per test that wants
// nodes of its own; native PodGroups are served. sharedScheduler serves the profiles of the manifests.
var (
	shared          *cluster.Cluster
	sharedScheduler *cluster.Scheduler
)

// defaultParallel is how many tests run at a time: they wait more than they work.
const defaultParallel = "12"

func TestMain(m *testing.M) {
	flag.Parse()
	isGiven := false
	flag.Visit(func(f *flag.Flag) { isGiven = isGiven || f.Name == "test.parallel" })
	if !isGiven {
		_ = flag.Set("test.parallel", defaultParallel)
	}
	goleak.VerifyTestMain(controlplane.Suite(func() int { return run(m) }))
}

func run(m *testing.M) int {
	ctx := context.Background()
	if _, err := controlplane.EnsureBinaries(ctx, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	shared, err = cluster.Start(ctx, cluster.Options{Options: controlplane.Options{
		Kwok: true, Controllers: true, NativePodGroups: true,
		// Gives all pods of a namespace a node selector, so that manifests need none.
		APIServerArgs: map[string][]string{"enable-admission-plugins": {"PodNodeSelector"}},
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = shared.Stop() }()
	sharedScheduler, err = shared.StartScheduler(ctx, cluster.SchedulerOptions{V: 3})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := inspect(sharedScheduler); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if logs := os.Getenv("KEEP_LOGS"); code != 0 && logs != "" {
		if raw, err := os.ReadFile(sharedScheduler.LogPath()); err == nil {
			_ = os.WriteFile(logs, raw, 0o644)
		}
	}
	return code
}

// inspect is the last test of every scheduler that ran: it runs still, was never forbidden anything, and nothing in it
// panicked.
func inspect(s *cluster.Scheduler) error {
	if err := s.Failure(); err != nil {
		return err
	}
	log, err := os.Open(s.LogPath())
	if err != nil {
		return err
	}
	defer log.Close()
	var errs []error
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		// A namespace on its way out takes in no more events, which is nobody's lack of rights.
		isForbidden := strings.Contains(line, "forbidden") && !strings.Contains(line, "being terminated")
		if isForbidden || strings.Contains(line, "panic") {
			errs = append(errs, fmt.Errorf("the log of the scheduler says: %s", line))
		}
	}
	return errors.Join(append(errs, lines.Err())...)
}
