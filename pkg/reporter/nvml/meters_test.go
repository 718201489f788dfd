//go:build cgo

package nvml

import (
	"encoding/binary"
	"testing"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

func TestMeters(t *testing.T) {
	v, mock := one(t, "nvmlDeviceGetTemperature", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetClockInfo")
	mock.GetTemperatureFunc = func(sensor gonvml.TemperatureSensors) (uint32, gonvml.Return) {
		assert.Equal(t, gonvml.TEMPERATURE_GPU, sensor)
		return 41, gonvml.SUCCESS
	}
	mock.GetPowerUsageFunc = func() (uint32, gonvml.Return) { return 72_500, gonvml.SUCCESS }
	mock.GetClockInfoFunc = func(clock gonvml.ClockType) (uint32, gonvml.Return) {
		return map[gonvml.ClockType]uint32{gonvml.CLOCK_SM: 1980, gonvml.CLOCK_MEM: 2619}[clock], gonvml.SUCCESS
	}
	celsius, err := v.Celsius()
	require.NoError(t, err)
	assert.Equal(t, 41, celsius)
	milliWatts, err := v.MilliWatts()
	require.NoError(t, err)
	assert.Equal(t, 72_500, milliWatts)
	clocks, err := v.Clocks()
	require.NoError(t, err)
	assert.Equal(t, reporter.Clocks{ProcessorMHz: 1980, MemoryMHz: 2619}, clocks)
}

func TestLinkErrors(t *testing.T) {
	counter := func(f *gonvml.FieldValue, sort gonvml.ValueType, n uint64) {
		f.ValueType = uint32(sort)
		if sort == gonvml.VALUE_TYPE_UNSIGNED_INT {
			binary.NativeEndian.PutUint32(f.Value[:4], uint32(n))
			return
		}
		binary.NativeEndian.PutUint64(f.Value[:], n)
	}
	for name, test := range map[string]struct {
		answer func(f []gonvml.FieldValue) gonvml.Return
		want   uint64
		fault  error
	}{
		"all counters are added": {func(f []gonvml.FieldValue) gonvml.Return {
			for i, sort := range []gonvml.ValueType{gonvml.VALUE_TYPE_UNSIGNED_INT, gonvml.VALUE_TYPE_UNSIGNED_LONG, gonvml.VALUE_TYPE_UNSIGNED_LONG_LONG, gonvml.VALUE_TYPE_UNSIGNED_INT} {
				counter(&f[i], sort, 1<<(8*i))
			}
			return gonvml.SUCCESS
		}, 0x01010101, nil},
		"one that the GPU does not have is left out": {func(f []gonvml.FieldValue) gonvml.Return {
			for i := range f {
				f[i].NvmlReturn = uint32(gonvml.ERROR_NOT_SUPPORTED)
			}
			f[2].NvmlReturn = uint32(gonvml.SUCCESS)
			counter(&f[2], gonvml.VALUE_TYPE_UNSIGNED_LONG_LONG, 7)
			return gonvml.SUCCESS
		}, 7, nil},
		"without any there is no answer": {func(f []gonvml.FieldValue) gonvml.Return {
			for i := range f {
				f[i].NvmlReturn = uint32(gonvml.ERROR_NOT_SUPPORTED)
			}
			return gonvml.SUCCESS
		}, 0, reporter.NotSupported},
		"a GPU that is lost": {func([]gonvml.FieldValue) gonvml.Return { return gonvml.ERROR_GPU_IS_LOST }, 0, reporter.GPULost},
	} {
		t.Run(name, func(t *testing.T) {
			v, mock := one(t, "nvmlDeviceGetFieldValues")
			mock.GetFieldValuesFunc = test.answer
			got, err := v.LinkErrors()
			assert.ErrorIs(t, err, test.fault)
			assert.Equal(t, test.want, got)
		})
	}
}
