package scheduler

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/parking"
)

func TestRefusedGangsAreTriedWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		waiting := map[string]*v1.Pod{"ns/a": {}, "ns/b": {}}
		var wakes []time.Duration
		lot := parking.NewLot(clock.RealClock{})
		w := newWaker(func() map[string]*v1.Pod { return waiting }, func(_ klog.Logger, pods map[string]*v1.Pod) {
			require.Equal(t, waiting, pods)
			wakes = append(wakes, time.Since(begin))
		}, lot, clock.RealClock{})
		go w.run(t.Context())
		synctest.Wait()
		require.Empty(t, wakes, "nothing happens without room")

		lot.HasRoom()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		// At once, and then again and again, each so long after the one before.
		require.Equal(t, []time.Duration{
			0, wakeInterval, time.Second + wakeInterval, 6*time.Second + wakeInterval, 36*time.Second + wakeInterval,
		}, wakes)

		wakes = nil
		for range 100 { // a gang of 100 ends
			lot.HasRoom()
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.LessOrEqual(t, len(wakes), 2+len(again), "once for the first, and once for all that came after it")

		wakes, waiting = nil, nil
		lot.HasRoom()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Empty(t, wakes, "nobody waits")

		waiting = map[string]*v1.Pod{}
		for i := range 1000 {
			waiting[string(rune('a'+i))] = &v1.Pod{}
		}
		begin = time.Now()
		lot.HasRoom()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		require.Equal(t, []time.Duration{0, 10 * time.Second}, wakes, "many gangs are tried less often")
	})
}

func TestAGangThatChangesIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lot, key, wakes := parking.NewLot(clock.RealClock{}), gang.KeyOf("ns", "a"), 0
		w := newWaker(func() map[string]*v1.Pod {
			if lot.Holds(key) {
				return nil
			}
			return map[string]*v1.Pod{"ns/a": {}}
		}, func(klog.Logger, map[string]*v1.Pod) {
			wakes++
			lot.Park(key, lot.Now()) // it is refused again
		}, lot, clock.RealClock{})
		go w.run(t.Context())
		synctest.Wait()
		lot.Park(key, lot.Now())
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Zero(t, wakes)

		lot.Changed(key)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 1, wakes)

		lot.HasRoom()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 1+1+len(again), wakes)
	})
}

func TestGangsThatChangePutNoLookOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lot, busy, wakes := parking.NewLot(clock.RealClock{}), gang.KeyOf("ns", "busy"), 0
		still := gang.KeyOf("ns", "still")
		w := newWaker(func() map[string]*v1.Pod {
			if lot.Holds(still) {
				return nil
			}
			return map[string]*v1.Pod{"ns/still": {}}
		}, func(klog.Logger, map[string]*v1.Pod) {
			wakes++
			lot.Park(still, lot.Now())
		}, lot, clock.RealClock{})
		go w.run(t.Context())
		synctest.Wait()
		lot.HasRoom()
		for range 60 {
			time.Sleep(time.Second)
			lot.Park(busy, lot.Now())
			lot.Changed(busy)
		}
		synctest.Wait()
		require.Equal(t, 1+len(again), wakes)
	})
}

func TestAPodThatTakesLessMakesRoom(t *testing.T) {
	asking := func(node, cpu string) *v1.Pod {
		requests := v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu)}
		return &v1.Pod{Spec: v1.PodSpec{NodeName: node, Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Requests: requests}}}}}
	}
	require.True(t, takesLess(asking("n", "2"), asking("n", "1")))
	require.False(t, takesLess(asking("n", "1"), asking("n", "2")))
	require.False(t, takesLess(asking("n", "1"), asking("n", "1")))
	require.False(t, takesLess(asking("", "2"), asking("", "1")), "it holds nothing")
}
