// Package reporter makes reports of what a node's GPU driver says.
//
//	driver (NVML) ─► Reader ─► observation of each GPU ─► health ─► state ─┐
//	                   └─────► memory, topology, links ───────────────────┴─► gpu.Report
//
// Purpose: the one way from a [Driver] to a report. What does not change while the driver lives is asked once: names, addresses,
// the PCI topology, what is at the other end of an NVLink. All else is asked in each round.
//
// Invariants: a GPU is known by its UUID. One that was seen and does not answer stays in the report, as lost; one that never said
// its UUID is counted as missing. An answer that a GPU cannot give is left out. A call that does not come back ends the
// process, by a [Watchdog]: it cannot be cancelled, and a process that is started anew can say more than one that hangs. A Reader
// belongs to one goroutine. It reads no clock.
//
// Cost: per round some 15 calls and one per NVLink for each GPU, a few milliseconds in all on most drivers; once per life of the
// driver one call for each pair of GPUs and up to two per NVLink.
package reporter
