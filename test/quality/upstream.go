package quality

import "github.com/phalanx-scheduler/phalanx/test/trace"

// UpstreamDefault is kube-scheduler 1.37 for a gang without a topology constraint: pod by pod, each to the node with the
// most free of what it asks for (NodeResourcesFit with LeastAllocated, the default), ties at random.
//
// Source: pkg/scheduler/framework/plugins/noderesources and selectHost of Kubernetes 1.37.2.
//
// Simplified: GPUs stand for all resources, though by default only CPU and memory are scored; they are asked for in
// proportion. NodeResourcesBalancedAllocation is then the same for all nodes. All nodes are looked at; upstream stops
// looking when it has found enough.
type UpstreamDefault struct{}

func (UpstreamDefault) Name() string { return "kube-scheduler" }

func (UpstreamDefault) Place(c *Cluster, g Gang) ([]int, bool) {
	return leastAllocated(c, g, shuffled(len(c.Hosts), g))
}

// UpstreamTopology is kube-scheduler 1.37 with TopologyAwareWorkloadScheduling: a PodGroup names one topology level that it
// requires. Each domain of the level that holds the gang is scored by how full it would be (NodeResourcesFit scores
// placements by MostAllocated, whatever the strategy for nodes, in whole per cent); the fullest wins, ties at random. How
// many pods it holds, the other score, is the same for all: the whole gang. Inside, pods go as ever to the least
// allocated node.
//
// Source: ScorePlacement in plugins/noderesources and plugins/podgrouppodscount, GeneratePlacements in
// plugins/topologyaware, findBestPlacement in schedule_one_podgroup.go, all of Kubernetes 1.37.2.
//
// Generous: a PodGroup can require one level, and waits if no domain holds it. Here it is as if somebody always knew what
// is free and asked for the right level: a leaf if any holds the gang, else a spine, else nothing. And the scoring is told to
// look at GPUs.
type UpstreamTopology struct{}

func (UpstreamTopology) Name() string { return "kube-scheduler TAS" }

func (UpstreamTopology) Place(c *Cluster, g Gang) ([]int, bool) {
	const maxScore = 100
	hosts := shuffled(len(c.Hosts), g)
	for _, level := range [][]Domain{c.Leaves, c.Spines} {
		if d, ok := fullest(c, g, level, shuffled(len(level), g), maxScore); ok {
			return leastAllocated(c, g, inside(d, hosts))
		}
	}
	return leastAllocated(c, g, hosts)
}

// leastAllocated places pod by pod on the host with the most free GPUs. Hosts come in the order in which ties fall.
func leastAllocated(c *Cluster, g Gang, candidates []int) ([]int, bool) {
	var byFree [trace.GPUsPerHost + 1][]int
	for _, h := range candidates {
		byFree[c.Free[h]] = append(byFree[c.Free[h]], h)
	}
	hosts := make([]int, 0, g.Members)
	// Who has taken a pod has less free, so that the walk down comes by again.
	for free := trace.GPUsPerHost; free >= g.GPUsPerMember; free-- {
		for _, h := range byFree[free] {
			if len(hosts) == g.Members {
				return hosts, true
			}
			hosts = append(hosts, h)
			byFree[free-g.GPUsPerMember] = append(byFree[free-g.GPUsPerMember], h)
		}
	}
	return hosts, len(hosts) == g.Members
}
