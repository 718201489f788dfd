// Package rounds reads the GPUs again and again, for as long as the reporter lives.
//
//	            every period; soon if unsure, or on an XID that matters
//	                 ┌─────────────────────────────────────┐
//	                 ▼                                     │
//	no driver ─► open ─► read ─► encode ─► listen ─► publish
//	  ▲            │       │                 ▲
//	  └─ retried ──┴───────┘                 └── ears: a goroutine that waits for XIDs
//
// Purpose: to keep up with the driver whatever becomes of it. Where there is none, or it was unloaded, it is tried again each
// period, and nothing is published: what a scheduler does not hear of, it counts as plain GPUs. A driver that does not fit its
// library any more ends the loop, since only a new process can load another library. A GPU that comes, or comes back, is
// listened to anew.
//
// What the reporter before this one published is recalled before the first read, once, and tried again each period: XIDs are
// told once, and not to who starts later.
//
// Invariants: a round is whole if everything was read and XIDs are heard: that is what a sign of life may follow. XIDs
// are handed to the next round that succeeds, none is lost in one that fails. One goroutine asks the driver, one waits in it, each
// call under the [reporter.Watchdog]. What goes wrong is logged when it begins, and when it ends, not each time.
//
// Cost: a round each period, at most one a second while something waits to be confirmed; at most 100 XIDs a second are taken, and
// at most [maxHeard] numbers are kept of each GPU between two rounds.
package rounds
