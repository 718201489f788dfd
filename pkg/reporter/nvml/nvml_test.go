//go:build cgo

package nvml

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxb200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh200"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

// mocked are the functions that go-nvml's mocks know. Any other panics.
var mocked = []string{
	"nvmlSystemGetDriverVersion", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID", "nvmlDeviceGetName",
	"nvmlDeviceGetPciInfo", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetCudaComputeCapability", "nvmlDeviceGetMigMode",
}

// machine is a driver on a mock, whose library has these functions.
func machine(server *dgxa100.Server, functions ...string) *driver {
	server.LookupSymbolFunc = func(function string) error {
		if slices.Contains(functions, function) {
			return nil
		}
		return errors.New("undefined symbol: " + function)
	}
	return &driver{lib: server, sys: fstest.MapFS{"bus/pci/devices/0000:1b:00.0/numa_node": {Data: []byte("1\n")}}}
}

func TestKnownSystems(t *testing.T) {
	for name, test := range map[string]struct {
		server     *dgxa100.Server
		product    string
		memoryMiB  int
		capability gpu.Capability
	}{
		"a DGX A100": {dgxa100.New(), "Mock NVIDIA A100-SXM4-40GB", 40960, gpu.Capability{Major: 8}},
		"a DGX H100": {dgxh100.New(), "NVIDIA H100 80GB HBM3", 81920, gpu.Capability{Major: 9}},
		"a DGX H200": {dgxh200.New(), "NVIDIA H200 141GB HBM3e", 144384, gpu.Capability{Major: 9}},
		"a DGX B200": {dgxb200.New(), "NVIDIA B200 180GB HBM3e", 184320, gpu.Capability{Major: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			test.server.Devices[5].(*dgxa100.Device).MigMode = gonvml.DEVICE_MIG_ENABLE
			config := health.Default()
			r, err := reporter.Open(machine(test.server, mocked...), &config, reporter.Watchdog{})
			require.NoError(t, err)
			report, isUnsure, err := r.Read(time.Now(), nil)
			require.NoError(t, err)
			assert.False(t, isUnsure)
			require.NoError(t, report.Validate())
			require.NoError(t, r.Close())

			assert.Equal(t, test.server.DriverVersion, report.Driver)
			require.Len(t, report.GPUs, 8)
			for i, g := range report.GPUs {
				assert.Equal(t, gpu.GPU{
					Index: i, UUID: test.server.Devices[i].(*dgxa100.Device).UUID, NUMA: -1, Product: test.product, Capability: test.capability,
					MemoryMiB: test.memoryMiB, IsMIG: i == 5,
				}, g)
			}
		})
	}
}

// one is the first GPU of a mock, whose library has this function, and what the mock knows.
func one(t *testing.T, function ...string) (*device, *dgxa100.Device) {
	server := dgxh100.New()
	d := machine(server, append(function, mocked...)...)
	require.NoError(t, d.Init())
	v, err := d.Device(0)
	require.NoError(t, err)
	return v.(*device), server.Devices[0].(*dgxa100.Device)
}

func pci(bus string) (info gonvml.PciInfo) {
	for i := range bus {
		setByte(&info.BusId[i], bus[i])
	}
	return info
}

func setByte[T ~int8 | ~uint8](at *T, b byte) { *at = T(b) }

func TestAddresses(t *testing.T) {
	for name, test := range map[string]struct{ nvml, want string }{
		"a domain of zeros": {"00000000:1B:00.0", "0000:1b:00.0"},
		"a domain":          {"00000008:01:00.0", "0008:01:00.0"},
		"a long domain":     {"00010000:01:00.0", "00010000:01:00.0"},
		"Linux's own form":  {"0000:1b:00.0", "0000:1b:00.0"},
		"nothing":           {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			v, mock := one(t)
			mock.GetPciInfoFunc = func() (gonvml.PciInfo, gonvml.Return) { return pci(test.nvml), gonvml.SUCCESS }
			got, err := v.Bus()
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.want == "", errors.Is(err, reporter.NotSupported))
		})
	}
}

func TestNUMA(t *testing.T) {
	v, mock := one(t)
	mock.GetPciInfoFunc = func() (gonvml.PciInfo, gonvml.Return) { return pci("00000000:1B:00.0"), gonvml.SUCCESS }
	node, err := v.NUMA()
	assert.NoError(t, err)
	assert.Equal(t, 1, node)

	v.driver.sys = fstest.MapFS{"bus/pci/devices/0000:1b:00.0/numa_node": {Data: []byte("-1\n")}}
	_, err = v.NUMA()
	assert.ErrorIs(t, err, reporter.NotSupported, "a machine with one node says -1")
	v.driver.sys = fstest.MapFS{}
	_, err = v.NUMA()
	assert.Error(t, err)
}

func TestMemoryPrefersTheSecondVersion(t *testing.T) {
	v, mock := one(t)
	mock.MemoryInfo = gonvml.Memory{Total: 80 << 30, Free: 79 << 30}
	got, err := v.Memory()
	assert.NoError(t, err)
	assert.Equal(t, reporter.Memory{TotalMiB: 80 << 10, FreeMiB: 79 << 10}, got)

	v, mock = one(t, "nvmlDeviceGetMemoryInfo_v2")
	mock.GetMemoryInfo_v2Func = func() (gonvml.Memory_v2, gonvml.Return) {
		return gonvml.Memory_v2{Total: 80 << 30, Reserved: 1 << 30, Free: 78 << 30}, gonvml.SUCCESS
	}
	got, err = v.Memory()
	assert.NoError(t, err)
	assert.Equal(t, reporter.Memory{TotalMiB: 80 << 10, FreeMiB: 78 << 10}, got)

	mock.GetMemoryInfo_v2Func = func() (gonvml.Memory_v2, gonvml.Return) { return gonvml.Memory_v2{}, gonvml.ERROR_GPU_IS_LOST }
	mock.GetMemoryInfoFunc = func() (gonvml.Memory, gonvml.Return) { return gonvml.Memory{}, gonvml.ERROR_GPU_IS_LOST }
	_, err = v.Memory()
	assert.ErrorIs(t, err, reporter.GPULost)
}

func TestCloseness(t *testing.T) {
	for level, want := range map[gonvml.GpuTopologyLevel]gpu.Closeness{
		gonvml.TOPOLOGY_SYSTEM: gpu.CrossCPU, gonvml.TOPOLOGY_NODE: gpu.SameCPU, gonvml.TOPOLOGY_HOSTBRIDGE: gpu.SameHostBridge,
		gonvml.TOPOLOGY_MULTIPLE: gpu.SeveralSwitches, gonvml.TOPOLOGY_SINGLE: gpu.OneSwitch, gonvml.TOPOLOGY_INTERNAL: gpu.SameBoard, 99: gpu.UnknownCloseness,
	} {
		v, mock := one(t, "nvmlDeviceGetTopologyCommonAncestor")
		mock.GetTopologyCommonAncestorFunc = func(gonvml.Device) (gonvml.GpuTopologyLevel, gonvml.Return) { return level, gonvml.SUCCESS }
		got, err := v.Closeness(v)
		assert.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestRecovery(t *testing.T) {
	const function = "nvmlDeviceGetFieldValues"
	for name, test := range map[string]struct {
		answer func(f *gonvml.FieldValue) gonvml.Return
		want   gpu.Recovery
		fault  error
	}{
		"a reset": {func(f *gonvml.FieldValue) gonvml.Return {
			assert.EqualValues(t, 230, f.FieldId)
			f.ValueType = uint32(gonvml.VALUE_TYPE_UNSIGNED_INT)
			binary.NativeEndian.PutUint32(f.Value[:4], 1)
			return gonvml.SUCCESS
		}, gpu.ResetGPU, nil},
		"more than anybody knows": {func(f *gonvml.FieldValue) gonvml.Return {
			f.ValueType = uint32(gonvml.VALUE_TYPE_UNSIGNED_INT)
			binary.NativeEndian.PutUint32(f.Value[:4], 1<<20)
			return gonvml.SUCCESS
		}, 255, nil},
		"a driver that knows no such field": {func(f *gonvml.FieldValue) gonvml.Return {
			f.NvmlReturn = uint32(gonvml.ERROR_NOT_SUPPORTED)
			return gonvml.SUCCESS
		}, 0, reporter.NotSupported},
		"a field of another type": {func(f *gonvml.FieldValue) gonvml.Return {
			f.ValueType = uint32(gonvml.VALUE_TYPE_DOUBLE)
			return gonvml.SUCCESS
		}, 0, reporter.NotSupported},
		"a GPU that is lost": {func(*gonvml.FieldValue) gonvml.Return { return gonvml.ERROR_GPU_IS_LOST }, 0, reporter.GPULost},
	} {
		t.Run(name, func(t *testing.T) {
			v, mock := one(t, function)
			mock.GetFieldValuesFunc = func(fields []gonvml.FieldValue) gonvml.Return { return test.answer(&fields[0]) }
			got, err := v.Recovery()
			assert.Equal(t, test.want, got)
			assert.ErrorIs(t, err, test.fault)
		})
	}
}

func TestHealth(t *testing.T) {
	v, mock := one(t, "nvmlDeviceGetRemappedRows", "nvmlDeviceGetRetiredPagesPendingStatus", "nvmlDeviceGetRetiredPages", "nvmlDeviceGetTotalEccErrors",
		"nvmlDeviceGetComputeMode", "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetCurrPcieLinkGeneration",
		"nvmlDeviceGetMaxPcieLinkGeneration", "nvmlDeviceGetCurrPcieLinkWidth", "nvmlDeviceGetMaxPcieLinkWidth")
	mock.GetRemappedRowsFunc = func() (int, int, bool, bool, gonvml.Return) { return 1, 2, true, false, gonvml.SUCCESS }
	rows, err := v.RemappedRows()
	assert.NoError(t, err)
	assert.Equal(t, reporter.RemappedRows{IsPending: true}, rows)

	mock.GetRetiredPagesPendingStatusFunc = func() (gonvml.EnableState, gonvml.Return) { return gonvml.FEATURE_ENABLED, gonvml.SUCCESS }
	mock.GetRetiredPagesFunc = func(cause gonvml.PageRetirementCause) ([]uint64, gonvml.Return) {
		return make([]uint64, 2+cause), gonvml.SUCCESS
	}
	pages, err := v.RetiredPages()
	assert.NoError(t, err)
	assert.Equal(t, reporter.RetiredPages{Count: 5, IsPending: true}, pages)

	mock.GetTotalEccErrorsFunc = func(kind gonvml.MemoryErrorType, counter gonvml.EccCounterType) (uint64, gonvml.Return) {
		assert.Equal(t, gonvml.MEMORY_ERROR_TYPE_UNCORRECTED, kind)
		assert.Equal(t, gonvml.VOLATILE_ECC, counter)
		return 3, gonvml.SUCCESS
	}
	errors, err := v.MemoryErrors()
	assert.NoError(t, err)
	assert.EqualValues(t, 3, errors)

	mock.GetComputeModeFunc = func() (gonvml.ComputeMode, gonvml.Return) { return gonvml.COMPUTEMODE_PROHIBITED, gonvml.SUCCESS }
	isProhibited, err := v.IsProhibited()
	assert.NoError(t, err)
	assert.True(t, isProhibited)

	mock.GetTotalEnergyConsumptionFunc = func() (uint64, gonvml.Return) { return 7, gonvml.SUCCESS }
	energy, err := v.EnergyMilliJoules()
	assert.NoError(t, err)
	assert.EqualValues(t, 7, energy)

	mock.GetUtilizationRatesFunc = func() (gonvml.Utilization, gonvml.Return) { return gonvml.Utilization{Gpu: 93}, gonvml.SUCCESS }
	busy, err := v.BusyPercent()
	assert.NoError(t, err)
	assert.Equal(t, 93, busy)

	number := func(n int) func() (int, gonvml.Return) {
		return func() (int, gonvml.Return) { return n, gonvml.SUCCESS }
	}
	mock.GetCurrPcieLinkGenerationFunc, mock.GetMaxPcieLinkGenerationFunc = number(4), number(5)
	mock.GetCurrPcieLinkWidthFunc, mock.GetMaxPcieLinkWidthFunc = number(8), number(16)
	pcie, err := v.PCIe()
	assert.NoError(t, err)
	assert.Equal(t, reporter.PCIe{Generation: 4, MaxGeneration: 5, Width: 8, MaxWidth: 16}, pcie)
}

func TestSlowedGoesByEitherName(t *testing.T) {
	for name, test := range map[string]struct {
		function string
		reasons  uint64
		want     bool
	}{
		"hardware thermal":           {"nvmlDeviceGetCurrentClocksEventReasons", 64 | 8, true},
		"power brake":                {"nvmlDeviceGetCurrentClocksEventReasons", 128, true},
		"hardware slowdown alone":    {"nvmlDeviceGetCurrentClocksEventReasons", 8, false},
		"a power cap":                {"nvmlDeviceGetCurrentClocksEventReasons", 4, false},
		"by the name of older times": {"nvmlDeviceGetCurrentClocksThrottleReasons", 64, true},
	} {
		t.Run(name, func(t *testing.T) {
			v, mock := one(t, test.function)
			reasons := func() (uint64, gonvml.Return) { return test.reasons, gonvml.SUCCESS }
			mock.GetCurrentClocksEventReasonsFunc, mock.GetCurrentClocksThrottleReasonsFunc = reasons, reasons
			got, err := v.IsSlowed()
			assert.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestLinks(t *testing.T) {
	v, mock := one(t, "nvmlDeviceGetNvLinkState", "nvmlDeviceGetNvLinkRemoteDeviceType", "nvmlDeviceGetNvLinkRemotePciInfo")
	states := []gonvml.Return{gonvml.SUCCESS, gonvml.SUCCESS, gonvml.ERROR_NOT_SUPPORTED, gonvml.SUCCESS}
	mock.GetNvLinkStateFunc = func(link int) (gonvml.EnableState, gonvml.Return) {
		if link >= len(states) {
			return gonvml.FEATURE_DISABLED, gonvml.ERROR_INVALID_ARGUMENT
		}
		if link == 1 {
			return gonvml.FEATURE_DISABLED, states[link]
		}
		return gonvml.FEATURE_ENABLED, states[link]
	}
	isUp, err := v.LinksUp()
	assert.NoError(t, err)
	assert.Equal(t, []bool{true, false, false, true}, isUp, "one is down, one there is not")

	states = []gonvml.Return{gonvml.ERROR_NOT_SUPPORTED, gonvml.ERROR_NOT_SUPPORTED}
	_, err = v.LinksUp()
	assert.ErrorIs(t, err, reporter.NotSupported)
	states = []gonvml.Return{gonvml.SUCCESS, gonvml.ERROR_GPU_IS_LOST}
	_, err = v.LinksUp()
	assert.ErrorIs(t, err, reporter.GPULost)

	for kind, want := range map[gonvml.IntNvLinkDeviceType]reporter.PeerKind{
		gonvml.NVLINK_DEVICE_TYPE_GPU: reporter.PeerGPU, gonvml.NVLINK_DEVICE_TYPE_SWITCH: reporter.PeerSwitch,
		gonvml.NVLINK_DEVICE_TYPE_IBMNPU: reporter.PeerCPU, gonvml.NVLINK_DEVICE_TYPE_UNKNOWN: reporter.PeerUnknown,
	} {
		mock.GetNvLinkRemoteDeviceTypeFunc = func(int) (gonvml.IntNvLinkDeviceType, gonvml.Return) { return kind, gonvml.SUCCESS }
		mock.GetNvLinkRemotePciInfoFunc = func(int) (gonvml.PciInfo, gonvml.Return) { return pci("00000000:43:00.0"), gonvml.SUCCESS }
		peer, err := v.LinkPeer(0)
		assert.NoError(t, err)
		assert.Equal(t, reporter.Peer{Kind: want, Bus: "0000:43:00.0"}, peer)

		mock.GetNvLinkRemotePciInfoFunc = func(int) (gonvml.PciInfo, gonvml.Return) { return gonvml.PciInfo{}, gonvml.ERROR_NOT_SUPPORTED }
		peer, err = v.LinkPeer(0)
		assert.NoError(t, err)
		assert.Equal(t, reporter.Peer{Kind: want}, peer, "a kind is enough")
	}
	mock.GetNvLinkRemoteDeviceTypeFunc = func(int) (gonvml.IntNvLinkDeviceType, gonvml.Return) { return 0, gonvml.ERROR_NOT_SUPPORTED }
	_, err = v.LinkPeer(0)
	assert.ErrorIs(t, err, reporter.NotSupported)
}

func TestFabric(t *testing.T) {
	uuid := [16]uint8{0x7f, 0x2e, 0x1c, 0x84, 0x50, 0xa9, 0x4d, 0x0b, 0x9a, 0x3e, 0x6c, 0x1f, 0x0b, 0x7d, 0x2e, 0x55}
	for name, test := range map[string]struct {
		info gonvml.GpuFabricInfo
		want reporter.Fabric
	}{
		"none":              {gonvml.GpuFabricInfo{State: gonvml.GPU_FABRIC_STATE_NOT_SUPPORTED}, reporter.Fabric{}},
		"not begun":         {gonvml.GpuFabricInfo{State: gonvml.GPU_FABRIC_STATE_NOT_STARTED}, reporter.Fabric{State: reporter.FabricPending}},
		"under way":         {gonvml.GpuFabricInfo{State: gonvml.GPU_FABRIC_STATE_IN_PROGRESS, ClusterUuid: uuid}, reporter.Fabric{State: reporter.FabricPending}},
		"failed":            {gonvml.GpuFabricInfo{State: gonvml.GPU_FABRIC_STATE_COMPLETED, Status: 999, ClusterUuid: uuid}, reporter.Fabric{State: reporter.FabricFailed}},
		"ready, one node":   {gonvml.GpuFabricInfo{State: gonvml.GPU_FABRIC_STATE_COMPLETED, CliqueId: 7}, reporter.Fabric{State: reporter.FabricReady}},
		"ready, many nodes": {gonvml.GpuFabricInfo{State: gonvml.GPU_FABRIC_STATE_COMPLETED, ClusterUuid: uuid, CliqueId: 7}, reporter.Fabric{State: reporter.FabricReady, Domain: gpu.Fabric{UUID: "7f2e1c84-50a9-4d0b-9a3e-6c1f0b7d2e55", Clique: 7}}},
	} {
		t.Run(name, func(t *testing.T) {
			v, mock := one(t, "nvmlDeviceGetGpuFabricInfo")
			mock.GetGpuFabricInfoFunc = func() (gonvml.GpuFabricInfo, gonvml.Return) { return test.info, gonvml.SUCCESS }
			got, err := v.Fabric()
			assert.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

// The mock panics where the library would end the process.
func TestAFunctionThatTheLibraryLacksIsNotCalled(t *testing.T) {
	v, _ := one(t)
	for name, err := range map[string]error{
		"IsProhibited": second(v.IsProhibited()), "Recovery": second(v.Recovery()), "RemappedRows": second(v.RemappedRows()), "RetiredPages": second(v.RetiredPages()),
		"MemoryErrors": second(v.MemoryErrors()), "Fabric": second(v.Fabric()), "LinksUp": second(v.LinksUp()), "LinkPeer": second(v.LinkPeer(0)),
		"IsSlowed": second(v.IsSlowed()), "PCIe": second(v.PCIe()), "BusyPercent": second(v.BusyPercent()), "EnergyMilliJoules": second(v.EnergyMilliJoules()),
		"Celsius": second(v.Celsius()), "MilliWatts": second(v.MilliWatts()), "Clocks": second(v.Clocks()), "LinkErrors": second(v.LinkErrors()),
		"Closeness": second(v.Closeness(v)), "Watch": second(v.driver.Watch(nil)),
	} {
		assert.ErrorIs(t, err, reporter.NotSupported, name)
	}
}

func second[T any](_ T, err error) error { return err }

func TestFaults(t *testing.T) {
	for code, want := range map[gonvml.Return]reporter.Fault{
		3: reporter.NotSupported, 9: reporter.NotLoaded, 12: reporter.NoLibrary, 13: reporter.NotSupported, 15: reporter.GPULost,
		16: reporter.WantsReset, 18: reporter.Mismatched, 25: reporter.NotSupported, 999: reporter.Broken,
	} {
		err := faultOf("nvmlDeviceGetName", code)
		assert.ErrorIs(t, err, want, "%d", code)
		assert.EqualError(t, err, "nvmlDeviceGetName: "+want.Error())
	}
	assert.NoError(t, faultOf("nvmlDeviceGetName", 0))
	assert.EqualError(t, faultOf("nvmlDeviceGetName", 4), "nvmlDeviceGetName: it returned 4")
}

func TestInitFails(t *testing.T) {
	server := dgxa100.New()
	server.InitFunc = func() gonvml.Return { return gonvml.ERROR_DRIVER_NOT_LOADED }
	assert.ErrorIs(t, machine(server).Init(), reporter.NotLoaded)
}

func TestAMachineWithoutADriver(t *testing.T) {
	d := New()
	err := d.Init()
	if err == nil {
		require.NoError(t, d.Shutdown())
		t.Skip("this machine has a driver")
	}
	if errors.Is(err, reporter.NotLoaded) || errors.Is(err, reporter.Mismatched) {
		t.Skipf("this machine has part of one: %v", err)
	}
	assert.ErrorIs(t, err, reporter.NoLibrary)
}

func TestEvents(t *testing.T) {
	server := dgxh100.New()
	d := machine(server, append(mocked, "nvmlEventSetCreate", "nvmlDeviceGetSupportedEventTypes", "nvmlDeviceRegisterEvents", "nvmlEventSetWait", "nvmlEventSetFree")...)
	require.NoError(t, d.Init())
	var waits []gonvml.EventData
	set := &mock.EventSet{
		WaitFunc: func(timeoutMilliSeconds uint32) (gonvml.EventData, gonvml.Return) {
			assert.EqualValues(t, 5000, timeoutMilliSeconds)
			if len(waits) == 0 {
				return gonvml.EventData{}, gonvml.ERROR_TIMEOUT
			}
			next := waits[0]
			waits = waits[1:]
			return next, gonvml.SUCCESS
		},
		FreeFunc: func() gonvml.Return { return gonvml.SUCCESS },
	}
	server.EventSetCreateFunc = func() (gonvml.EventSet, gonvml.Return) { return set, gonvml.SUCCESS }
	var devices []reporter.Device
	registered := map[int]uint64{}
	for i := range 3 {
		v, err := d.Device(i)
		require.NoError(t, err)
		devices = append(devices, v)
		mock := server.Devices[i].(*dgxa100.Device)
		mock.GetSupportedEventTypesFunc = func() (uint64, gonvml.Return) {
			return []uint64{gonvml.EventTypeXidCriticalError | gonvml.EventTypeClock, gonvml.EventTypeClock, 0}[i], []gonvml.Return{gonvml.SUCCESS, gonvml.SUCCESS, gonvml.ERROR_NOT_SUPPORTED}[i]
		}
		mock.RegisterEventsFunc = func(types uint64, _ gonvml.EventSet) gonvml.Return {
			registered[i] = types
			return gonvml.SUCCESS
		}
	}
	e, err := d.Watch(devices)
	require.NoError(t, err)
	assert.Equal(t, map[int]uint64{0: gonvml.EventTypeXidCriticalError}, registered, "only what is supported is asked for")

	e.(*events).uuids[gonvml.EventData{}.Device] = "GPU-of-the-table"
	waits = []gonvml.EventData{{EventType: gonvml.EventTypeXidCriticalError, EventData: 79}, {EventType: gonvml.EventTypeClock}}
	event, ok, err := e.Next(5 * time.Second)
	assert.NoError(t, err)
	assert.True(t, ok)
	assert.Equal(t, reporter.Event{UUID: "GPU-of-the-table", XID: 79}, event)
	for _, why := range []string{"an event of another sort", "idle"} {
		_, ok, err = e.Next(5 * time.Second)
		assert.NoError(t, err, why)
		assert.False(t, ok, why)
	}
	set.WaitFunc = func(uint32) (gonvml.EventData, gonvml.Return) { return gonvml.EventData{}, gonvml.ERROR_GPU_IS_LOST }
	_, _, err = e.Next(time.Second)
	assert.ErrorIs(t, err, reporter.GPULost)
	assert.NoError(t, e.Close())

	server.Devices[0].(*dgxa100.Device).RegisterEventsFunc = func(uint64, gonvml.EventSet) gonvml.Return { return gonvml.ERROR_UNKNOWN }
	_, err = d.Watch(devices)
	assert.ErrorIs(t, err, reporter.Broken)
	assert.Len(t, set.FreeCalls(), 2, "what was begun is let go")
}
