// Package coscheduling speaks the dialect of the scheduler-plugins project: PodGroups of scheduling.x-k8s.io/v1alpha1.
//
// Purpose: whoever writes coscheduling PodGroups finds them scheduled, and their status written, without that project's
// scheduler and controller in the cluster. Invariants: Status changes nothing outside .status; it is a function of the
// object, the gang's pods and the time, and saying the same thing twice is no write. Cost: a few map lookups per change of
// a PodGroup or of its progress.
// Source: the API types of sigs.k8s.io/scheduler-plugins v0.34.7, and what its controller and its plugin were seen to do
// (no code is taken from them).
//
// # What the fields mean here
//
//   - minMember absent or 0 reads as 1, the minimum that the type states: every member may start alone.
//   - minResources: quota names such as limits.cpu or count/pods are passed over, no node has them.
//   - scheduleTimeoutSeconds above 0 bounds the wait of reserved members; absent or 0 leaves the bound to the scheduler's
//     configuration. The original takes 0 as "give up at once", with which no gang of two could start: it is never meant.
//     A negative one is refused.
//   - The priority is that of the members: this API has none of its own.
//   - What the gang wishes of the fabric is in annotations alone: see package gang.
//   - A group's pods are those of its own namespace. (The original's controller counts the label in all namespaces.)
//
// # The phases
//
//	  created      ┌───────────┐  minimum of pods exists   ┌────────────┐
//	──────────────▶│  Pending  ├──────────────────────────▶│ Scheduling │◀─ bound, not all of the minimum started yet
//	               │           │◀──────────────────────────┤            │
//	               └───────────┘  pods vanished            └─────┬──────┘
//	                                                minimum runs │ ▲ new pods after all were lost
//	               ┌───────────┐  some of the minimum      ┌─────▼─┴────┐
//	               │  Unknown  │◀──────────────────────────┤  Running   │
//	               │           ├──────────────────────────▶│            │
//	               └─────┬─────┘  minimum runs again       └──┬──────┬──┘
//	                     │                                    │      │
//	    a member failed, │  ┌─────────────────────────────────┘      │ minimum succeeded
//	    none waits       ▼  ▼                                        ▼
//	               ┌───────────┐                           ┌────────────┐
//	               │  Failed   │                           │  Finished  │
//	               └───────────┘                           └────────────┘
//
// A member is placed when it is bound, runs or succeeded. The drawing shows the usual ways; whatever the stored phase, the
// first line of this list that is true says the next one:
//
//	Finished     the minimum succeeded; or it was Finished and no pod is left that waits or runs
//	Running      the minimum runs or succeeded
//	Failed       a member failed, nobody waits to take its place, none is kept for anybody, and the rest of the minimum was placed
//	             with it;
//	             or it was Failed and no pod is left that waits or runs
//	Unknown      it was Running or Unknown, and a part of the minimum, but not all of it, is placed
//	Scheduling   the minimum is placed but not yet running, or waits, or some of it is placed
//	Pending      otherwise
//
// What deserves a reason:
//
//   - While the place of a member that failed is kept, its gang is Unknown: it is Failed once it was kept in vain.
//   - Failed and Finished are final in the original even while new pods run. Here they last until new pods come, so that a
//     Job that replaces its failed pod, keeping the failed one, ends as Finished and not as Failed.
//   - "Scheduled", which older releases wrote between Scheduling and Running, is no phase of the type any more.
//   - status.occupiedBy is kept as it is and never written: it names the owners of a pod, no scheduler reads it, and with
//     two owners in one group it depends on the order of events.
//   - scheduleStartTime is the first moment at which the group was more than Pending, and is never moved.
//
// The scheduler crashes: in every state nothing is lost and nothing is to be repaired, because a phase is derived from
// the phase that is stored and the pods that exist, and from nothing that this process remembers.
//
//	Pending      pods that came meanwhile are counted
//	Scheduling   stays; pods that were reserved and not bound are waiting pods again
//	Running      stays, or Unknown, Failed or Finished by what happened to the pods meanwhile
//	Unknown      stays, or Running if the members that were missing run by now
//	Failed       stays, and so does Finished: pods that are over and were deleted meanwhile do not matter
package coscheduling
