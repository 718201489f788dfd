package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A PodGroup that is shown anew wakes its gang in the core. It must not do so for a member that the core is about to see:
// the group could come first, and the gang would be tried without that member.
func TestAGangIsWokenByWhatFreesIt(t *testing.T) {
	for name, c := range map[string]struct {
		free    func(*book)
		isShown bool
	}{
		"not by its PodGroup when a member arrives":             {func(b *book) { b.set(member("c")) }, false},
		"by its PodGroup when a member is there, and on a node": {func(b *book) { b.set(member("c", on("n"))) }, true},
		"by its PodGroup when the minimum is lowered":           {func(b *book) { b.group("train", minMember(2)) }, true},
		"not by its PodGroup when a member's gate goes":         {func(b *book) { b.set(member("d")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.group("train", minMember(3))
			b.set(member("a"), member("b"), member("d", withGate))
			before, _ := b.shownGroup("volcano:train")
			c.free(b)
			free(t, b)
			after, _ := b.shownGroup("volcano:train")
			require.Equal(t, c.isShown, before.ResourceVersion != after.ResourceVersion)
		})
	}
}
