package gang

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	configv1 "k8s.io/kube-scheduler/config/v1"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
)

// DefaultScheduleTimeoutSeconds is how long reserved members wait for the rest of their gang where nobody says otherwise.
const DefaultScheduleTimeoutSeconds = 60

// GangArgs configures the plugin: kind GangArgs of kubescheduler.config.k8s.io/v1 under pluginConfig.
type GangArgs struct {
	metav1.TypeMeta `json:",inline"`

	// ScheduleTimeoutSeconds bounds the wait of reserved members for the rest of their gang where its PodGroup states no
	// bound of its own. At least 1; 60 if unset.
	ScheduleTimeoutSeconds *int32 `json:"scheduleTimeoutSeconds,omitempty"`
	// Topology is the fabric's levels.
	Topology Topology `json:"topology,omitempty"`
}

// DeepCopyObject implements runtime.Object.
func (a *GangArgs) DeepCopyObject() runtime.Object {
	out := *a
	if a.ScheduleTimeoutSeconds != nil {
		seconds := *a.ScheduleTimeoutSeconds
		out.ScheduleTimeoutSeconds = &seconds
	}
	out.Topology.Levels = slices.Clone(a.Topology.Levels)
	return &out
}

// AddToScheme teaches the scheduler's configuration to decode, default and encode GangArgs. One type serves as the
// versioned and as the internal one: it has a single version so far.
func AddToScheme(scheme *runtime.Scheme) error {
	for _, version := range []schema.GroupVersion{configv1.SchemeGroupVersion, config.SchemeGroupVersion} {
		scheme.AddKnownTypes(version, &GangArgs{})
	}
	scheme.AddTypeDefaultingFunc(&GangArgs{}, func(object any) { object.(*GangArgs).setDefaults() })
	return nil
}

func (a *GangArgs) setDefaults() {
	if a.ScheduleTimeoutSeconds == nil {
		seconds := int32(DefaultScheduleTimeoutSeconds)
		a.ScheduleTimeoutSeconds = &seconds
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

// argsOf accepts what the framework hands to a plugin: typed arguments, or nothing.
func argsOf(object runtime.Object) (*GangArgs, error) {
	args := &GangArgs{}
	switch o := object.(type) {
	case nil:
	case *GangArgs:
		args = o.DeepCopyObject().(*GangArgs)
	case *runtime.Unknown:
		if len(o.Raw) > 0 {
			return nil, fmt.Errorf("pluginConfig of %s: its arguments must be of kind GangArgs in %s", Name, configv1.SchemeGroupVersion)
		}
	default:
		return nil, fmt.Errorf("pluginConfig of %s: want GangArgs, got %T", Name, object)
	}
	args.setDefaults()
	if err := args.Validate(); err != nil {
		return nil, fmt.Errorf("pluginConfig of %s: %w", Name, err)
	}
	return args, nil
}
