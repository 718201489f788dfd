package gpu

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/offer"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/internal/arguments"
)

// The defaults of what profiles share.
const (
	DefaultReporterNamespace = "phalanx-reporter"
	DefaultStaleAfterSeconds = 180
	DefaultMaxStalePercent   = 20
)

const (
	maxWeight            = 100
	maxStaleAfterSeconds = 24 * 60 * 60
)

// GPUArgs configures the plugin: kind GPUArgs of kubescheduler.config.k8s.io/v1 under pluginConfig.
type GPUArgs struct {
	metav1.TypeMeta `json:",inline"`

	// Weights say what matters between nodes that fit.
	Weights Weights `json:"weights,omitempty"`

	// What follows is about the reporters, which all profiles share: it is enough to say it in one of them, and those that say
	// it must agree.

	// ReporterNamespace is where the reporters renew their Leases; phalanx-reporter if unset.
	ReporterNamespace *string `json:"reporterNamespace,omitempty"`
	// StaleAfterSeconds is for how long a Lease may stand still before the report of its node is stale. At least 1; 180 if unset.
	StaleAfterSeconds *int32 `json:"staleAfterSeconds,omitempty"`
	// MaxStalePercent is how many of all reports may be stale at once. If more are, none counts as stale: it is not the nodes
	// that are at fault. From 0 to 100; 20 if unset.
	MaxStalePercent *int32 `json:"maxStalePercent,omitempty"`
}

// Weights are what each merit of a node counts for, from 0 to 100. The score of a node is the mean of its merits with these
// weights.
type Weights struct {
	// Fit prefers nodes on which the fewest GPUs are left over; 3 if unset.
	Fit *int32 `json:"fit,omitempty"`
	// WholeNodes keeps nodes whole that the pod needs but a part of; 4 if unset.
	WholeNodes *int32 `json:"wholeNodes,omitempty"`
	// WholeGroups keeps bridged pairs, PCI switches and NUMA nodes whole; 2 if unset.
	WholeGroups *int32 `json:"wholeGroups,omitempty"`
	// WholeDomains keeps multi-node NVLink domains whole; 4 if unset.
	WholeDomains *int32 `json:"wholeDomains,omitempty"`
	// Links prefers nodes on which the pod's GPUs are linked best; 3 if unset.
	Links *int32 `json:"links,omitempty"`
	// Health prefers nodes whose free GPUs nothing is known against; 4 if unset.
	Health *int32 `json:"health,omitempty"`
	// Freshness prefers nodes whose reporters are alive; 1 if unset.
	Freshness *int32 `json:"freshness,omitempty"`
}

// weight is one of the weights, with its default and the merit that it is about.
type weight struct {
	name    string
	value   **int32
	unset   int32
	meritOf func(*offer.Merits) int
}

func (w *Weights) all() []weight {
	return []weight{
		{"fit", &w.Fit, 3, func(m *offer.Merits) int { return m.Fit }},
		{"wholeNodes", &w.WholeNodes, 4, func(m *offer.Merits) int { return m.WholeNodes }},
		{"wholeGroups", &w.WholeGroups, 2, func(m *offer.Merits) int { return m.WholeGroups }},
		{"wholeDomains", &w.WholeDomains, 4, func(m *offer.Merits) int { return m.WholeDomains }},
		{"links", &w.Links, 3, func(m *offer.Merits) int { return m.Links }},
		{"health", &w.Health, 4, func(m *offer.Merits) int { return m.Health }},
		{"freshness", &w.Freshness, 1, func(m *offer.Merits) int { return m.Freshness }},
	}
}

// weights are weights to score by.
type weights []struct {
	value   int
	meritOf func(*offer.Merits) int
}

func (w *Weights) values() weights {
	all := w.all()
	out := make(weights, len(all))
	for i, one := range all {
		out[i].value, out[i].meritOf = int(**one.value), one.meritOf
	}
	return out
}

// score is from 0 to 100.
func (w weights) score(m offer.Merits) int64 {
	sum, of := 0, 0
	for i := range w {
		sum += w[i].value * w[i].meritOf(&m)
		of += w[i].value
	}
	return int64(sum / of)
}

// DeepCopyObject implements runtime.Object.
func (a *GPUArgs) DeepCopyObject() runtime.Object {
	out := *a
	for _, one := range out.Weights.all() {
		*one.value = copied(*one.value)
	}
	out.ReporterNamespace = copied(a.ReporterNamespace)
	out.StaleAfterSeconds, out.MaxStalePercent = copied(a.StaleAfterSeconds), copied(a.MaxStalePercent)
	return &out
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	value := *p
	return &value
}

// AddToScheme teaches the scheduler's configuration to decode, default and encode GPUArgs.
func AddToScheme(scheme *runtime.Scheme) error { return arguments.AddToScheme[GPUArgs](scheme) }

// SetDefaults leaves out what another profile may say.
func (a *GPUArgs) SetDefaults() {
	for _, one := range a.Weights.all() {
		if *one.value == nil {
			value := one.unset
			*one.value = &value
		}
	}
}

// Validate names the field that is wrong.
func (a *GPUArgs) Validate() error {
	path, sum := field.NewPath("weights"), int32(0)
	for _, one := range a.Weights.all() {
		value := **one.value
		if value < 0 || value > maxWeight {
			return field.Invalid(path.Child(one.name), value, fmt.Sprintf("must be from 0 to %d", maxWeight))
		}
		sum += value
	}
	if sum == 0 {
		return field.Invalid(path, "0 in all", "one of them must be more than 0")
	}
	if name := a.ReporterNamespace; name != nil && len(validation.IsDNS1123Label(*name)) > 0 {
		return field.Invalid(field.NewPath("reporterNamespace"), *name, "must be the name of a namespace")
	}
	if seconds := a.StaleAfterSeconds; seconds != nil && (*seconds < 1 || *seconds > maxStaleAfterSeconds) {
		return field.Invalid(field.NewPath("staleAfterSeconds"), *seconds, fmt.Sprintf("must be from 1 to %d", maxStaleAfterSeconds))
	}
	if percent := a.MaxStalePercent; percent != nil && (*percent < 0 || *percent > 100) {
		return field.Invalid(field.NewPath("maxStalePercent"), *percent, "must be from 0 to 100")
	}
	return nil
}
