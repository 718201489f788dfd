package command

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/internal/fake"
)

var isUpdate = flag.Bool("update", false, "rewrite the files in testdata")

// execute runs the command line.
func execute(d reporter.Driver, args ...string) (stdout, stderr string, code int) {
	var out, err bytes.Buffer
	cmd := New(d, "NVML", func(int) {})
	cmd.SetOut(&out)
	cmd.SetErr(&err)
	cmd.SetArgs(args)
	code = run(cmd, &err)
	return out.String(), err.String(), code
}

// sick is a machine with much that is wrong.
func sick() *fake.Driver {
	d := fake.H100()
	d.GPUs[0].IsCut = true
	d.GPUs[1].Rows.HasFailed, d.GPUs[1].Action = true, gpu.ResetGPU
	d.GPUs[2].Fault = reporter.GPULost
	d.GPUs[3].Faults = map[string]error{"Memory": reporter.GPULost}
	clear(d.GPUs[4].Up[15:])
	d.GPUs[5].MemoryUse.FreeMiB = 20_000
	d.GPUs[6].Faults = map[string]error{"NUMA": reporter.NotSupported, "Bus": reporter.NotSupported}
	d.GPUs[7].Switches.State = reporter.FabricPending
	return d
}

func TestTables(t *testing.T) {
	for name, d := range map[string]*fake.Driver{
		"h100": fake.H100(), "gb200": fake.GB200(), "dgx1-v100": fake.DGX1(), "a100-pcie": fake.A100PCIe(), "l40s": fake.L40S(), "sick": sick(),
		"none": {VersionText: "570.86.15"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := execute(d, "--once", "-o", "table")
			assert.Zero(t, code)
			assert.Empty(t, stderr)
			file := filepath.Join("testdata", name+".txt")
			if *isUpdate {
				require.NoError(t, os.WriteFile(file, []byte(stdout), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), stdout, "go test -update rewrites it")
		})
	}
}

func TestJSONIsTheAnnotation(t *testing.T) {
	stdout, _, code := execute(fake.H100(), "--once", "-o", "json")
	assert.Zero(t, code)
	want, err := os.ReadFile("../../gpu/testdata/h100.json")
	require.NoError(t, err)
	assert.Equal(t, string(want), stdout)
	_, err = gpu.Parse([]byte(strings.TrimSpace(stdout)))
	assert.NoError(t, err)
}

func TestYAMLIsTheSame(t *testing.T) {
	stdout, _, code := execute(fake.DGX1(), "--once", "-o", "yaml")
	assert.Zero(t, code)
	back, err := yaml.YAMLToJSON([]byte(stdout))
	require.NoError(t, err)
	want, err := os.ReadFile("../../gpu/testdata/dgx1-v100.json")
	require.NoError(t, err)
	assert.JSONEq(t, string(want), string(back))
}

func TestTheDriverIsLetGo(t *testing.T) {
	d := fake.H100()
	execute(d, "--once")
	assert.Equal(t, 1, d.Calls["Shutdown"])
	assert.Equal(t, 1, d.Calls["Count"], "one round is enough where all is well")
	d = sick()
	execute(d, "--once")
	assert.Equal(t, 2, d.Calls["Count"], "what is wrong is confirmed")
}

func TestWhatGoesWrong(t *testing.T) {
	broken := func(call string, fault error) *fake.Driver {
		d := fake.H100()
		d.Faults = map[string]error{call: fault}
		return d
	}
	for name, test := range map[string]struct {
		driver *fake.Driver
		args   []string
		want   string
		code   int
	}{
		"no library":                {broken("Init", reporter.NoLibrary), []string{"--once"}, "phalanx-reporter: there are no GPUs to report: the GPU driver's library libnvidia-ml.so.1 was not found\n", 3},
		"no driver":                 {broken("Init", reporter.NotLoaded), []string{"--once"}, "phalanx-reporter: there are no GPUs to report: the GPU driver is not loaded\n", 3},
		"no cgo":                    {broken("Init", reporter.NoBackend), []string{"--once"}, "phalanx-reporter: there are no GPUs to report: this program was built without cgo, and cannot talk to the GPU driver\n", 3},
		"a driver that goes away":   {broken("Count", reporter.NotLoaded), []string{"--once"}, "phalanx-reporter: there are no GPUs to report: count of the GPUs: the GPU driver is not loaded\n", 3},
		"a library of another age":  {broken("Init", reporter.Mismatched), []string{"--once"}, "phalanx-reporter: the GPU driver and its library are of different versions\n", 1},
		"an unknown error":          {broken("Init", fmt.Errorf("it returned 4")), []string{"--once"}, "phalanx-reporter: it returned 4\n", 1},
		"no node":                   {fake.H100(), []string{"--node-name="}, "phalanx-reporter: --node-name is \"\": it must be the name of this machine's node, which $NODE_NAME may say\n", 1},
		"no namespace":              {fake.H100(), []string{"--node-name=n1", "--namespace=a/b"}, "phalanx-reporter: --namespace is \"a/b\": it must be the name of the Lease's namespace, which $POD_NAMESPACE may say\n", 1},
		"a period without end":      {fake.H100(), []string{"--node-name=n1", "--namespace=gpus", "--period=1h"}, "phalanx-reporter: --period is 1h0m0s: it must be from 1s to 1m0s\n", 1},
		"a kubeconfig that is none": {fake.H100(), []string{"--node-name=n1", "--namespace=gpus", "--kubeconfig=/nowhere/config"}, "phalanx-reporter: --kubeconfig: stat /nowhere/config: no such file or directory\n", 1},
		"an unknown format":         {fake.H100(), []string{"--once", "-o", "xml"}, "phalanx-reporter: --output is \"xml\": it must be json, table or yaml\n", 1},
		"an argument":               {fake.H100(), []string{"--once", "now"}, "phalanx-reporter: unknown command \"now\" for \"phalanx-reporter\"\n", 1},
		"an unknown flag":           {fake.H100(), []string{"--twice"}, "phalanx-reporter: unknown flag: --twice\n", 1},
		"a UUID that is none":       {func() *fake.Driver { d := fake.H100(); d.GPUs[0].ID = "gpu0"; return d }(), []string{"--once"}, "phalanx-reporter: GPU report: gpus[0].uuid is \"gpu0\": it must be \"GPU-\" and a UUID in lower case\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := execute(test.driver, test.args...)
			assert.Empty(t, stdout)
			assert.Equal(t, test.want, stderr)
			assert.Equal(t, test.code, code)
		})
	}
}

func TestTheVersionSaysWhatItCanTalkTo(t *testing.T) {
	stdout, _, code := execute(&fake.Driver{}, "--version")
	assert.Zero(t, code)
	assert.Equal(t, "phalanx-reporter "+version+" (NVML)\n", stdout)
}

func TestAHungDriverEndsTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, hang, ended := fake.H100(), make(chan struct{}), make(chan int)
		d.GPUs[2].Before = func(string) { <-hang }
		var stderr bytes.Buffer
		cmd := New(d, "NVML", func(code int) { ended <- code })
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetErr(&stderr)
		cmd.SetArgs([]string{"--once"})
		done := make(chan int)
		began := time.Now()
		go func() { done <- run(cmd, &bytes.Buffer{}) }()
		assert.Equal(t, 1, <-ended)
		assert.Equal(t, callLimit, time.Since(began))
		assert.Equal(t, "phalanx-reporter: GPU 2: the GPU driver did not answer within 1m0s\n", stderr.String())
		close(hang)
		<-done
	})
}
