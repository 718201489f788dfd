package scribe

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

func TestNamespacesAreServedInTurn(t *testing.T) {
	f := newFair()
	for i := range 4 {
		f.Push(gang.Key{Namespace: "crowd", Name: fmt.Sprint(i)})
	}
	f.Push(gang.Key{Namespace: "b", Name: "0"})
	f.Push(gang.Key{Namespace: "c", Name: "0"})
	f.Push(gang.Key{Namespace: "c", Name: "1"})
	var order []string
	for f.Len() > 0 {
		key := f.Pop()
		order = append(order, key.Namespace+"/"+key.Name)
		if len(order) == 4 {
			f.Push(gang.Key{Namespace: "late", Name: "0"})
		}
	}
	require.Equal(t, []string{"crowd/0", "b/0", "c/0", "crowd/1", "c/1", "crowd/2", "late/0", "crowd/3"}, order)
	require.Empty(t, f.turns)
	require.Empty(t, f.inLine)
}
