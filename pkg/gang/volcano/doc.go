// Package volcano speaks the dialect of Volcano: PodGroups of scheduling.volcano.sh/v1beta1.
//
// Purpose: whoever writes Volcano PodGroups (Volcano's own Job controller, Kubeflow, KubeRay, Spark, MPI, LeaderWorkerSet)
// finds them scheduled, and their status written, without a Volcano scheduler in the cluster. Invariants: Status changes
// nothing outside .status and keeps the conditions of others; it is a function of the object, the gang's pods and the
// time, and saying the same thing twice is no write. Cost: a few map lookups per change of a PodGroup or of its progress.
// Source: the API types of volcano.sh/apis, and the phases that Volcano's scheduler was seen to write (its
// framework/session.go, its gang plugin and its Job controller, read in August 2026; no code is taken from them).
//
// # What the fields mean here
//
//   - minMember 0 or absent, and 1: every member may start alone. 0 is how a RayJob says that it is over.
//   - minTaskMember counts only where minMember is at least the sum over its roles, as in Volcano: a Volcano Job fills in
//     all its roles whatever its own minAvailable is, so a smaller minMember says that the roles do not matter. A role
//     with 0 is no minimum.
//   - minResources: Volcano's controllers write quota names (limits.cpu, requests.nvidia.com/gpu, count/pods) beside the
//     plain ones. No node has such resources; they are passed over, as in Volcano.
//   - networkTopology: hard, the default, requires a domain of highestTierAllowed or of highestTierName, soft prefers one. Tiers
//     begin at 1; both a tier and a tier name are refused. Without either no level is asked for, and the gang is placed as
//     narrowly as it fits: so Volcano takes it, too. Its CRD up to 1.13 fills in tier 1, which then is what the object says.
//     Tiers are those of the cluster's HyperNodes: see package hypernode. Without any, tier N is the N-th level of the
//     plugin's arguments from the narrowest.
//   - subGroupPolicy: rules that make sub-groups, the first that picks a pod decides. Without labelSelector a rule picks all
//     pods, without matchLabelKeys what it picks is one sub-group. minSubGroups sub-groups of subGroupSize pods must run
//     together; their networkTopology holds for each of them besides that of the group. Their names must differ.
//   - queue and unknown fields are not refused and not yet read.
//
// # The phases
//
//	 created     minimum of pods exists,               minimum              all pods over,
//	    │        or admitted without pods              placed               the minimum among them
//	┌───▼─────┐                           ┌─────────┐           ┌─────────┐              ┌───────────┐
//	│ Pending ├──────────────────────────▶│ Inqueue ├──────────▶│ Running ├─────────────▶│ Completed │
//	└─────────┘                           └────▲────┘           └─┬─────▲─┘              └─▲───────┬─┘
//	                                           │     members lost,│     │minimum           │       │
//	                                           │        or minimum│     │placed            │       │
//	                                           │            raised│     │again             │       │
//	                                           │                ┌─▼─────┴─┐ all pods over, │       │
//	                                           │                │ Unknown ├────────────────┘       │
//	                                           │                └─────────┘ or minMember 0         │
//	                                           └───────────────────────────────────────────────────┘
//	                                                          new pods that wait
//
// A phase that lasted too briefly to be written is stepped over: pods that are bound at once take their group from Pending
// or Completed to Running, and pods that are over at once take it to Completed.
//
// "Placed" is bound, running or succeeded; "over" is succeeded or failed. Terminating pods count nowhere. The minimum is
// minMember, and 1 where that is 0. A group whose spec is broken keeps its phase until it is mended.
//
// What deserves a reason:
//
//   - Inqueue tells controllers to create pods: Volcano's Job controller creates none while the phase is empty or
//     Pending. So a group never returns to Pending: a half-made gang would never be finished. Volcano does return there
//     and admits the group again one cycle later; here the same group is Unknown until its minimum is placed again.
//   - Unknown without any pod left is ours: Volcano writes Pending, then Inqueue. To every reader that creates pods it
//     means the same, "not Pending"; and it keeps Running from ever stepping back to Inqueue.
//   - Completed includes failed pods, as in Volcano: the counts tell how it ended. It outlives its pods, until new ones
//     come, and those begin a new round.
//   - Inqueue is not taken back when the cluster shrinks: its pods may be on their way.
//   - A role's minimum has no part in the phase, as in Volcano.
//
// The scheduler crashes: in every state nothing is lost and nothing is to be repaired, because a phase is derived from
// the phase that is stored and the pods that exist, and from nothing that this process remembers.
//
//	Pending     pods exist or not as before; admission is asked again
//	Inqueue     stays; pods that were reserved and not bound are waiting pods again
//	Running     stays if the minimum is still placed; members that vanished meanwhile make it Unknown
//	Unknown     stays, or Running if members were bound before the crash and not yet written down
//	Completed   stays; pods that are over and were deleted meanwhile do not matter
//
// # The conditions
//
// Unschedulable is True while the gang waits, with the reason of Volcano's closed list that fits best and the sentence
// that its pods carry; it is False once the gang waits no more. Scheduled is True while the minimum is placed, and False
// with what is missing when it no longer is, and until when the places of lost members are kept. A transition has an identity and a time of its own, and both are kept until
// the condition's status changes: Volcano writes new ones in every cycle, which makes every cycle a write.
package volcano
