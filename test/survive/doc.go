// Package survive asks whether what the solver plans survives Kubernetes' own filters: random clusters and random gangs, with
// taints, affinities, host ports, spread and volumes, on the real API server, bound by the real scheduler.
//
// Purpose: to find gangs that run where they must not, and gangs that wait though they fit. It has three parts that know
// nothing of the scheduler:
//
//   - [Draw] makes a cluster, and gangs for it, from a seed.
//   - [Facts.Violations] judges all pods that are bound, by what the API says: resources, taints, selectors, ports,
//     affinity between pods, spread, volumes, topology, all or nothing.
//   - [Facts.Fits] says whether there is any place for a gang, by looking at all of them.
//
// Invariants: gangs come one at a time, and nothing else happens meanwhile, so that the cluster that a gang was refused on is
// the one that was searched. The search knows no heuristics: which sets of members find room in a domain is worked out for all
// sets, from the nodes up. It takes domains that lie inside each other: a rack in one block, a block in one zone.
//
// Cost: the search is exponential in the members, of which there are at most 8: about a millisecond for 25 nodes.
package survive
