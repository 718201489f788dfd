// Package chaos plays faults on a real cluster in which gangs come and go, and judges the scheduler by the API's history alone.
//
// Purpose: to find what nobody thought of. A round is drawn from a seed: the gangs, and what goes wrong meanwhile. Two replicas of
// the scheduler run as the manifests have it, each behind a [proxy.Proxy] of its own; who crashes is started again, as a kubelet
// would. When the faults are over the cluster is left alone until everything ran, and the [history.Recorder]'s record goes to
// package oracle.
//
// What must hold, and is judged:
//
//   - No gang is half started for longer than [Grace] while nothing is wrong with network and API server.
//   - No node ever holds pods that ask for more than it has: no GPU is promised twice.
//   - Members take room in one domain of the level that their gang requires.
//   - Whoever binds holds the lease, by the API server's audit log.
//   - No pod that is bound is said to wait.
//   - In the end everything that fits has run.
//
// Invariants: a seed replays what is planned, not how the processes' steps interleave. A fault that was planned and did not happen fails
// the test.
package chaos
