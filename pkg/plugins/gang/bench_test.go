package gang

import (
	"fmt"
	"math"
	"runtime"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// blocksOfRacks are nodes with 8 GPUs each, 100 to a rack, 10 racks to a block.
func blocksOfRacks(count int) []fwk.NodeInfo {
	nodes := make([]fwk.NodeInfo, count)
	for i := range nodes {
		nodes[i] = nodeWith(fmt.Sprint("node-", i), list("cpu", "128", "memory", "1Ti", "nvidia.com/gpu", "8"), nil, func(n *v1.Node) {
			n.Labels = map[string]string{"example.com/block": fmt.Sprint("b", i/1000), "example.com/rack": fmt.Sprint("r", i/100%10)}
		})
	}
	return nodes
}

// planOnce goes from the snapshot's nodes to a plan with a node for each member, as a try does, without the filters.
func planOnce(b *testing.B, g *Gang, c *cluster.Cluster, nodes []fwk.NodeInfo, pods []*v1.Pod) {
	c.Update(nodes)
	p := newProblem(klog.Background(), c, classesOf(pods, noRole), len(pods), nil)
	p.Required = 1 // a block
	solution, refusal := g.solveOnce(p)
	if refusal != nil {
		b.Fatal(p.waiting(refusal))
	}
	p.pin(solution, make(plan, len(pods)))
}

var (
	gangSizes = []int{4, 64, 512, 1024}
	nodeSizes = []int{100, 1_000, 5_000, 15_000, 100_000}
)

// BenchmarkPlan is what it takes from the scheduler's snapshot to a plan, without an API server: the first plan in a cluster
// that was never looked at, and the next one after one node has changed. Members ask for one GPU each and must be in one
// block. The metric slope is that of the first plan's time over the nodes on logarithmic scales: 1 is linear.
func BenchmarkPlan(b *testing.B) {
	for _, members := range gangSizes {
		pods := podsWith(members, gpus("1"))
		var sizes, times []float64
		for _, count := range nodeSizes {
			if members > 8*count {
				continue
			}
			nodes := blocksOfRacks(count)
			b.Run(fmt.Sprintf("first/members=%d/nodes=%d", members, count), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					planOnce(b, &Gang{}, cluster.New(blocksAndRacks), nodes, pods)
				}
				sizes, times = append(sizes, float64(count)), append(times, float64(b.Elapsed())/float64(b.N))
				b.ReportMetric(slope(sizes, times), "slope")
				b.ReportMetric(bytesPerNode(b, nodes, pods), "B/node")
			})
			b.Run(fmt.Sprintf("next/members=%d/nodes=%d", members, count), func(b *testing.B) {
				g, c := &Gang{}, cluster.New(blocksAndRacks)
				planOnce(b, g, c, nodes, pods)
				b.ReportAllocs()
				for b.Loop() {
					nodes[count/2].SetNode(nodes[count/2].Node().DeepCopy())
					planOnce(b, g, c, nodes, pods)
				}
			})
		}
	}
}

// slope is that of the line through the points on logarithmic scales, by least squares; 0 for a single point.
func slope(sizes, times []float64) float64 {
	var n, sx, sy, sxx, sxy float64
	for i := range sizes {
		x, y := math.Log(sizes[i]), math.Log(times[i])
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if d := n*sxx - sx*sx; d > 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}

// bytesPerNode is the memory that stays in use for the picture of the cluster, with one plan made.
func bytesPerNode(b *testing.B, nodes []fwk.NodeInfo, pods []*v1.Pod) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	g, c := &Gang{}, cluster.New(blocksAndRacks)
	planOnce(b, g, c, nodes, pods)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(g)
	runtime.KeepAlive(c)
	return float64(after.HeapAlloc-before.HeapAlloc) / float64(len(nodes))
}
