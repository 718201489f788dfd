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

func init() { legacyregistry.MustRegister(plansRejected) }
