//go:build cgo

package nvml

import (
	"fmt"
	"io/fs"
	"os"
	"sync"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

// Backend says what this program can talk to.
const Backend = "NVML"

// driver is the library.
type driver struct {
	lib gonvml.Interface
	sys fs.FS // what Linux tells in /sys

	mu  sync.Mutex
	has map[string]bool // which functions the library has, of those that were looked for
}

// New returns the driver of this machine.
func New() reporter.Driver { return &driver{lib: gonvml.New(), sys: os.DirFS("/sys")} }

func (d *driver) Init() error {
	d.mu.Lock()
	d.has = map[string]bool{}
	d.mu.Unlock()
	return faultOf("nvmlInit", d.lib.Init())
}

func (d *driver) Shutdown() error { return faultOf("nvmlShutdown", d.lib.Shutdown()) }

func (d *driver) Version() (version string, err error) {
	err = d.call("nvmlSystemGetDriverVersion", func() (ret gonvml.Return) {
		version, ret = d.lib.SystemGetDriverVersion()
		return ret
	})
	return version, err
}

func (d *driver) Count() (count int, err error) {
	err = d.call("nvmlDeviceGetCount", func() (ret gonvml.Return) {
		count, ret = d.lib.DeviceGetCount()
		return ret
	})
	return count, err
}

func (d *driver) Device(index int) (reporter.Device, error) {
	v := &device{driver: d}
	err := d.call("nvmlDeviceGetHandleByIndex", func() (ret gonvml.Return) {
		v.gpu, ret = d.lib.DeviceGetHandleByIndex(index)
		return ret
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// call calls a function if the library has it.
func (d *driver) call(function string, do func() gonvml.Return) error {
	if !d.hasFunction(function) {
		return fmt.Errorf("%s: %w", function, reporter.NotSupported)
	}
	return faultOf(function, do())
}

func (d *driver) hasFunction(function string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	has, isKnown := d.has[function]
	if !isKnown {
		has = d.lib.Extensions().LookupSymbol(function) == nil
		d.has[function] = has
	}
	return has
}

// faults are those that mean something to the reporter.
var faults = map[gonvml.Return]reporter.Fault{
	gonvml.ERROR_NOT_SUPPORTED:             reporter.NotSupported,
	gonvml.ERROR_FUNCTION_NOT_FOUND:        reporter.NotSupported,
	gonvml.ERROR_ARGUMENT_VERSION_MISMATCH: reporter.NotSupported,
	gonvml.ERROR_DRIVER_NOT_LOADED:         reporter.NotLoaded,
	gonvml.ERROR_LIBRARY_NOT_FOUND:         reporter.NoLibrary,
	gonvml.ERROR_LIB_RM_VERSION_MISMATCH:   reporter.Mismatched,
	gonvml.ERROR_GPU_IS_LOST:               reporter.GPULost,
	gonvml.ERROR_RESET_REQUIRED:            reporter.WantsReset,
	gonvml.ERROR_UNKNOWN:                   reporter.Broken,
}

// faultOf is nil for success. It asks the library for no text: that is a call too.
func faultOf(function string, ret gonvml.Return) error {
	if ret == gonvml.SUCCESS {
		return nil
	}
	if fault, ok := faults[ret]; ok {
		return fmt.Errorf("%s: %w", function, fault)
	}
	return fmt.Errorf("%s: it returned %d", function, int(ret))
}
