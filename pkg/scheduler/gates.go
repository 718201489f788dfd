package scheduler

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/discovery"
	"k8s.io/component-base/featuregate"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/features"
)

// ourGates are gates of this process. The API server's are its own affair.
var ourGates = map[string]bool{
	// The core's pod group cycle, and the placements that a plugin may propose in it.
	string(features.GenericWorkload):                 true,
	string(features.TopologyAwareWorkloadScheduling): true,
	// Lets our plugin name the one gang that an event can help; without it each event asks every waiting pod.
	string(features.SchedulerPreQueueingHints): true,
}

func setOurGates() error {
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(ourGates); err != nil {
		return fmt.Errorf("set the feature gates of this process: %w", err)
	}
	return nil
}

// need is a resource that the core opens an informer on, whether anybody uses it or not: one that the API server does not
// serve keeps all informers from syncing, and nothing is ever scheduled.
type need struct {
	schema.GroupVersionResource
	// gate is turned off where the resource is not served; needs without one are essential.
	gate featuregate.Feature
}

func needs() []need {
	var all []need
	add := func(group, version string, gate featuregate.Feature, resources ...string) {
		for _, resource := range resources {
			all = append(all, need{schema.GroupVersionResource{Group: group, Version: version, Resource: resource}, gate})
		}
	}
	add("", "v1", "", "nodes", "pods", "namespaces", "services", "replicationcontrollers", "persistentvolumes", "persistentvolumeclaims")
	add("apps", "v1", "", "replicasets", "statefulsets")
	add("policy", "v1", "", "poddisruptionbudgets")
	add("storage.k8s.io", "v1", "", "storageclasses", "csinodes", "csidrivers", "csistoragecapacities", "volumeattachments")
	add("scheduling.k8s.io", "v1", "", "priorityclasses")
	add("coordination.k8s.io", "v1", "", "leases")
	add("events.k8s.io", "v1", "", "events")
	add("resource.k8s.io", "v1", "", "deviceclasses", "resourceclaims", "resourceslices")
	add("resource.k8s.io", "v1", features.DRADeviceTaintRules, "devicetaintrules")
	add("scheduling.k8s.io", "v1alpha3", features.CompositePodGroup, "compositepodgroups")
	return all
}

// discoveryRetry is how often an API server that does not answer at start is asked again.
const discoveryRetry = 2 * time.Second

// fitGates asks the API server what it serves, turns off the gates whose API it lacks, and fails if it lacks an essential.
func fitGates(ctx context.Context, client discovery.DiscoveryInterface) error {
	logger := klog.FromContext(ctx)
	served := servedIn(client)
	var off, missing []string
	err := wait.PollUntilContextCancel(ctx, discoveryRetry, true, func(context.Context) (bool, error) {
		off, missing = nil, nil
		for _, n := range needs() {
			if n.gate != "" && !utilfeature.DefaultFeatureGate.Enabled(n.gate) {
				continue
			}
			ok, err := served(n.GroupVersionResource)
			if err != nil {
				logger.Error(err, "The API server does not say what it serves, asking again", "group", n.Group, "version", n.Version)
				return false, nil
			}
			switch {
			case ok:
			case n.gate == "":
				missing = append(missing, n.GroupResource().String()+"/"+n.Version)
			default:
				off = append(off, string(n.gate))
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	release := "of unknown version"
	if v, err := client.ServerVersion(); err == nil {
		release = v.GitVersion
	}
	if len(missing) > 0 {
		return fmt.Errorf("the API server (%s) does not serve %s: Phalanx needs Kubernetes 1.34 or later, with these APIs on (--runtime-config of kube-apiserver)", release, strings.Join(missing, ", "))
	}
	for _, gate := range off {
		if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(map[string]bool{gate: false}); err != nil {
			return fmt.Errorf("turn off feature gate %s, whose API the API server (%s) does not serve: %w", gate, release, err)
		}
		logger.Info("Turned off a feature gate whose API the API server does not serve", "gate", gate, "apiServer", release)
	}
	return nil
}

// servedIn returns a function that tells whether a resource is served. It asks once per group version, and again after an
// error.
func servedIn(client discovery.DiscoveryInterface) func(schema.GroupVersionResource) (bool, error) {
	known := map[schema.GroupVersion]map[string]bool{}
	return func(resource schema.GroupVersionResource) (bool, error) {
		gv := resource.GroupVersion()
		if names, ok := known[gv]; ok {
			return names[resource.Resource], nil
		}
		names, err := resourcesOf(client, gv)
		if err != nil {
			return false, err
		}
		known[gv] = names
		return names[resource.Resource], nil
	}
}

// resourcesOf lists what the API server serves in one group version: nothing, where it does not know it.
func resourcesOf(client discovery.DiscoveryInterface, gv schema.GroupVersion) (map[string]bool, error) {
	list, err := client.ServerResourcesForGroupVersion(gv.String())
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("discover %s: %w", gv, err)
	}
	names := map[string]bool{}
	if err == nil {
		for _, resource := range list.APIResources {
			names[resource.Name] = true
		}
	}
	return names, nil
}
