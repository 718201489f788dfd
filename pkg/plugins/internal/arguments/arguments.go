// Package arguments reads what a profile's pluginConfig says to one of our plugins.
//
// Purpose: the framework hands a plugin an object of its arguments' kind, raw bytes if it knows no such kind, or nothing; a plugin wants
// arguments in which nothing is unset and nothing wrong.
//
// Invariants: what was handed over is not changed. Errors name the plugin and the field.
package arguments

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	configv1 "k8s.io/kube-scheduler/config/v1"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
)

// Kind is a pointer to T, the arguments of a plugin. T is named after the plugin, as the framework will have it: GangArgs for Gang.
type Kind[T any] interface {
	*T
	runtime.Object
	// SetDefaults fills in what is unset.
	SetDefaults()
	// Validate names the field that is wrong, of arguments in which nothing is unset.
	Validate() error
}

// AddToScheme teaches the scheduler's configuration to decode, default and encode arguments. One type serves as the versioned
// and as the internal one: ours have a single version so far.
func AddToScheme[T any, K Kind[T]](scheme *runtime.Scheme) error {
	for _, version := range []schema.GroupVersion{configv1.SchemeGroupVersion, config.SchemeGroupVersion} {
		scheme.AddKnownTypes(version, K(new(T)))
	}
	scheme.AddTypeDefaultingFunc(K(new(T)), func(object any) { object.(K).SetDefaults() })
	return nil
}

// Of returns the arguments that the framework hands to a plugin: defaults where it hands over nothing.
func Of[T any, K Kind[T]](plugin string, object runtime.Object) (K, error) {
	args := K(new(T))
	switch o := object.(type) {
	case nil:
	case K:
		args = o.DeepCopyObject().(K)
	case *runtime.Unknown:
		if len(o.Raw) > 0 {
			return nil, fmt.Errorf("pluginConfig of %s: its arguments must be of kind %sArgs in %s", plugin, plugin, configv1.SchemeGroupVersion)
		}
	default:
		return nil, fmt.Errorf("pluginConfig of %s: want %sArgs, got %T", plugin, plugin, object)
	}
	args.SetDefaults()
	if err := args.Validate(); err != nil {
		return nil, fmt.Errorf("pluginConfig of %s: %w", plugin, err)
	}
	return args, nil
}
