// Package quality compares placement policies: real jobs on a real fabric, in virtual time, with departures.
//
// Purpose: numbers for the question whether gangs end up close together, side by side with what others do. The fabric is
// Lingjun's, 847 hosts with 8 GPUs each below 119 leaf and 3 spine switches; the jobs are those of Kalos, whose numbers of
// pods and GPUs, and durations, stay real. See test/trace for both.
//
// The load is what is not real: the trace would use 8 % of the fabric. The times of arrival are scaled so that what the jobs
// ask for, GPUs × time, is a given part of what the fabric has in the time in which they arrive. The trace is played several
// times in a row, each time rotated by another part of its length, so that thousands of gangs run and meet each other anew.
// A second mix adds small gangs, of 1, 2 or 4 GPUs a member, whose durations are taken from real jobs: there it counts how
// members share hosts.
//
// The rules of the replay, the same for every policy:
//
//   - A gang starts all at once, or waits. Gangs that wait are tried in the order of their arrival whenever a gang ends or
//     arrives; one that does not fit holds up nobody behind it. There is no preemption and no reservation.
//   - A policy is asked only for gangs that fit somewhere, and says where.
//   - How long a gang runs does not depend on where: what nearness gains is not known from the trace.
//
// What the columns mean is said where they are printed: see [Report].
//
// The baselines are written from the rules that the projects publish or implement; each names its source, what is
// simplified, and where it is given more than it has in reality.
//
// Invariants: the same call gives the same bytes: no clock, no map order, no randomness without a fixed seed. The replay
// checks every placement, so that no host is ever overcommitted. Cost: a second for ten thousand gangs and a baseline.
package quality
