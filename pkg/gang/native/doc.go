// Package native speaks Kubernetes' own dialect: PodGroups of scheduling.k8s.io/v1beta1.
//
// Purpose: a native PodGroup, on an API server that has them, is one more dialect and no special case. Invariants: the
// object goes into the scheduler's core as it is, inside [gang.Group.Native]; its status is the core's to write, but for one condition
// of ours. Cost: one decoding per change of a PodGroup.
// Source: the API types of k8s.io/api v1.37.2.
//
// # What the fields mean here
//
//   - schedulingPolicy.gang.minCount is the minimum; below 1 it is refused.
//   - schedulingPolicy.basic is no gang: the minimum is 0, every pod starts alone.
//   - Neither is refused: the group wants a policy of a Kubernetes that this one does not know. So are both.
//   - priority and priorityClassName are the group's own; preemptionPolicy, disruptionMode and resourceClaims are for the
//     core, which reads them on the object itself.
//   - schedulingConstraints.topology requires the level of its key; more than one is refused. The core reads it, too, even
//     where an annotation overrules it.
//   - There are no roles, and no minResources.
//
// # The states, as the scheduler's core writes them in condition PodGroupInitiallyScheduled
//
//	    created
//	       │
//	       ▼       minCount cannot be placed     ┌──────────────────────────────────────┐
//	┌─────────────┐ ───────────────────────────▶ │ False (Unschedulable/SchedulerError) │
//	│ no condition│                              └──────────────────┬───────────────────┘
//	└──────┬──────┘                                                 │ minCount placed
//	       │ minCount placed      ┌────────────────┐                │
//	       └────────────────────▶ │ True, for good │ ◀──────────────┘
//	                              └────────────────┘
//
// A PodGroup whose gang lost members while it ran has the condition phalanx.dev/UnderRepair: True (MembersLost) while their places are
// kept, then False: Repaired when the gang is whole again or over, RepairTimeout when nobody came.
//
// The scheduler crashes: in the first two states the group is tried again and the condition follows from that try; True
// is final, whatever becomes of the pods.
package native
