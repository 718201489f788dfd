// A driver's library that stands in for NVIDIA's: 8 GPUs behind switches, busy and well. What moves on such GPUs moves from call to
// call, and the memory of the first goes back and forth about a sixteenth. Answers cost next to nothing, a real driver's do not.
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include <nvml.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { gpus = 8, links = 18, memoryMiB = 81559 };

struct nvmlDevice_st {
	unsigned number, memoryCalls, meterCalls;
	unsigned long long milliJoules;
};

static struct nvmlDevice_st all[gpus];
static const unsigned buses[gpus] = {0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf};
static int events;

nvmlReturn_t nvmlInit_v2(void) {
	for (unsigned i = 0; i < gpus; i++)
		all[i].number = i;
	return NVML_SUCCESS;
}
nvmlReturn_t nvmlInit(void) { return nvmlInit_v2(); }
nvmlReturn_t nvmlShutdown(void) { return NVML_SUCCESS; }

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length) {
	snprintf(version, length, "570.86.15");
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
	*count = gpus;
	return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCount(unsigned *count) { return nvmlDeviceGetCount_v2(count); }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *gpu) {
	gpu->handle = &all[index];
	return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t *gpu) { return nvmlDeviceGetHandleByIndex_v2(index, gpu); }

// What does not change.

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t gpu, char *uuid, unsigned length) {
	unsigned i = gpu.handle->number;
	snprintf(uuid, length, "GPU-%08x-5eed-4c1d-8a2b-%012x", 0x6f5b2c1e + i * 7919, 0x0d1c9a77 + i * 104729);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t gpu, char *name, unsigned length) {
	snprintf(name, length, "NVIDIA H100 80GB HBM3");
	return NVML_SUCCESS;
}

static nvmlReturn_t address(nvmlPciInfo_t *pci, unsigned bus) {
	memset(pci, 0, sizeof *pci);
	pci->bus = bus;
	snprintf(pci->busId, sizeof pci->busId, "00000000:%02X:00.0", bus);
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t gpu, nvmlPciInfo_t *pci) { return address(pci, buses[gpu.handle->number]); }
nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t gpu, nvmlPciInfo_t *pci) { return nvmlDeviceGetPciInfo_v3(gpu, pci); }
nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t gpu, nvmlPciInfo_t *pci) { return nvmlDeviceGetPciInfo_v3(gpu, pci); }

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t gpu, int *major, int *minor) {
	*major = 9;
	*minor = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t a, nvmlDevice_t b, nvmlGpuTopologyLevel_t *level) {
	int isSameCPU = a.handle->number / (gpus / 2) == b.handle->number / (gpus / 2);
	*level = isSameCPU ? NVML_TOPOLOGY_NODE : NVML_TOPOLOGY_SYSTEM;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t gpu, unsigned *current, unsigned *pending) {
	*current = *pending = NVML_DEVICE_MIG_DISABLE;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t gpu, nvmlComputeMode_t *mode) {
	*mode = NVML_COMPUTEMODE_DEFAULT;
	return NVML_SUCCESS;
}

#define ALWAYS(function, value)                                          \
	nvmlReturn_t function(nvmlDevice_t gpu, unsigned *answer) {      \
		*answer = value;                                         \
		return NVML_SUCCESS;                                     \
	}
ALWAYS(nvmlDeviceGetCurrPcieLinkGeneration, 5)
ALWAYS(nvmlDeviceGetMaxPcieLinkGeneration, 5)
ALWAYS(nvmlDeviceGetCurrPcieLinkWidth, 16)
ALWAYS(nvmlDeviceGetMaxPcieLinkWidth, 16)

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t gpu, unsigned *correctable, unsigned *uncorrectable, unsigned *isPending, unsigned *hasFailed) {
	*correctable = *uncorrectable = *isPending = *hasFailed = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t gpu, nvmlEnableState_t *isPending) { return NVML_ERROR_NOT_SUPPORTED; }

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t gpu, nvmlMemoryErrorType_t type, nvmlEccCounterType_t since, unsigned long long *count) {
	*count = 0;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfo(nvmlDevice_t gpu, nvmlGpuFabricInfo_t *fabric) {
	memset(fabric, 0, sizeof *fabric);
	fabric->state = NVML_GPU_FABRIC_STATE_COMPLETED;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t gpu, unsigned link, nvmlEnableState_t *isUp) {
	*isUp = NVML_FEATURE_ENABLED;
	return link < links ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t gpu, unsigned link, nvmlIntNvLinkDeviceType_t *type) {
	*type = NVML_NVLINK_DEVICE_TYPE_SWITCH;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t gpu, unsigned link, nvmlPciInfo_t *pci) { return address(pci, 0xf0 + link % 4); }
nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo(nvmlDevice_t gpu, unsigned link, nvmlPciInfo_t *pci) { return nvmlDeviceGetNvLinkRemotePciInfo_v2(gpu, link, pci); }

// What moves.

// usedMiB begins where it is highest: what becomes free later must not count as free.
static unsigned long long usedMiB(struct nvmlDevice_st *gpu) {
	unsigned step = gpu->memoryCalls++ % 5;
	return gpu->number == 0 ? memoryMiB / 8 + 40 - 20 * step : 520 - step;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t gpu, nvmlMemory_v2_t *memory) {
	memory->total = (unsigned long long)memoryMiB << 20;
	memory->used = usedMiB(gpu.handle) << 20;
	memory->free = memory->total - memory->used;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t gpu, nvmlMemory_t *memory) { return NVML_ERROR_NOT_SUPPORTED; }

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t gpu, nvmlUtilization_t *used) {
	used->gpu = 80 + gpu.handle->meterCalls++ % 20; // busy, so that the PCI link is looked at too
	used->memory = 40;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t gpu, unsigned long long *reasons) {
	*reasons = gpu.handle->meterCalls % 2 ? nvmlClocksEventReasonSwPowerCap : 0;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t gpu, unsigned long long *milliJoules) {
	*milliJoules = gpu.handle->milliJoules += 7000000;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t gpu, nvmlTemperatureSensors_t sensor, unsigned *celsius) {
	*celsius = 60 + gpu.handle->meterCalls % 7;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t gpu, unsigned *milliWatts) {
	*milliWatts = 650000 + gpu.handle->meterCalls % 13 * 1000;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t gpu, nvmlClockType_t clock, unsigned *mhz) {
	*mhz = clock == NVML_CLOCK_MEM ? 2619 : 1900 + gpu.handle->meterCalls % 5 * 15;
	return NVML_SUCCESS;
}

// All fields that are asked for: what the driver wants done, which is nothing, and counters of errors.
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t gpu, int count, nvmlFieldValue_t *fields) {
	for (int i = 0; i < count; i++) {
		fields[i].nvmlReturn = NVML_SUCCESS;
		fields[i].valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
		fields[i].value.ullVal = 0;
	}
	return NVML_SUCCESS;
}

// XIDs, of which there are none.

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
	set->handle = (void *)&events;
	return NVML_SUCCESS;
}
nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) { return NVML_SUCCESS; }

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t gpu, unsigned long long *types) {
	*types = nvmlEventTypeXidCriticalError;
	return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t gpu, unsigned long long types, nvmlEventSet_t set) { return NVML_SUCCESS; }

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned milliseconds) {
	struct timespec wait = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
	nanosleep(&wait, NULL);
	return NVML_ERROR_TIMEOUT;
}
nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned milliseconds) { return nvmlEventSetWait_v2(set, data, milliseconds); }
