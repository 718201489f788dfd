package integration

import (
	"testing"
)

func TestVolcanoGangsStartWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shared, 4)
	w.podGroup(volcanoGroups, "big", map[string]any{"minMember": int64(5)})
	w.podGroup(volcanoGroups, "fits", map[string]any{"minMember": int64(3)})
	for i := range 5 {
		w.create(w.volcanoPod("big", i, 8))
	}
	w.waitSentence("big", "InsufficientGPUs: 5 members need 40 nvidia.com/gpu, 32 are free on 4 nodes")
	for i := range 3 {
		w.create(w.volcanoPod("fits", i, 8))
	}
	w.waitBound("fits", 3)
	w.waitPhase(volcanoGroups, "fits", "Running")
	w.addNodes(4)
	w.waitBound("big", 5)
	w.waitPhase(volcanoGroups, "big", "Running")
}
