package gang

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/internal/arguments"
)

// DefaultScheduleTimeoutSeconds is how long reserved members wait for the rest of their gang where nobody says otherwise.
const DefaultScheduleTimeoutSeconds = 60

// GangArgs configures the plugin: kind GangArgs of kubescheduler.config.k8s.io/v1 under pluginConfig.
type GangArgs struct {
	metav1.TypeMeta `json:",inline"`

	// ScheduleTimeoutSeconds bounds the wait of reserved members for the rest of their gang where its PodGroup states no
	// bound of its own. At least 1; 60 if unset.
	ScheduleTimeoutSeconds *int32 `json:"scheduleTimeoutSeconds,omitempty"`
	// RepairTimeout is how long the place of a member is kept that a running gang lost, a duration such as "5m". 0 keeps none; 5m0s if
	// unset.
	RepairTimeout *metav1.Duration `json:"repairTimeout,omitempty"`
	// AfterRepair is what becomes of a gang when a place was kept in vain: None or Restart; None if unset.
	AfterRepair AfterRepair `json:"afterRepair,omitempty"`
	// Topology is the fabric's levels.
	Topology Topology `json:"topology,omitempty"`
}

// DefaultRepairTimeout is how long places are kept where nobody says otherwise.
const DefaultRepairTimeout = 5 * time.Minute

// AfterRepair is what becomes of a gang whose lost members nobody replaced in time.
type AfterRepair string

const (
	// AfterRepairNone leaves it as it is, with the status that its dialect has for it.
	AfterRepairNone AfterRepair = "None"
	// AfterRepairRestart deletes what is left of it, so that its controller makes it anew.
	AfterRepairRestart AfterRepair = "Restart"
)

// DeepCopyObject implements runtime.Object.
func (a *GangArgs) DeepCopyObject() runtime.Object {
	out := *a
	if a.ScheduleTimeoutSeconds != nil {
		seconds := *a.ScheduleTimeoutSeconds
		out.ScheduleTimeoutSeconds = &seconds
	}
	if a.RepairTimeout != nil {
		timeout := *a.RepairTimeout
		out.RepairTimeout = &timeout
	}
	out.Topology.Levels = slices.Clone(a.Topology.Levels)
	return &out
}

// AddToScheme teaches the scheduler's configuration to decode, default and encode GangArgs.
func AddToScheme(scheme *runtime.Scheme) error { return arguments.AddToScheme[GangArgs](scheme) }

// SetDefaults fills in what is unset.
func (a *GangArgs) SetDefaults() {
	if a.ScheduleTimeoutSeconds == nil {
		seconds := int32(DefaultScheduleTimeoutSeconds)
		a.ScheduleTimeoutSeconds = &seconds
	}
	if a.RepairTimeout == nil {
		a.RepairTimeout = &metav1.Duration{Duration: DefaultRepairTimeout}
	}
	if a.AfterRepair == "" {
		a.AfterRepair = AfterRepairNone
	}
	if a.Topology.Preset == "" && len(a.Topology.Levels) == 0 {
		a.Topology.Preset = DefaultPreset
	}
}

// Validate names the field that is wrong.
func (a *GangArgs) Validate() error {
	if seconds := *a.ScheduleTimeoutSeconds; seconds < 1 {
		return field.Invalid(field.NewPath("scheduleTimeoutSeconds"), seconds, "must be at least 1")
	}
	if timeout := a.RepairTimeout.Duration; timeout < 0 {
		return field.Invalid(field.NewPath("repairTimeout"), timeout.String(), "must be at least 0, which keeps no places")
	}
	switch a.AfterRepair {
	case AfterRepairNone, AfterRepairRestart:
	default:
		return field.NotSupported(field.NewPath("afterRepair"), a.AfterRepair, []AfterRepair{AfterRepairNone, AfterRepairRestart})
	}
	return a.Topology.validate(field.NewPath("topology"))
}

func (t *Topology) validate(path *field.Path) error {
	if t.Preset != "" {
		if _, ok := presets[t.Preset]; !ok {
			return field.NotSupported(path.Child("preset"), t.Preset, Presets())
		}
		if len(t.Levels) > 0 {
			return field.Forbidden(path.Child("levels"), "there is a preset already")
		}
	}
	names, labels := map[string]bool{}, map[string]bool{}
	for i, level := range t.Levels {
		path := path.Child("levels").Index(i)
		switch {
		case len(validation.IsDNS1123Label(level.Name)) > 0 || isNode(level.Name):
			return field.Invalid(path.Child("name"), level.Name, "must be a word for the level in small letters, digits and dashes, other than node and host")
		case names[level.Name]:
			return field.Duplicate(path.Child("name"), level.Name)
		case len(validation.IsQualifiedName(level.NodeLabel)) > 0:
			return field.Invalid(path.Child("nodeLabel"), level.NodeLabel, "must be the key of a node label")
		case labels[level.NodeLabel]:
			return field.Duplicate(path.Child("nodeLabel"), level.NodeLabel)
		}
		names[level.Name], labels[level.NodeLabel] = true, true
	}
	return nil
}

// RepairPolicy is what a profile's arguments say of gangs that lost members.
func RepairPolicy(object runtime.Object) (repair.Policy, error) {
	args, err := arguments.Of[GangArgs](Name, object)
	if err != nil {
		return repair.Policy{}, err
	}
	return repair.Policy{Timeout: args.RepairTimeout.Duration, Restart: args.AfterRepair == AfterRepairRestart}, nil
}
