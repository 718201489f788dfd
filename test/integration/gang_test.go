package integration

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGangsOfEveryDialectStartWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 4, func(w *world, d dialect) {
		w.podGroup(d.groups, "big", d.minimum(5))
		w.podGroup(d.groups, "fits", d.minimum(3))
		w.members(d, "big", 0, 5, 8)
		w.waitSentence("big", "InsufficientGPUs: 5 members need 40 nvidia.com/gpu, 32 are free on 4 nodes")
		w.members(d, "fits", 0, 3, 8)
		w.waitRunning("fits", 3)
		require.Zero(t, w.bound(t.Context(), "big"), "members of the gang that does not fit")
		w.addNodes(4)
		w.waitRunning("big", 5)
	})
}

func TestAGangAboveItsMinimumStartsAndTheOthersFollowWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 2, func(w *world, d dialect) {
		w.podGroup(d.groups, "elastic", d.minimum(2))
		w.members(d, "elastic", 0, 4, 8)
		w.waitRunning("elastic", 2)
		w.waitSentence("elastic", "InsufficientGPUs: 1 member needs 8 nvidia.com/gpu, 0 are free on 0 nodes")
		w.addNodes(1)
		w.waitRunning("elastic", 3)
		w.addNodes(1)
		w.waitRunning("elastic", 4)
	})
}

func TestLateMembersJoinAGangThatRuns(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 4, func(w *world, d dialect) {
		w.podGroup(d.groups, "ray", d.minimum(2))
		w.members(d, "ray", 0, 2, 8)
		w.waitRunning("ray", 2)
		w.members(d, "ray", 2, 4, 8)
		w.waitRunning("ray", 4)
	})
}

func TestAGangWhoseMembersTakeEachOthersRoomHoldsNothingWhileItWaits(t *testing.T) {
	t.Parallel()
	inEveryDialect(t, 2, func(w *world, d dialect) {
		// Two of 6 GPUs fit and two of 4, but not both; each kind alone does, so that its sums refuse nothing.
		w.podGroup(d.groups, "puzzle", d.minimum(4))
		w.members(d, "puzzle", 0, 2, 6)
		w.members(d, "puzzle", 2, 4, 4)
		w.waitSentence("puzzle", "Fragmented: of 4 members that must be placed, only 3 fit together, though each kind of them would fit alone")
		w.create(w.pod(podSpec{name: "single-0", gpus: 8}), w.pod(podSpec{name: "single-1", gpus: 8}))
		w.waitRunning("single", 2)
		w.deletePods("single-0", "single-1")
		w.addNodes(1)
		w.waitRunning("puzzle", 4)
	})
}
