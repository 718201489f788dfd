package parking

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	testclock "k8s.io/utils/clock/testing"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

func TestHowLongAGangIsParked(t *testing.T) {
	a, b := gang.KeyOf("ns", "a"), gang.KeyOf("ns", "b")
	for name, test := range map[string]struct {
		then           func(l *Lot, clk *testclock.FakeClock)
		parked, isNews bool
	}{
		"while nothing happens":                {func(*Lot, *testclock.FakeClock) {}, true, false},
		"until there may be room":              {func(l *Lot, _ *testclock.FakeClock) { l.HasRoom() }, false, true},
		"until it changes":                     {func(l *Lot, _ *testclock.FakeClock) { l.Changed(a) }, false, true},
		"whatever becomes of others":           {func(l *Lot, _ *testclock.FakeClock) { l.Changed(b) }, true, false},
		"for some minutes":                     {func(_ *Lot, clk *testclock.FakeClock) { clk.Step(Longest - 1) }, true, false},
		"not longer, whatever was missed":      {func(_ *Lot, clk *testclock.FakeClock) { clk.Step(Longest) }, false, false},
		"and again after another try in vain":  {func(l *Lot, _ *testclock.FakeClock) { l.HasRoom(); l.Park(a, l.Now()) }, true, true},
		"not after a try that was overtaken":   {func(l *Lot, _ *testclock.FakeClock) { m := l.Now(); l.HasRoom(); l.Park(a, m) }, false, true},
		"nor after one that began before that": {func(l *Lot, _ *testclock.FakeClock) { m := l.Now(); l.HasRoom(); l.HasRoom(); l.Park(a, m) }, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			clk := testclock.NewFakeClock(time.Unix(1_700_000_000, 0))
			l := NewLot(clk)
			news := l.News()
			l.Park(a, l.Now())
			assert.True(t, l.Holds(a))
			assert.False(t, l.Holds(b))
			test.then(l, clk)
			assert.Equal(t, test.parked, l.Holds(a))
			select {
			case <-news:
				assert.True(t, test.isNews)
			default:
				assert.False(t, test.isNews)
			}
		})
	}
}

// As in a program that has the ledger and no waker.
func TestNobodyIsParkedWhoNobodyWouldWake(t *testing.T) {
	l := NewLot(testclock.NewFakeClock(time.Unix(1_700_000_000, 0)))
	l.Park(gang.KeyOf("ns", "a"), l.Now())
	assert.False(t, l.Holds(gang.KeyOf("ns", "a")))
}

func TestNothingIsKeptOfGangsThatChanged(t *testing.T) {
	l := NewLot(testclock.NewFakeClock(time.Unix(1_700_000_000, 0)))
	l.News()
	l.Park(gang.KeyOf("ns", "a"), l.Now())
	l.Changed(gang.KeyOf("ns", "a"))
	assert.Empty(t, l.parked)
}
