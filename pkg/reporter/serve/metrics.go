package serve

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

const prefix = "phalanx_reporter_"

// Metrics are what is counted and measured. Its methods may be called from several goroutines.
type Metrics struct {
	registry *prometheus.Registry
	xids     *prometheus.CounterVec
	requests *prometheus.CounterVec
	rounds   *prometheus.CounterVec
	took     prometheus.Histogram

	mu     sync.Mutex
	states map[string]gpu.State // of the last round, by UUID
	meters map[string]reporter.Meters
}

// NewMetrics returns metrics of nothing yet.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		xids:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "gpu_xids_total", Help: "Errors that the driver reported, by their class."}, []string{"uuid", "class"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "requests_total", Help: "Requests to the API server: get and write of the node, and its lease."}, []string{"request", "result"}),
		rounds:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "rounds_total", Help: "Rounds of reading all GPUs."}, []string{"result"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + "round_duration_seconds", Help: "How long the rounds took that succeeded.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}),
	}
	m.registry.MustRegister(m, m.xids, m.requests, m.rounds, m.took,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func result(err error) string {
	if err != nil {
		return "failure"
	}
	return "success"
}

// CountXID counts an XID.
func (m *Metrics) CountXID(uuid string, class health.Class) {
	m.xids.WithLabelValues(uuid, string(class)).Inc()
}

// CountRequest counts a request to the API server.
func (m *Metrics) CountRequest(request string, err error) {
	m.requests.WithLabelValues(request, result(err)).Inc()
}

// CountRound counts a round.
func (m *Metrics) CountRound(err error) { m.rounds.WithLabelValues(result(err)).Inc() }

// Measure takes what a round brought, in the place of what the round before did.
func (m *Metrics) Measure(report *gpu.Report, meters map[string]reporter.Meters, took time.Duration) {
	m.took.Observe(took.Seconds())
	states := map[string]gpu.State{}
	for _, g := range report.GPUs {
		states[g.UUID] = g.State
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states, m.meters = states, meters
}

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prefix+name, help, []string{"uuid"}, nil)
}

var stateMetric = describe("gpu_state", "0 ok, 1 degraded, 2 drain, 3 lost.")

// meterMetrics are the metrics of the meters.
var meterMetrics = map[reporter.Meter]struct {
	metric *prometheus.Desc
	sort   prometheus.ValueType
}{
	reporter.MemoryBytes:    {describe("gpu_memory_bytes", "All memory."), prometheus.GaugeValue},
	reporter.UsedBytes:      {describe("gpu_memory_used_bytes", "Memory that is used, whoever does."), prometheus.GaugeValue},
	reporter.BusyRatio:      {describe("gpu_busy_ratio", "How much of the last second or so it was used."), prometheus.GaugeValue},
	reporter.Celsius:        {describe("gpu_temperature_celsius", "Temperature."), prometheus.GaugeValue},
	reporter.Watts:          {describe("gpu_power_watts", "Power that it takes."), prometheus.GaugeValue},
	reporter.ProcessorHertz: {describe("gpu_processor_clock_hertz", "Clock of its processors."), prometheus.GaugeValue},
	reporter.MemoryHertz:    {describe("gpu_memory_clock_hertz", "Clock of its memory."), prometheus.GaugeValue},
	reporter.Joules:         {describe("gpu_energy_joules_total", "Energy since the driver was loaded or the GPU reset."), prometheus.CounterValue},
	reporter.MemoryErrors:   {describe("gpu_uncorrected_memory_errors_total", "Memory errors that ECC could not correct, since then."), prometheus.CounterValue},
	reporter.LinkErrors:     {describe("gpu_nvlink_errors_total", "Errors on its NVLinks, corrected or not, since then."), prometheus.CounterValue},
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(into chan<- *prometheus.Desc) {
	into <- stateMetric
	for _, meter := range meterMetrics {
		into <- meter.metric
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(into chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for uuid, state := range m.states {
		into <- prometheus.MustNewConstMetric(stateMetric, prometheus.GaugeValue, float64(state), uuid)
	}
	for uuid, meters := range m.meters {
		for _, meter := range slices.Sorted(maps.Keys(meters)) {
			to := meterMetrics[meter]
			into <- prometheus.MustNewConstMetric(to.metric, to.sort, meters[meter], uuid)
		}
	}
}
