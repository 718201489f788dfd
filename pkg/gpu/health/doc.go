// Package health decides what state a GPU is in: ok, degraded, drain or lost.
//
// Purpose: NVML says much about a GPU, in counters, flags and events that come once. A [Machine] makes one state of it for
// schedulers and people, that gets worse at once, better with care, and does not flutter:
//
//	                a finding, or a worse one
//	  ┌────────────────────┬───────────────────┐
//	  │                    ▼                   ▼
//	┌────┐           ┌──────────┐          ┌───────┐           ┌──────┐
//	│ ok │──────────►│ degraded │─────────►│ drain │──────────►│ lost │
//	└────┘           └──────────┘          └───────┘           └──────┘
//	  ▲                    ▲                   ▲                   │
//	  └────────────────────┴───────────────────┴───────────────────┘
//	           the findings that made it so bad are over
//
// A finding is one thing that is wrong, with the state that it asks for. The GPU is in the worst state that any of its findings
// asks for:
//
//		seen once ──seen again by the next read──► in force ──clean, and renewed if need be──► over
//		    └────────not seen by the next read────► forgotten
//
//	  - an XID of the driver's is in force at once: it is an event, and the read that brings it is the one that confirms it;
//	  - clean is a [Config.CleanPeriod] in which it was looked for and not seen. A read that fails says nothing either way;
//	  - renewed is a reset of the GPU, a reload of the driver or a reboot, as much as the finding needs: see [Renewal]. What was
//	    found before one that suffices is over after the clean period; without one it stays, however long it is quiet.
//
// More than [Config.MaxChanges] changes of state within [Config.ChangePeriod] are a finding themselves: degraded for
// [Config.LatchPeriod].
//
// When the reporter starts anew, Machines start at ok. What is polled is found again by the first two reads; XIDs are not, and
// [Machine.Resume] takes them up from what was in force before.
//
// Invariants: a Machine belongs to one goroutine. It reads no clock: time comes with each observation, and one that runs
// backwards stands still. The same observations give the same verdicts. Reasons are stable texts.
//
// Cost: a few comparisons per observation, and memory for at most [maxSamples] samples.
package health
