// Package scheduler composes the kube-scheduler that Phalanx is: upstream's options, configuration, endpoints, leader
// election and core, with our edge in front of it and our plugins inside.
//
//	API server ─► reflectors ─► ledger ─► feeds ─► informers ─► kube-scheduler core ─► binds
//	              (sources.go)    │                                 │
//	                              └─► scribe ─► conditions,         └─ its writes about gangs stop at client.go:
//	                                  events, statuses                 the scribe writes those
//
// Purpose: the one place that knows all the others. Invariants: the API server's feature gates are never touched, ours are
// those of this process; what the API server does not serve is asked for by nobody; each profile runs our plugins,
// whatever its configuration file says, but for the GPU plugin, which it may turn off; the lease is not that of the default scheduler, and
// who does not hold it writes nothing but events (fence.go).
// Cost: at start one discovery; afterwards one small discovery request per dialect, and one for HyperNodes, every pollInterval.
package scheduler
