//go:build !cgo

package nvml

import "github.com/phalanx-scheduler/phalanx/pkg/reporter"

// Backend says what this program can talk to.
const Backend = "built without cgo, cannot talk to GPUs"

// without has no calls, since none may be made before Init has succeeded.
type without struct{ reporter.Driver }

// New returns a driver that cannot be made ready.
func New() reporter.Driver { return without{} }

func (without) Init() error { return reporter.NoBackend }
