//go:build cgo

package nvml

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

// device is one GPU.
type device struct {
	driver *driver
	gpu    gonvml.Device
}

// ask calls a function that returns one value.
func ask[T any](v *device, function string, do func() (T, gonvml.Return)) (value T, err error) {
	err = v.driver.call(function, func() (ret gonvml.Return) {
		value, ret = do()
		return ret
	})
	return value, err
}

func (v *device) UUID() (string, error)    { return ask(v, "nvmlDeviceGetUUID", v.gpu.GetUUID) }
func (v *device) Product() (string, error) { return ask(v, "nvmlDeviceGetName", v.gpu.GetName) }

func (v *device) Bus() (string, error) {
	pci, err := ask(v, "nvmlDeviceGetPciInfo", v.gpu.GetPciInfo)
	if err != nil {
		return "", err
	}
	bus := address(pci)
	if bus == "" {
		return "", fmt.Errorf("nvmlDeviceGetPciInfo: no address: %w", reporter.NotSupported)
	}
	return bus, nil
}

// address is a PCI address as Linux writes it. NVML's has domains of eight digits, of which Linux leaves out leading zeros but
// for four, and capitals.
func address(pci gonvml.PciInfo) string {
	var text strings.Builder
	for _, c := range pci.BusId {
		if c == 0 {
			break
		}
		text.WriteByte(byte(c))
	}
	bus := strings.ToLower(text.String())
	if domain, _, _ := strings.Cut(bus, ":"); len(domain) == 8 {
		return strings.TrimPrefix(bus, "0000")
	}
	return bus
}

// NUMA is what Linux knows: NVML's own answer is about the GPU's memory, where that is a NUMA node itself.
func (v *device) NUMA() (int, error) {
	bus, err := v.Bus()
	if err != nil {
		return 0, err
	}
	text, err := fs.ReadFile(v.driver.sys, "bus/pci/devices/"+bus+"/numa_node")
	if err != nil {
		return 0, err
	}
	node, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || node < 0 {
		return 0, fmt.Errorf("NUMA node of %s is %q: %w", bus, text, reporter.NotSupported)
	}
	return node, nil
}

func (v *device) Capability() (c gpu.Capability, err error) {
	err = v.driver.call("nvmlDeviceGetCudaComputeCapability", func() (ret gonvml.Return) {
		c.Major, c.Minor, ret = v.gpu.GetCudaComputeCapability()
		return ret
	})
	return c, err
}

var closenesses = map[gonvml.GpuTopologyLevel]gpu.Closeness{
	gonvml.TOPOLOGY_INTERNAL:   gpu.SameBoard,
	gonvml.TOPOLOGY_SINGLE:     gpu.OneSwitch,
	gonvml.TOPOLOGY_MULTIPLE:   gpu.SeveralSwitches,
	gonvml.TOPOLOGY_HOSTBRIDGE: gpu.SameHostBridge,
	gonvml.TOPOLOGY_NODE:       gpu.SameCPU,
	gonvml.TOPOLOGY_SYSTEM:     gpu.CrossCPU,
}

func (v *device) Closeness(other reporter.Device) (gpu.Closeness, error) {
	level, err := ask(v, "nvmlDeviceGetTopologyCommonAncestor", func() (gonvml.GpuTopologyLevel, gonvml.Return) {
		return v.gpu.GetTopologyCommonAncestor(other.(*device).gpu)
	})
	return closenesses[level], err
}

// Memory is told more exactly by the second version, which does not count as used what the driver keeps for itself.
func (v *device) Memory() (reporter.Memory, error) {
	const mib = 1 << 20
	if m, err := ask(v, "nvmlDeviceGetMemoryInfo_v2", v.gpu.GetMemoryInfo_v2); err == nil {
		return reporter.Memory{TotalMiB: int(m.Total / mib), FreeMiB: int(m.Free / mib)}, nil
	}
	m, err := ask(v, "nvmlDeviceGetMemoryInfo", v.gpu.GetMemoryInfo)
	return reporter.Memory{TotalMiB: int(m.Total / mib), FreeMiB: int(m.Free / mib)}, err
}

func (v *device) IsMIG() (bool, error) {
	mode, err := ask(v, "nvmlDeviceGetMigMode", func() (int, gonvml.Return) {
		current, _, ret := v.gpu.GetMigMode()
		return current, ret
	})
	return mode == gonvml.DEVICE_MIG_ENABLE, err
}

func (v *device) IsProhibited() (bool, error) {
	mode, err := ask(v, "nvmlDeviceGetComputeMode", v.gpu.GetComputeMode)
	return mode == gonvml.COMPUTEMODE_PROHIBITED, err
}

func (v *device) Recovery() (gpu.Recovery, error) {
	const function = "nvmlDeviceGetFieldValues"
	fields := []gonvml.FieldValue{{FieldId: gonvml.FI_DEV_GET_GPU_RECOVERY_ACTION}}
	if err := v.driver.call(function, func() gonvml.Return { return v.gpu.GetFieldValues(fields) }); err != nil {
		return 0, err
	}
	field := fields[0]
	if err := faultOf(function+" of the recovery action", gonvml.Return(field.NvmlReturn)); err != nil {
		return 0, err
	}
	if gonvml.ValueType(field.ValueType) != gonvml.VALUE_TYPE_UNSIGNED_INT {
		return 0, fmt.Errorf("%s: the recovery action is of type %d: %w", function, field.ValueType, reporter.NotSupported)
	}
	return gpu.Recovery(min(binary.NativeEndian.Uint32(field.Value[:4]), math.MaxUint8)), nil
}

func (v *device) RemappedRows() (reporter.RemappedRows, error) {
	return ask(v, "nvmlDeviceGetRemappedRows", func() (reporter.RemappedRows, gonvml.Return) {
		_, _, isPending, hasFailed, ret := v.gpu.GetRemappedRows()
		return reporter.RemappedRows{IsPending: isPending, HasFailed: hasFailed}, ret
	})
}

func (v *device) RetiredPages() (pages reporter.RetiredPages, err error) {
	pending, err := ask(v, "nvmlDeviceGetRetiredPagesPendingStatus", v.gpu.GetRetiredPagesPendingStatus)
	if err != nil {
		return pages, err
	}
	pages.IsPending = pending == gonvml.FEATURE_ENABLED
	for _, cause := range []gonvml.PageRetirementCause{
		gonvml.PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS, gonvml.PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
	} {
		addresses, err := ask(v, "nvmlDeviceGetRetiredPages", func() ([]uint64, gonvml.Return) { return v.gpu.GetRetiredPages(cause) })
		if err != nil {
			return pages, err
		}
		pages.Count += len(addresses)
	}
	return pages, nil
}

func (v *device) MemoryErrors() (uint64, error) {
	return ask(v, "nvmlDeviceGetTotalEccErrors", func() (uint64, gonvml.Return) {
		return v.gpu.GetTotalEccErrors(gonvml.MEMORY_ERROR_TYPE_UNCORRECTED, gonvml.VOLATILE_ECC)
	})
}

// IsSlowed asks by the function's name of today, or by that of older drivers.
func (v *device) IsSlowed() (bool, error) {
	reasons, err := ask(v, "nvmlDeviceGetCurrentClocksEventReasons", v.gpu.GetCurrentClocksEventReasons)
	if err != nil {
		reasons, err = ask(v, "nvmlDeviceGetCurrentClocksThrottleReasons", v.gpu.GetCurrentClocksThrottleReasons)
	}
	const hard = gonvml.ClocksThrottleReasonHwThermalSlowdown | gonvml.ClocksThrottleReasonHwPowerBrakeSlowdown
	return reasons&hard != 0, err
}

func (v *device) PCIe() (p reporter.PCIe, err error) {
	for _, q := range []struct {
		function string
		do       func() (int, gonvml.Return)
		into     *int
	}{
		{"nvmlDeviceGetCurrPcieLinkGeneration", v.gpu.GetCurrPcieLinkGeneration, &p.Generation},
		{"nvmlDeviceGetMaxPcieLinkGeneration", v.gpu.GetMaxPcieLinkGeneration, &p.MaxGeneration},
		{"nvmlDeviceGetCurrPcieLinkWidth", v.gpu.GetCurrPcieLinkWidth, &p.Width},
		{"nvmlDeviceGetMaxPcieLinkWidth", v.gpu.GetMaxPcieLinkWidth, &p.MaxWidth},
	} {
		if *q.into, err = ask(v, q.function, q.do); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (v *device) BusyPercent() (int, error) {
	rates, err := ask(v, "nvmlDeviceGetUtilizationRates", v.gpu.GetUtilizationRates)
	return int(rates.Gpu), err
}

func (v *device) EnergyMilliJoules() (uint64, error) {
	return ask(v, "nvmlDeviceGetTotalEnergyConsumption", v.gpu.GetTotalEnergyConsumption)
}
