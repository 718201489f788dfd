package offer

import (
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// Every way in which the GPUs of a tray of four can be bad as the reporter has it, withdrawn as the device plugin has it, and
// held by pods that show it: the node is closed if and only if a bad GPU could be handed out, and no GPU counts twice.
//
// What the rule misses: allocatable says how many GPUs the plugin withdrew, not which. One that it alone takes for unhealthy
// excuses one that the reporter alone does. The two of them seldom err about two GPUs of one node at a time.
func TestABadGPUClosesANodeIfItCouldBeHandedOut(t *testing.T) {
	const all = 1 << 4
	missed, ways := 0, 0
	for badOnes := range set(all) {
		for withdrawnOnes := range set(all) {
			for held := range set(all) {
				s := scene{system: "gb200", report: func(r *gpu.Report) {
					for at := range badOnes.positions {
						r.GPUs[at].State = gpu.Drain
					}
				}}
				s.node = func(n *v1.Node) { setGPUs(n, 4, 4-withdrawnOnes.len()) }
				for at := range held.positions {
					s.pods = append(s.pods, pod{gpus: 1, shows: []int{at}, isRunning: true, unhealthy: withdrawnOnes.has(at)})
				}
				o := s.offer(t)
				isClosed := o.Refusal(one(1), &Forecaster{}) == unhealthy
				couldBeHandedOut := badOnes&^held&^withdrawnOnes != 0
				ways++
				if pluginAlone := withdrawnOnes &^ held &^ badOnes; pluginAlone == 0 {
					require.Equal(t, couldBeHandedOut, isClosed, "bad %04b, withdrawn %04b, held %04b", badOnes, withdrawnOnes, held)
				} else if isClosed != couldBeHandedOut {
					require.True(t, couldBeHandedOut, "it never closes a node for nothing: bad %04b, withdrawn %04b, held %04b", badOnes, withdrawnOnes, held)
					missed++
				}
			}
		}
	}
	require.Positive(t, missed)
	t.Logf("%d of %d ways are missed", missed, ways)
}
