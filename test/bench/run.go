package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

const (
	harness       = "test/bench/harness"
	solverPackage = "pkg/placement"
	solverPattern = "BenchmarkSolve/.*nodes=5000"
	// shownOnFailure is how much of a failed process's output is shown: it may be megabytes of log.
	shownOnFailure = 4000
)

// runner runs trials.
type runner struct {
	binary  string
	harness string // the folder with the workloads
	etcd    string // the folder with the program
	scratch string
	keep    string // for the harness's files, scratch if nobody wants them
}

// newRunner builds what it takes: etcd, and the harness with everything in it.
func newRunner(ctx context.Context, keep string) (*runner, error) {
	if keep != "" {
		var err error
		if keep, err = filepath.Abs(keep); err != nil {
			return nil, err
		}
	}
	programs, err := controlplane.EnsureBinaries(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	root := filepath.Join(programs, "..", "..", "..") // bin/controlplane/v1.37.2 of the repository
	r := &runner{
		binary:  filepath.Join(root, "bin", "bench.test"),
		harness: filepath.Join(root, filepath.FromSlash(harness)),
		etcd:    programs,
	}
	if err := os.Chdir(root); err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "building the harness; the first time takes minutes")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", r.binary, ".")
	build.Dir, build.Env = r.harness, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the harness: %w\n%s", err, output)
	}
	if r.scratch, err = os.MkdirTemp("", "phalanx-bench-"); err != nil {
		return nil, err
	}
	r.keep = cmp.Or(keep, r.scratch)
	return r, nil
}

func (r *runner) close() { _ = os.RemoveAll(r.scratch) }

// run runs one trial in a process of its own.
func (r *runner) run(ctx context.Context, t trial) (result, error) {
	command := exec.CommandContext(ctx, r.binary,
		"-test.run", "^$", "-test.benchtime", "1x", "-test.timeout", "40m",
		"-test.bench", fmt.Sprintf("^BenchmarkPerfScheduling$/^%s$/^%s$", t.contender, t.workload),
		"-data-items-dir", r.keep)
	command.Dir = r.harness
	command.Env = append(os.Environ(),
		"PATH="+r.etcd+string(os.PathListSeparator)+os.Getenv("PATH"),
		"TMPDIR="+r.scratch, // etcd's data
		"ETCD_LOGLEVEL=error")
	// etcd is a child of the harness, which does not take it along when it dies: they form a group, and it ends with us.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.Cancel = kill
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	if command.Process != nil {
		_ = kill()
	}
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, tail(output.String()))
	}
	for _, l := range parse(output.String()) {
		if strings.HasSuffix(l.name, fmt.Sprintf("/%s/%s", t.contender, t.workload)) {
			return l.result, nil
		}
	}
	return nil, fmt.Errorf("the harness reported nothing:\n%s", tail(output.String()))
}

func tail(output string) string {
	return output[max(0, len(output)-shownOnFailure):]
}

// solve runs the solver's own benchmark.
func solve(ctx context.Context, rounds int) ([]line, error) {
	if _, err := os.Stat(solverPackage); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "no %s: the solver alone is left out\n", solverPackage)
		return nil, nil
	}
	fmt.Fprintln(os.Stderr, "the solver alone")
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", solverPattern, fmt.Sprintf("-count=%d", rounds), "./"+solverPackage)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := command.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("benchmark of the solver: %w\n%s", err, tail(string(output)))
	}
	return parse(string(output)), nil
}

// machine says in a line what all was measured on.
func machine() string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if model := field("/proc/cpuinfo", "model name"); model != "" {
		parts = append(parts, model)
	}
	var kib int64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kib); err == nil {
		parts = append(parts, fmt.Sprintf("%d GiB of memory", kib>>20))
	}
	return strings.Join(append(parts, runtime.GOOS+"/"+runtime.GOARCH, runtime.Version()), ", ")
}

// field returns what a file of lines "name : value" says first of a name, "" if it says nothing.
func field(path, name string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for text := range strings.Lines(string(content)) {
		if key, value, ok := strings.Cut(text, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
