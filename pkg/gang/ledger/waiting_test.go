package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

func TestGangsThatWaitAreCountedByTheirReason(t *testing.T) {
	b := newBook()
	waiting := func(want map[gang.Reason]int) { t.Helper(); require.Equal(t, want, b.CountWaiting()) }
	waiting(map[gang.Reason]int{})
	b.set(member("a"))
	waiting(map[gang.Reason]int{gang.GangNotFound: 1})
	b.group("train", minMember(2))
	waiting(map[gang.Reason]int{gang.GangIncomplete: 1})
	b.set(member("b"))
	waiting(map[gang.Reason]int{"": 1})
	b.Refuse(train(), gang.Waiting{Reason: gang.InsufficientGPUs, Sentence: "none are free"})
	waiting(map[gang.Reason]int{gang.InsufficientGPUs: 1})
	b.set(member("a", on("n"), phase(v1.PodRunning)))
	waiting(map[gang.Reason]int{gang.InsufficientGPUs: 1})
	b.set(member("b", on("n"), phase(v1.PodRunning)))
	waiting(map[gang.Reason]int{})
}
