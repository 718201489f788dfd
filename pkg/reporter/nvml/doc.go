// Package nvml is the GPU driver as NVIDIA's management library tells of it: the only place that knows go-nvml.
//
// Purpose: thin. It asks, names the fault of what it gets, and decides nothing. It needs cgo: built without, [New] returns a
// driver that says so.
//
// Invariants: the library ends the process, past any recover, if a function is called that it does not have, or any before Init
// succeeded. So each call looks first whether this library has the function, and none is made before Init: see
// [reporter.Driver]. What a GPU cannot say is [reporter.NotSupported].
//
// Cost: a call into C each.
package nvml
