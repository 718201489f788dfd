package pulse

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
)

const (
	after   = 3 * time.Minute
	percent = 20
)

func lease(node, version string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: node, ResourceVersion: version}}
}

// ward is ten nodes with reports, whose Leases are renewed by the test.
type ward struct {
	*Pulse
	t       *testing.T
	clock   *testingclock.FakeClock
	version int
}

func newWard(t *testing.T) *ward {
	clk := testingclock.NewFakeClock(time.Unix(1_700_000_000, 0))
	w := &ward{Pulse: New(clk), t: t, clock: clk}
	for i := range 10 {
		w.Follow(name(i))
	}
	return w
}

func name(i int) string { return fmt.Sprintf("n%d", i) }

// wait lets time pass, after which all reporters but the first silent ones renew their Leases.
func (w *ward) wait(d time.Duration, silent int) {
	w.clock.Step(d)
	w.version++
	for i := silent; i < 10; i++ {
		require.NoError(w.t, w.Update(lease(name(i), fmt.Sprint(w.version))))
	}
}

func (w *ward) stale() (nodes []string) {
	for i := range 10 {
		if w.IsStale(name(i)) {
			nodes = append(nodes, name(i))
		}
	}
	return nodes
}

func TestWhichReportsAreStale(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(w *ward)
		want    []string
	}{
		"nobody, right after the start":         {func(*ward) {}, nil},
		"nobody who renews":                     {func(w *ward) { w.wait(after+time.Second, 0) }, nil},
		"nobody, for as long as it may take":    {func(w *ward) { w.wait(after, 2) }, nil},
		"who did not renew for longer":          {func(w *ward) { w.wait(after+1, 2) }, []string{"n0", "n1"}},
		"who never had a Lease":                 {func(w *ward) { w.wait(after+1, 1) }, []string{"n0"}},
		"nobody, where more than a fifth would": {func(w *ward) { w.wait(after+1, 3) }, nil},
		"nobody, where all would":               {func(w *ward) { w.wait(after+1, 10) }, nil},
		"not who has no report any more":        {func(w *ward) { w.wait(after+1, 2); w.Forget("n0") }, []string{"n1"}},
		"not who has its first report just now": {func(w *ward) { w.Forget("n0"); w.wait(after+1, 2); w.Follow("n0") }, []string{"n1"}},
		"not who speaks again":                  {func(w *ward) { w.wait(after+1, 2); w.wait(time.Second, 1) }, []string{"n0"}},
		"who renewed once, long ago":            {func(w *ward) { w.wait(time.Second, 0); w.wait(after, 1); w.wait(time.Second, 1) }, []string{"n0"}},
		"whose Lease is listed again as it was": {func(w *ward) {
			w.wait(after, 0)
			w.clock.Step(after + 1)
			require.NoError(w.t, w.Replace([]any{lease("n0", "1"), lease("n1", "2"), lease("n2", "2"), lease("n3", "2"), lease("n4", "2"),
				lease("n5", "2"), lease("n6", "2"), lease("n7", "2"), lease("n8", "2"), lease("n9", "2")}, ""))
		}, []string{"n0"}},
		"whose Lease is gone, after a while": {func(w *ward) {
			w.wait(time.Minute, 0)
			require.NoError(w.t, w.Delete(lease("n0", "")))
			w.wait(time.Minute, 1)
			require.Empty(w.t, w.Take(after, percent))
			w.wait(2*time.Minute, 1)
		}, []string{"n0"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWard(t)
			test.happens(w)
			assert.Equal(t, test.want, w.Take(after, percent), "what has changed")
			assert.Equal(t, test.want, w.stale())
		})
	}
}

func TestWhatHasChanged(t *testing.T) {
	w := newWard(t)
	w.wait(after+1, 2)
	require.Equal(t, []string{"n0", "n1"}, w.Take(after, percent))
	require.Empty(t, w.Take(after, percent), "nothing since")

	w.wait(time.Second, 1)
	require.Equal(t, []string{"n1"}, w.Take(after, percent), "it speaks again")

	w.wait(after+1, 3)
	require.Equal(t, []string{"n0"}, w.Take(after, percent), "so many are stale that none is")

	w.wait(time.Second, 2)
	require.Equal(t, []string{"n0", "n1"}, w.Take(after, percent), "two are few enough again")
}

func TestWhatIsNoLease(t *testing.T) {
	p := New(testingclock.NewFakeClock(time.Time{}))
	require.EqualError(t, p.Add("a text"), "want a Lease, got string")
	require.EqualError(t, p.Delete("a text"), "want a Lease, got string")
	require.EqualError(t, p.Replace([]any{"a text"}, ""), "want a Lease, got string")
	require.NoError(t, p.Resync())
}
