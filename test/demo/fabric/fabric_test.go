package fabric_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/test/demo/fabric"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

func lingjun(t *testing.T) *fabric.Fabric {
	t.Helper()
	hosts, err := trace.Lingjun()
	require.NoError(t, err)
	return fabric.New(hosts)
}

func TestTheFabricIsWhatTheDemoSays(t *testing.T) {
	f := lingjun(t)
	require.Len(t, f.Hosts, 847)
	cores, spines, leaves := f.Count()
	require.Equal(t, [3]int{1, 3, 119}, [3]int{cores, spines, leaves})
	for spine, hosts := range map[string]int{"P8": 179, "P10": 362, "P12": 306} {
		require.Len(t, f.Below(map[string]string{fabric.SpineLabel: spine}), hosts, spine)
	}
	for _, h := range f.Hosts {
		require.Equal(t, h.Leaf, f.LeafOf(h.Name))
	}
	require.Empty(t, f.LeafOf("elsewhere"))
}

func TestNodesCarryTheSwitchesAboveThem(t *testing.T) {
	f := lingjun(t)
	for i, node := range f.Nodes() {
		h := f.Hosts[i]
		require.Equal(t, h.Name, node.Name)
		require.Equal(t, [3]string{h.Core, h.Spine, h.Leaf}, [3]string{node.Labels[fabric.CoreLabel], node.Labels[fabric.SpineLabel], node.Labels[fabric.LeafLabel]})
		gpus := node.Status.Allocatable["nvidia.com/gpu"]
		require.EqualValues(t, trace.GPUsPerHost, gpus.Value())
	}
}

func TestLeastLeaves(t *testing.T) {
	hosts := lingjun(t).Below(map[string]string{fabric.SpineLabel: "P12"})
	for need, want := range map[int]int{1: 1, 8: 1, 9: 2, 64: 8, 128: 16, 224: 28, 225: 29, 306: 42, 307: 0} {
		require.Equal(t, want, fabric.LeastLeaves(hosts, need), "%d hosts", need)
	}
}

// The dumb alternative tries every set of leaves.
func TestLeastLeavesIsTheLeast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 5), 1, 6).Draw(t, "sizes")
		need := rapid.IntRange(1, 20).Draw(t, "need")
		var hosts []trace.Host
		for leaf, size := range sizes {
			for range size {
				hosts = append(hosts, trace.Host{Leaf: string(rune('a' + leaf))})
			}
		}
		least := 0
		for set := 1; set < 1<<len(sizes); set++ {
			count, sum := 0, 0
			for leaf, size := range sizes {
				if set>>leaf&1 == 1 {
					count, sum = count+1, sum+size
				}
			}
			if sum >= need && (least == 0 || count < least) {
				least = count
			}
		}
		require.Equal(t, least, fabric.LeastLeaves(hosts, need))
	})
}
