// Package gang translates the PodGroup dialects of the field into one model, and back.
//
// A gang is a set of pods that start together or not at all. Users write it down in several dialects: Volcano's PodGroup,
// coscheduling's, Kubernetes' own. Each dialect is an adapter behind one small interface; everything past this package
// knows only [Group], and the scheduler's core knows only the scheduling.k8s.io PodGroup that [Group.InMemory] builds.
//
// Purpose: one home for what a dialect means. Invariants: translation is a pure function of the object; it never fails and
// never panics, a broken object becomes a Group that says in Invalid what is wrong with it; names in memory are unique over
// dialects. Cost: one translation per change of an object, one lookup per dialect and pod, and one for each annotation that
// states a [Wish].
//
// # What a gang wishes of the fabric
//
// A wish is stated by the PodGroup, or by the pods where it says nothing. The first of this list that says anything is taken
// whole:
//
//  1. phalanx.dev/required-topology, preferred-topology, slice-topology and slice-size, annotations of the PodGroup;
//  2. the fields of its dialect: Volcano's networkTopology, Kubernetes' schedulingConstraints;
//  3. other annotations of the PodGroup: Kueue's podset-required-topology, podset-preferred-topology,
//     podset-slice-required-topology and podset-slice-size, then KAI's topology-required-placement and
//     topology-preferred-placement, then Volcano's network-topology-mode and network-topology-highest-tier, which may be
//     labels and have KubeRay's spelling, network-topology-highest-tier-allowed;
//  4. the same annotations of its pods, ours first.
//
// Parts of a gang have wishes of their own where Volcano's subGroupPolicy says so (then pods are not asked), or where pods
// differ. A wish that all live pods state is the gang's. Else it is that of the pods of a role that state it, as in Kueue,
// whose podsets are what a role is here; pods without one wish nothing. Pods of one role that state different wishes are no
// gang until they agree.
//
// Kueue's podset-unconstrained-topology says that a podset wishes nothing, and KAI's topology names the object that lists
// the levels, which here are the plugin's: neither is read.
//
// A value that cannot be meant makes the PodGroup, or the gang of the pod, invalid, even where another overrules it.
package gang

import (
	"fmt"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// KeyPrefix is the prefix of every label, annotation and event key that Phalanx defines.
const KeyPrefix = "phalanx.dev/"

// Dialect is one way to write a gang down: one PodGroup API, the key by which its pods name their group, and the words in
// which its status is written.
type Dialect interface {
	// Name is the dialect's short name, e.g. "volcano": part of in-memory names, never of anything that is stored.
	Name() string
	// Resource is the PodGroup API that the dialect is written in.
	Resource() schema.GroupVersionResource
	// GroupName returns the name of the PodGroup that the pod claims in this dialect, "" if it claims none.
	GroupName(pod *v1.Pod) string
	// Role returns the role of the pod inside its gang, "" if the dialect or the pod has none.
	Role(pod *v1.Pod) string
	// Translate reads an object of Resource. It never fails: see [Group.Invalid].
	Translate(object *unstructured.Unstructured) *Group
	// Status returns the object with the status that progress calls for, or nil if the object says it already or if the
	// dialect's status is not ours to write. object itself is not changed. now stamps what has no time of its own.
	Status(object *unstructured.Unstructured, progress Progress, now metav1.Time) *unstructured.Unstructured
	// HasStatusSubresource tells how a status is written: through /status, or by a plain update of the object.
	HasStatusSubresource() bool
}

// Key names a gang: the dialect because two dialects may use one name in one namespace.
type Key struct {
	Dialect, Namespace, Name string
}

// String is for people: "volcano default/train".
func (k Key) String() string { return k.Dialect + " " + k.Namespace + "/" + k.Name }

// InMemoryName is the name of the scheduling.k8s.io PodGroup that stands for this gang inside the process. Native groups
// keep their name; the others carry their dialect behind a colon, which no Kubernetes name may contain.
func (k Key) InMemoryName() string {
	if k.Dialect == NativeName {
		return k.Name
	}
	return k.Dialect + ":" + k.Name
}

// NativeName is the name of Kubernetes' own dialect, the one that needs no translation.
const NativeName = "native"

// KeyOf is the inverse of [Key.InMemoryName].
func KeyOf(namespace, inMemoryName string) Key {
	if dialect, name, ok := strings.Cut(inMemoryName, ":"); ok {
		return Key{Dialect: dialect, Namespace: namespace, Name: name}
	}
	return Key{Dialect: NativeName, Namespace: namespace, Name: inMemoryName}
}

// Group is a PodGroup of any dialect, translated. It is immutable once a dialect has returned it.
type Group struct {
	Key
	UID               types.UID
	Generation        int64
	ResourceVersion   string
	CreationTimestamp metav1.Time
	Annotations       map[string]string
	Owners            []metav1.OwnerReference

	// MinMember is how many members must run together. 0 and 1 mean that each member may start alone.
	MinMember int32
	// MinPerRole is how many members of a role must run together, for the roles that have a minimum of their own.
	MinPerRole map[string]int32
	// MinResources is what the cluster must have before any member is tried.
	MinResources v1.ResourceList
	// PriorityClassName and Priority are the group's own wishes; where both are unset its members decide.
	PriorityClassName string
	Priority          *int32
	// Wish is what the group wishes of the fabric, SubGroups what it wishes for parts of its gang. Where it says neither, its
	// members are asked.
	Wish      Wish
	SubGroups []SubGroup
	// ScheduleTimeout bounds the wait of reserved members for the rest of the gang; 0 where the group states none.
	ScheduleTimeout time.Duration
	// Invalid says what is wrong with the object, naming the field and the value; the gang waits until it is mended.
	// "" for a sound object.
	Invalid string
	// Native is the object itself where it was written in Kubernetes' own dialect, else nil.
	Native *schedulingv1beta1.PodGroup
}

// InMemory builds the scheduling.k8s.io PodGroup by which the scheduler's core knows this gang.
//
// minCount is the number of members that the core must see placed (at least 1 is written), priority the one that all
// members carry in memory, resourceVersion a version of the in-memory object.
func (g *Group) InMemory(minCount, priority int32, resourceVersion string) *schedulingv1beta1.PodGroup {
	out := &schedulingv1beta1.PodGroup{}
	if g.Native != nil {
		out = g.Native.DeepCopy()
	}
	out.Name, out.Namespace = g.InMemoryName(), g.Namespace
	out.UID, out.Generation, out.CreationTimestamp = g.UID, g.Generation, g.CreationTimestamp
	out.ResourceVersion = resourceVersion
	out.ManagedFields = nil
	if g.Native == nil {
		out.Annotations = g.Annotations
		// A gang is not preempted in parts: what remained of it could not run.
		out.Spec.DisruptionMode = &schedulingv1beta1.DisruptionMode{All: &schedulingv1beta1.AllDisruptionMode{}}
	}
	if g.Native == nil || g.Native.Spec.SchedulingPolicy.Gang != nil {
		out.Spec.SchedulingPolicy.Gang = &schedulingv1beta1.GangSchedulingPolicy{MinCount: max(1, minCount)}
	}
	out.Spec.Priority = &priority
	return out
}

// Progress is how far a gang has come: what its status is derived from. Counts are of its pods that exist now.
type Progress struct {
	// Pending are unbound, Bound are bound but not yet running, Running run; Succeeded and Failed are over.
	// Terminating pods count in none of them.
	Pending, Bound, Running, Succeeded, Failed int32
	// Admitted is true for a sound group whose minimum the cluster could ever hold: its controller may create the pods.
	Admitted bool
	// Waiting is why members wait, zero if none does or nobody has tried yet.
	Waiting Waiting
	// Repair is about members that the gang lost while it ran.
	Repair Repair
}

// Members counts the pods that stand for a member: all but the failed ones.
func (p Progress) Members() int32 { return p.Pending + p.Bound + p.Running + p.Succeeded }

// Placed counts the members that have a node or had one until they succeeded.
func (p Progress) Placed() int32 { return p.Bound + p.Running + p.Succeeded }

// Reason is why a gang waits. The list is closed: people write alerts on it.
type Reason string

// The reasons, in the order in which a gang meets them.
const (
	GangNotFound          Reason = "GangNotFound"          // its PodGroup does not exist
	GangInvalid           Reason = "GangInvalid"           // its PodGroup or its pods contradict themselves
	GangIncomplete        Reason = "GangIncomplete"        // fewer members exist than must run together
	InsufficientGPUs      Reason = "InsufficientGPUs"      // the free GPUs do not suffice
	InsufficientResources Reason = "InsufficientResources" // another resource does not suffice
	Fragmented            Reason = "Fragmented"            // enough in sum, but not in pieces that hold a member
	TopologyTooNarrow     Reason = "TopologyTooNarrow"     // no domain of the required level holds the gang
	NodesRejected         Reason = "NodesRejected"         // Kubernetes' own filters turn its members away
	PermitTimeout         Reason = "PermitTimeout"         // reserved members waited in vain for the rest
	SchedulerError        Reason = "SchedulerError"        // an error of the API server or of the scheduler
)

// Reasons returns all of them, in that order.
func Reasons() []Reason {
	return []Reason{GangNotFound, GangInvalid, GangIncomplete, InsufficientGPUs, InsufficientResources, Fragmented, TopologyTooNarrow, NodesRejected,
		PermitTimeout, SchedulerError}
}

// Waiting is a reason with its one stable sentence. The zero value means that the gang does not wait.
type Waiting struct {
	Reason   Reason
	Sentence string // without the reason, without a full stop
}

// String is what people read on a pod's condition: "GangIncomplete: 5 of 8 members exist".
func (w Waiting) String() string { return fmt.Sprintf("%s: %s", w.Reason, w.Sentence) }
