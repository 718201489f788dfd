// Package publish puts a node's GPU report where the scheduler and people see it, with as few writes as that takes.
//
// Purpose: three things of the node, and a sign of life.
//
//   - the annotation phalanx.dev/gpu-report, which is scheduled by;
//   - labels phalanx.dev/gpu-product, gpu-link and gpu-clique, for people and for levels of topology;
//   - the condition GPUHealthy, for people and alerts;
//   - a Lease named after the node, in the reporter's namespace: whoever does not see it change knows that the rest is old.
//
// All of the node's is one server-side apply of its status. That may change metadata too, so that one write reaches everybody who
// watches nodes, and the reporter needs no right to change nodes themselves: spec and taints are out of its reach. Apply, and
// not a merge patch, since it takes away a label of ours that is over, and can take nothing of others'.
//
// A write happens when what is shown differs from what should be shown:
//
//	worse than shown   at once, but 10 s after the write before
//	else               60 s after the write before
//
// Invariants: what is written is the latest report; none waits in a line. Nothing is written while nothing differs. After a
// failure the pause doubles from 1 s to a minute, a random part less; then the node is looked at first, and what is
// shown already is not written again. A node is looked at every five minutes besides: it may have been made anew. The Lease
// is renewed every 25 s, if a whole round came since the last time.
//
// Cost: in steady state one small request to the API server each 25 s and one that its cache answers each 5 minutes; no write of
// the node.
package publish
