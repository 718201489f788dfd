// A driver's library as old ones are: it lacks most functions. Calling one of those ends the process.
#include <stdio.h>

static int gpus[2];

int nvmlInit(void) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
	snprintf(version, length, "390.157");
	return 0;
}

int nvmlDeviceGetCount(unsigned *count) {
	*count = sizeof gpus / sizeof *gpus;
	return 0;
}

int nvmlDeviceGetHandleByIndex(unsigned index, void **gpu) {
	*gpu = &gpus[index];
	return 0;
}

int nvmlDeviceGetUUID(void *gpu, char *uuid, unsigned length) {
	snprintf(uuid, length, "GPU-00000000-0000-0000-0000-%012d", (int)((int *)gpu - gpus));
	return 0;
}

int nvmlDeviceGetName(void *gpu, char *name, unsigned length) {
	snprintf(name, length, "Tesla K80");
	return 0;
}

int nvmlDeviceGetMemoryInfo(void *gpu, unsigned long long *memory) { // total, free, used
	memory[0] = 11441ull << 20;
	memory[1] = 11441ull << 20;
	memory[2] = 0;
	return 0;
}

// The second GPU is lost.
int nvmlDeviceGetComputeMode(void *gpu, unsigned *mode) {
	*mode = 0;
	return gpu == &gpus[1] ? 15 : 0;
}
