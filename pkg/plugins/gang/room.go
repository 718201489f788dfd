package gang

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/component-base/metrics"
	fwk "k8s.io/kube-scheduler/framework"
	core "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/internal/arguments"
)

// roomGPU is the resource that room is measured in, roomSizes how many of it a member may ask for: those that gangs ask for.
const roomGPU v1.ResourceName = "nvidia.com/gpu"

var roomSizes = []int64{1, 2, 4, 8}

var freeSlots = metrics.NewDesc("phalanx_free_slots",
	"Members with so many GPUs each for which the roomiest domain of a level has GPUs free. Taints, other resources and the GPUs' health are not looked at.",
	[]string{"level", "gpus"}, nil, metrics.ALPHA, "")

// Room measures how large a gang could start where. It has a picture of the cluster of its own, since the plugin's belongs to the
// scheduling loop. It is made of a dump of the cache, not of a snapshot: the cache tells what changed of claims to the snapshot that
// asks first, and that must be the loop's. Collecting costs a copy of each node, for which the loop may have to wait.
type Room struct {
	metrics.BaseStableCollector
	cache      cache.Cache
	hyperNodes HyperNodes

	mu      sync.Mutex
	cluster *cluster.Cluster
}

// NewRoom measures by the levels of a profile's arguments.
func NewRoom(sched *core.Scheduler, hyperNodes HyperNodes, args runtime.Object) (*Room, error) {
	own, err := arguments.Of[GangArgs](Name, args)
	if err != nil {
		return nil, err
	}
	return &Room{cache: sched.Cache, hyperNodes: hyperNodes, cluster: cluster.New(own.Topology.clusterLevels())}, nil
}

// DescribeWithStability implements metrics.StableCollector.
func (*Room) DescribeWithStability(into chan<- *metrics.Desc) { into <- freeSlots }

// CollectWithStability implements metrics.StableCollector.
func (r *Room) CollectWithStability(into chan<- metrics.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var nodes []fwk.NodeInfo
	for _, info := range r.cache.Dump().Nodes {
		if info.Node() != nil { // else it is gone, and pods of it are not
			nodes = append(nodes, info)
		}
	}
	slices.SortFunc(nodes, func(a, b fwk.NodeInfo) int { return strings.Compare(a.Node().Name, b.Node().Name) })
	r.cluster.StandIn(r.hyperNodes.Current())
	r.cluster.Update(nodes)
	for _, size := range roomSizes {
		request := r.cluster.Request(v1.ResourceList{roomGPU: *resource.NewQuantity(size, resource.DecimalSI)})
		for level, slots := range roomiest(r.cluster.Fabric(), request) {
			into <- metrics.NewLazyConstMetric(freeSlots, metrics.GaugeValue, float64(slots), level, strconv.FormatInt(size, 10))
		}
	}
}

// roomiest returns by the name of each level how many pods of a request the roomiest of its domains holds.
func roomiest(f *fabric.Fabric, request fabric.Request) map[string]int64 {
	tree, slots, most := f.Tree(), f.Slots(request), map[string]int64{}
	for depth := range tree.Depth() + 1 {
		sums := make([]int64, tree.Domains(depth))
		for node, count := range slots {
			sums[tree.Of(depth, node)] += int64(count)
		}
		most[tree.LevelName(depth)] = slices.Max(append(sums, 0))
	}
	most[tree.LevelName(tree.Depth()+1)] = int64(slices.Max(append(slices.Clone(slots), 0)))
	return most
}
