package scheduler

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

func TestRefusedGangsAreTriedWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		waiting := map[string]*v1.Pod{"ns/a": {}, "ns/b": {}}
		var wakes []time.Duration
		w := newWaker(func() map[string]*v1.Pod { return waiting }, func(_ klog.Logger, pods map[string]*v1.Pod) {
			require.Equal(t, waiting, pods)
			wakes = append(wakes, time.Since(begin))
		}, clock.RealClock{})
		go w.run(t.Context())
		synctest.Wait()
		require.Empty(t, wakes, "nothing happens without room")

		for range 100 { // a gang of 100 ends
			w.hasRoom()
		}
		time.Sleep(time.Minute)
		require.Equal(t, []time.Duration{0, wakeInterval, 2 * wakeInterval, 3 * wakeInterval}, wakes,
			"at once and after it, and so again for what came after the first look")

		wakes, waiting = nil, nil
		w.hasRoom()
		time.Sleep(time.Minute)
		require.Empty(t, wakes, "nobody waits")

		waiting = map[string]*v1.Pod{}
		for i := range 1000 {
			waiting[string(rune('a'+i))] = &v1.Pod{}
		}
		begin = time.Now()
		w.hasRoom()
		time.Sleep(time.Minute)
		require.Equal(t, []time.Duration{0, 10 * time.Second}, wakes, "many gangs are tried less often")
	})
}
