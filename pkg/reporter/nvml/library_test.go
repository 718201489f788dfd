//go:build cgo

package nvml

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

// compiled is a library made of a C file in testdata.
func compiled(t *testing.T, file string) string {
	cc := strings.Fields(os.Getenv("CC"))
	if len(cc) == 0 {
		cc = []string{"cc"}
	}
	library := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	out, err := exec.Command(cc[0], append(cc[1:], "-shared", "-fPIC", "-o", library, filepath.Join("testdata", file))...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return library
}

// A real library, though not NVIDIA's: if anything were called that it lacks, this test would not come to an end.
func TestALibraryThatLacksMostFunctions(t *testing.T) {
	config := health.Default()
	r, err := reporter.Open(&driver{lib: gonvml.New(gonvml.WithLibraryPath(compiled(t, "old.c"))), sys: fstest.MapFS{}}, &config, reporter.Watchdog{})
	require.NoError(t, err)
	k80 := gpu.GPU{UUID: "GPU-00000000-0000-0000-0000-000000000000", NUMA: -1, Product: "Tesla K80", MemoryMiB: 11441, FreeMiB: 11441}
	lost := k80
	lost.Index, lost.UUID, lost.FreeMiB, lost.State, lost.Reasons = 1, "GPU-00000000-0000-0000-0000-000000000001", 0, gpu.Lost, []string{"does not answer"}
	_, isUnsure, err := r.Read(time.Now(), nil)
	require.NoError(t, err)
	assert.True(t, isUnsure)
	report, isUnsure, err := r.Read(time.Now(), nil)
	require.NoError(t, err)
	assert.False(t, isUnsure)
	assert.Equal(t, gpu.Report{Driver: "390.157", GPUs: []gpu.GPU{k80, lost}}, report)
	require.NoError(t, r.Reopen())
	require.NoError(t, r.Close())
}
