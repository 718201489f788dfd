package cluster

import (
	"fmt"
	"testing"

	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
)

// BenchmarkUpdate is what it costs to keep the picture up to date: all nodes read for the first time, or one of them changed.
func BenchmarkUpdate(b *testing.B) {
	for _, count := range []int{5_000, 100_000} {
		infos := make([]fwk.NodeInfo, count)
		for i := range infos {
			infos[i] = infoOf(gpuNode(fmt.Sprint("node-", i), 8, map[string]string{
				"example.com/block": fmt.Sprint("b", i/1000), "example.com/rack": fmt.Sprint("r", i/100%10)}))
		}
		pod := gpuPod("pod", 1)
		b.Run(fmt.Sprintf("first/nodes=%d", count), func(b *testing.B) {
			for b.Loop() {
				c := New(twoLevels)
				c.Update(infos)
				c.Excluded(klog.Background(), pod)
			}
		})
		b.Run(fmt.Sprintf("next/nodes=%d", count), func(b *testing.B) {
			c := New(twoLevels)
			for b.Loop() {
				infos[count/2].SetNode(infos[count/2].Node().DeepCopy())
				c.Update(infos)
				c.Excluded(klog.Background(), pod)
			}
		})
	}
}
