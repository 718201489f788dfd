package reporter_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/internal/fake"
)

func TestMetersAreThoseOfGPUsThatAnswer(t *testing.T) {
	d := fake.L40S()
	d.GPUs[0].Busy, d.GPUs[0].LinkErrorCount, d.GPUs[0].ErrorCount = 75, 4, 1
	d.GPUs[1].Faults = map[string]error{"Celsius": reporter.NotSupported, "LinkErrors": reporter.NotSupported}
	d.GPUs[2].Fault = reporter.GPULost
	d.GPUs[3].Faults = map[string]error{"Recovery": reporter.WantsReset}
	w := open(t, d)
	w.read()
	meters := w.reader.Meters()
	assert.Len(t, meters, 6)
	assert.Equal(t, reporter.Meters{
		reporter.MemoryBytes: 46068 << 20, reporter.UsedBytes: 500 << 20, reporter.BusyRatio: .75, reporter.Celsius: 31, reporter.Watts: 72.5,
		reporter.ProcessorHertz: 345e6, reporter.MemoryHertz: 2619e6, reporter.Joules: 1000, reporter.MemoryErrors: 1, reporter.LinkErrors: 4,
	}, meters[fake.UUID(0)])
	assert.NotContains(t, meters[fake.UUID(1)], reporter.Celsius)
	assert.NotContains(t, meters[fake.UUID(1)], reporter.LinkErrors)
	assert.Contains(t, meters[fake.UUID(1)], reporter.Watts)
}
