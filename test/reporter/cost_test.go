package reporter

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

var minutes = flag.Int("minutes", 0, "measure the reporter's cost for so long, at its default period; 0 looks at some rounds that follow each other fast")

// What the reporter may cost with 8 GPUs.
const (
	mostCPU = 0.005 // of one core, at the default period
	mostKiB = 40 << 10
)

// The program itself, driver and API server as a node has them, but for the driver's library, which is one of ours. So its time
// and memory are all of the reporter's own, and nothing of what calls cost in NVIDIA's.
//
// What the short one misses: a change for the better is written a minute after the first write only. That no such change comes
// out of numbers that move, TestWhatMovesIsNotWritten of package command sees, in hours that pass at once.
func TestWhatTheReporterCosts(t *testing.T) {
	program, library := build(t), standIn(t)
	makeNode(t, "costly")
	args, address := argsFor(t, "costly")
	span := time.Duration(*minutes) * time.Minute
	if *minutes == 0 {
		span = time.Second // that is, until the Lease is renewed for the first time: 25 rounds
		args = append(args, "--period=1s")
	}
	process, pid := startWith(t, library, program, args...)
	hush := probe(t, address)

	first := awaitRenewal(t, process, time.Time{}, patience)
	version, begin := getNode(t, "costly").ResourceVersion, usageOf(t, pid)
	report, err := gpu.Parse([]byte(getNode(t, "costly").Annotations["phalanx.dev/gpu-report"]))
	require.NoError(t, err)
	assert.Len(t, report.GPUs, 8)
	assert.Equal(t, gpu.Switch, report.Links.Kind)

	last := awaitRenewal(t, process, first.Add(span), span+patience)
	end, took := usageOf(t, pid), last.Sub(first)
	made := requestsOf(t, "costly")
	hush()
	require.NoError(t, process.Stop())

	share := (end.CPU - begin.CPU).Seconds() / took.Seconds()
	t.Logf("FIGURE reporter CPU=%.4f%% of one core over %v, %v since its start, peak memory=%d KiB, of it %d KiB of files; requests %v",
		100*share, took.Round(time.Second), end.CPU, end.PeakKiB, end.FileKiB, made)
	assert.Equal(t, 1, made["patch nodes/status"], "writes of the node")
	assert.Equal(t, version, getNode(t, "costly").ResourceVersion)
	assert.Less(t, end.PeakKiB, mostKiB)
	if *minutes > 0 {
		assert.Less(t, share, mostCPU)
	}
}

// probe asks how the reporter is as often as the kubelet does by the DaemonSet, each time over a new connection, until it is stopped.
func probe(t *testing.T, address string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var probing sync.WaitGroup
	for path, period := range map[string]time.Duration{"/livez": 30 * time.Second, "/readyz": 10 * time.Second} {
		probing.Go(func() {
			tick := time.NewTicker(period)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					if status, body := cluster.Ask(ctx, address, path, ""); status != http.StatusOK && ctx.Err() == nil {
						t.Errorf("%s says %d %s", path, status, body)
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return func() {
		cancel()
		probing.Wait()
	}
}

// standIn compiles the library that stands in for the driver's and returns its folder.
func standIn(t *testing.T) string {
	t.Helper()
	cc, err := exec.CommandContext(t.Context(), "go", "env", "CC").Output()
	require.NoError(t, err)
	headers, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}/pkg/nvml", "github.com/NVIDIA/go-nvml").Output()
	require.NoError(t, err)
	folder := t.TempDir()
	words := append(strings.Fields(string(cc)), "-shared", "-fPIC", "-I", strings.TrimSpace(string(headers)),
		"-o", filepath.Join(folder, "libnvidia-ml.so.1"), filepath.Join("testdata", "h100.c"))
	out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return folder
}

// startWith starts a program that finds libraries in a folder, and returns its process's number too.
func startWith(t *testing.T, libraries, program string, args ...string) (process *controlplane.Process, pid int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pid")
	words := append([]string{"-c", `echo $$ >"$1"; export LD_LIBRARY_PATH="$2"; shift 2; exec "$@"`, "sh", file, libraries, program}, args...)
	process, err := shared.StartProcess("phalanx-reporter-with-gpus", "/bin/sh", words...)
	require.NoError(t, err)
	eventually(t, func() string {
		text, _ := os.ReadFile(file)
		if pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return "the program to start"
		}
		return ""
	})
	return process, pid
}

// awaitRenewal waits until the Lease was renewed after a time, and returns when that was.
func awaitRenewal(t *testing.T, process *controlplane.Process, after time.Time, patience time.Duration) (at time.Time) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		lease, err := shared.Client.CoordinationV1().Leases(namespace).Get(ctx, "costly", metav1.GetOptions{})
		if err == nil {
			at = lease.Spec.RenewTime.Time
		}
		return at.After(after), process.Failure()
	})
	require.NoError(t, err, "the Lease was renewed at %v, and not after %v", at, after)
	return at
}

func usageOf(t *testing.T, pid int) controlplane.Usage {
	t.Helper()
	u, err := controlplane.UsageOf(pid)
	require.NoError(t, err)
	return u
}

// requestsOf counts what reporters asked of a node, and of the Lease of its name, by the API server's own log.
func requestsOf(t *testing.T, node string) map[string]int {
	t.Helper()
	log, err := os.ReadFile(shared.AuditLogPath())
	require.NoError(t, err)
	made := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(log))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var request struct {
			Verb      string
			ObjectRef struct{ Resource, Subresource, Name string }
		}
		if json.Unmarshal(lines.Bytes(), &request) != nil { // the last one may not be whole yet
			continue
		}
		if of := request.ObjectRef; of.Name == node {
			made[strings.TrimSuffix(request.Verb+" "+of.Resource+"/"+of.Subresource, "/")]++
		}
	}
	require.NoError(t, lines.Err())
	return made
}
