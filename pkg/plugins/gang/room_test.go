package gang

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/klog/v2"
	core "k8s.io/kubernetes/pkg/scheduler"
	corecache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	coremetrics "k8s.io/kubernetes/pkg/scheduler/metrics"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
)

// The cache tells of claims only what changed since anybody asked for a snapshot. What is measured is none of the scheduling loop's.
func TestWhoMeasuresTakesNothingFromTheLoop(t *testing.T) {
	coremetrics.Register()
	sched := &core.Scheduler{Cache: corecache.New(t.Context(), nil, true, false)}
	room, err := NewRoom(sched, hypernode.NewSet(), nil)
	require.NoError(t, err)
	node := gpuNodes(8)[0].Node()
	sched.Cache.AddNode(klog.Background(), node)
	loop := corecache.NewEmptySnapshot()
	require.NoError(t, sched.Cache.UpdateSnapshot(klog.Background(), loop))

	require.NoError(t, sched.Cache.AddPod(klog.Background(), podWith("p", gpus("3"), func(p *v1.Pod) {
		p.Spec.NodeName = node.Name
		p.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"}}}}
	})))
	registry := metrics.NewKubeRegistry()
	registry.CustomMustRegister(room)
	families, err := registry.Gather()
	require.NoError(t, err)
	require.Len(t, families, 1)
	require.Len(t, families[0].Metric, 2*len(roomSizes), "of the cluster and of its nodes")
	require.NoError(t, sched.Cache.UpdateSnapshot(klog.Background(), loop))
	require.True(t, loop.IsPVCUsedByPods("ns/claim"))
}

func TestTheRoomiestDomains(t *testing.T) {
	f := fabric.New("block", "rack")
	gpu := f.Resource("nvidia.com/gpu")
	for _, n := range []struct {
		name, block, rack string
		free              int64
	}{
		{"n1", "b1", "r1", 8}, {"n2", "b1", "r1", 4}, {"n3", "b1", "r2", 8}, {"n4", "b2", "r3", 3}, {"n5", "b2", "r3", 8}, {"n6", "", "", 8},
	} {
		f.Set(fabric.Node{Name: n.name, Domains: []string{n.block, n.rack}, Free: []int64{n.free}})
	}
	for name, test := range map[string]struct {
		gpus int64
		want map[string]int64
	}{
		"whole nodes, of which a rack has one":   {8, map[string]int64{"cluster": 4, "block": 2, "rack": 1, "node": 1}},
		"halves, of which one rack has the most": {4, map[string]int64{"cluster": 9, "block": 5, "rack": 3, "node": 2}},
		"single GPUs":                            {1, map[string]int64{"cluster": 39, "block": 20, "rack": 12, "node": 8}},
		"more than any node has":                 {9, map[string]int64{"cluster": 0, "block": 0, "rack": 0, "node": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, roomiest(f, fabric.Request{{Resource: gpu, Quantity: test.gpus}}))
		})
	}
	assert.Equal(t, map[string]int64{"cluster": 0, "node": 0}, roomiest(fabric.New(), nil), "an empty cluster")
}
