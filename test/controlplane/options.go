package controlplane

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Options say what to start. The zero value is etcd and kube-apiserver alone, in a temporary folder.
type Options struct {
	// DataDir holds everything that the control plane writes: certificates, etcd's data, kubeconfigs and <name>.log of
	// each process. Empty means a temporary folder that Stop removes; one that is given stays, for the logs in it.
	// What an earlier control plane left in it is replaced.
	DataDir string
	// BinDir holds the programs. Empty means that EnsureBinaries builds them where they are missing.
	BinDir string
	// Progress is told about builds, which take minutes. Nil means silence.
	Progress io.Writer

	// Kwok runs kwok, so that nodes with the annotation AnnotationNode live and pods that are bound to them run. It is
	// told about the control plane's nodes as they come; no restart is needed.
	Kwok bool
	// Controllers runs kube-controller-manager with the controllers that a scheduler's users meet: workloads, garbage
	// collection, namespaces, service accounts, resource claims. No node lifecycle: nothing evicts pods by itself.
	Controllers bool

	// CRDPaths are files or folders with CustomResourceDefinitions to install before Start returns.
	CRDPaths []string
	// NativePodGroups serves Kubernetes' own PodGroup, scheduling.k8s.io/v1beta1, with its topology constraints, where the
	// release has it. It is short for the feature gates and the runtime config that this takes.
	NativePodGroups bool
	// FeatureGates for kube-apiserver and kube-controller-manager.
	FeatureGates map[string]bool
	// RuntimeConfig switches API versions of kube-apiserver on or off, by names like "scheduling.k8s.io/v1beta1".
	RuntimeConfig map[string]bool
	// AuditPolicyFile makes kube-apiserver write <DataDir>/audit.log by this policy.
	AuditPolicyFile string

	// APIServerArgs are flags of kube-apiserver, without dashes. A flag named here replaces the value that this package
	// would have given: "disable-admission-plugins", for one.
	APIServerArgs map[string][]string
	// ControllerManagerArgs are flags of kube-controller-manager, without dashes, in the same way.
	ControllerManagerArgs map[string][]string
}

// nativePodGroupGates are what the API server and the controllers need to serve Kubernetes' own PodGroup in full.
var nativePodGroupGates = []string{"GenericWorkload", "TopologyAwareWorkloadScheduling"}

const (
	nativePodGroupAPI = "scheduling.k8s.io/v1beta1"
	// nativePodGroupsSince is the first minor with that API. Older ones do not start with the gates, or mean another API by them.
	nativePodGroupsSince = "1.37"
)

// gates merges what NativePodGroups implies with what was asked for in so many words, which wins.
func (o Options) gates() map[string]bool {
	gates := map[string]bool{}
	if o.NativePodGroups {
		for _, gate := range nativePodGroupGates {
			gates[gate] = true
		}
	}
	maps.Copy(gates, o.FeatureGates)
	return gates
}

func (o Options) runtimeConfig() map[string]bool {
	config := map[string]bool{}
	if o.NativePodGroups {
		config[nativePodGroupAPI] = true
	}
	maps.Copy(config, o.RuntimeConfig)
	return config
}

// switches writes a map in the form of Kubernetes' flags, in a stable order: a=true,b=false.
func switches(m map[string]bool) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, fmt.Sprintf("%s=%t", name, m[name]))
	}
	return strings.Join(list, ",")
}

// flags writes arguments as --name=value, in a stable order. An argument without values is left out.
func flags(args map[string][]string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(args)) {
		for _, value := range args[name] {
			list = append(list, "--"+name+"="+value)
		}
	}
	return list
}
