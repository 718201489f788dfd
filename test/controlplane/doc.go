// Package controlplane starts a real Kubernetes control plane on this machine: etcd, kube-apiserver,
// kube-controller-manager and kwok, built from Go modules, with RBAC on. Tests and the demo stand on it; the
// scheduler and the reporter never link it.
//
// What is real and what is not: the API server, its storage, its admission and its authorization are upstream's, and so
// are the controllers. The nodes are kwok's: nobody runs containers, but a pod that is bound to such a node becomes
// Running and Ready at once, completes after the duration in the annotation AnnotationRunFor, fails after the one in
// AnnotationFailAfter, and goes away when it is deleted.
//
// Invariants:
//   - Nothing outlives the process that called Start, however it ends. Every child runs under a guard (see guard/), which
//     holds the read end of a pipe whose only writer is this process: when the kernel closes the writer, the guards kill
//     their children. Stop ends with the same cut, so a child that ignores SIGTERM does not survive it either.
//   - A child has its own process group: Ctrl-C on a terminal reaches only the caller, who then calls Stop.
//   - Everything is written below one data directory, logs as <name>.log. A temporary one is removed by Stop.
//   - An error from Start ends with the tail of the log of the process that failed.
//
// Cost: the first build takes minutes and is kept in bin/controlplane/<Kubernetes version>/ of the repository; a start
// takes seconds. Several control planes may run side by side.
//
// [MinorVariable] puts API server and controllers of an older Kubernetes in the place of today's. What they lack fails as it
// does for users: look at what is served. Only [Options.NativePodGroups] is quietly off where there is no such API.
//
// The processes are started with controller-runtime's envtest where it has them (etcd, kube-apiserver, certificates, CRDs).
package controlplane
