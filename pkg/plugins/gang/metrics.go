package gang

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// plansRejected counts plans of the solver that the framework's filters turned away, so that another one was made. Many of
// them mean that filters look at something that the solver does not know.
var plansRejected = metrics.NewCounter(&metrics.CounterOpts{
	Subsystem:      "phalanx",
	Name:           "plans_rejected_total",
	Help:           "Plans for gangs that filters of the framework turned away, after which the gang was planned anew.",
	StabilityLevel: metrics.ALPHA,
})

// solveDuration is the time that the solver takes for one plan or refusal.
var solveDuration = metrics.NewHistogram(&metrics.HistogramOpts{
	Subsystem:      "phalanx",
	Name:           "solve_duration_seconds",
	Help:           "Time in which the solver plans a gang, or refuses it.",
	Buckets:        metrics.ExponentialBuckets(0.00001, 2, 18),
	StabilityLevel: metrics.ALPHA,
})

// refusalsRepeated counts refusals that were given again without solving, because nothing had happened that could help.
var refusalsRepeated = metrics.NewCounter(&metrics.CounterOpts{
	Subsystem:      "phalanx",
	Name:           "refusals_repeated_total",
	Help:           "Gangs that were refused again without solving, because nothing had happened that could help them.",
	StabilityLevel: metrics.ALPHA,
})

func init() { legacyregistry.MustRegister(plansRejected, solveDuration, refusalsRepeated) }
