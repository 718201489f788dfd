//go:build cgo

package nvml

import (
	"encoding/binary"
	"fmt"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

func (v *device) Celsius() (int, error) {
	celsius, err := ask(v, "nvmlDeviceGetTemperature", func() (uint32, gonvml.Return) { return v.gpu.GetTemperature(gonvml.TEMPERATURE_GPU) })
	return int(celsius), err
}

func (v *device) MilliWatts() (int, error) {
	milliWatts, err := ask(v, "nvmlDeviceGetPowerUsage", v.gpu.GetPowerUsage)
	return int(milliWatts), err
}

func (v *device) Clocks() (c reporter.Clocks, err error) {
	for _, q := range []struct {
		clock gonvml.ClockType
		into  *int
	}{{gonvml.CLOCK_SM, &c.ProcessorMHz}, {gonvml.CLOCK_MEM, &c.MemoryMHz}} {
		mhz, err := ask(v, "nvmlDeviceGetClockInfo", func() (uint32, gonvml.Return) { return v.gpu.GetClockInfo(q.clock) })
		if err != nil {
			return c, err
		}
		*q.into = int(mhz)
	}
	return c, nil
}

// linkErrorFields are the counters over all links. To ask each link for each would take hundreds of calls.
var linkErrorFields = []uint32{
	gonvml.FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL, gonvml.FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL,
	gonvml.FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL, gonvml.FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL,
}

// LinkErrors adds up the counters that this GPU has.
func (v *device) LinkErrors() (sum uint64, err error) {
	const function = "nvmlDeviceGetFieldValues"
	fields := make([]gonvml.FieldValue, len(linkErrorFields))
	for i, id := range linkErrorFields {
		fields[i].FieldId = id
	}
	if err := v.driver.call(function, func() gonvml.Return { return v.gpu.GetFieldValues(fields) }); err != nil {
		return 0, err
	}
	known := 0
	for _, field := range fields {
		if gonvml.Return(field.NvmlReturn) != gonvml.SUCCESS {
			continue
		}
		switch gonvml.ValueType(field.ValueType) {
		case gonvml.VALUE_TYPE_UNSIGNED_INT:
			sum += uint64(binary.NativeEndian.Uint32(field.Value[:4]))
		case gonvml.VALUE_TYPE_UNSIGNED_LONG, gonvml.VALUE_TYPE_UNSIGNED_LONG_LONG:
			sum += binary.NativeEndian.Uint64(field.Value[:])
		default:
			continue
		}
		known++
	}
	if known == 0 {
		return 0, fmt.Errorf("%s: no counter of NVLink errors: %w", function, reporter.NotSupported)
	}
	return sum, nil
}
