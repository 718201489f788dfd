package scheduler

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	core "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// mill is a core that takes one pod after the other and needs a second to place each.
func mill(ctx context.Context, t turn) (taken *atomic.Int32) {
	taken = &atomic.Int32{}
	sched := &core.Scheduler{NextEntity: func(klog.Logger) (framework.QueuedEntityInfo, error) {
		return &framework.QueuedPodInfo{PodInfo: &framework.PodInfo{Pod: &v1.Pod{}}}, nil
	}}
	t.guard(ctx, sched)
	go func() {
		for ctx.Err() == nil {
			if entity, _ := sched.NextEntity(klog.Background()); entity != nil {
				taken.Add(1)
				time.Sleep(time.Second)
			}
		}
	}()
	return taken
}

func TestWhoIsToldToStopFinishesWhatIsPlaced(t *testing.T) {
	for name, c := range map[string]struct {
		isLeading bool
		bindsIn   time.Duration // from the moment in which it is told, which is in the middle of placing a pod
		want      time.Duration
	}{
		"a standby has nothing to finish":                           {false, 0, 0},
		"a leader finishes the pod that it is placing":              {true, 0, 500 * time.Millisecond},
		"a leader waits for binds":                                  {true, 2 * time.Second, 2 * time.Second},
		"a leader waits no longer than its patience for what hangs": {true, time.Hour, drainPatience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				turn, taken := newTurn(), &atomic.Int32{}
				if c.isLeading {
					taken = mill(ctx, turn)
				}
				time.Sleep(2500 * time.Millisecond)
				before, begin := taken.Load(), time.Now()
				turn.drain(ctx, func() int {
					if time.Since(begin) < c.bindsIn {
						return 1
					}
					return 0
				})
				took := time.Since(begin)
				require.GreaterOrEqual(t, took, c.want)
				require.Less(t, took, c.want+2*drainPoll)
				time.Sleep(time.Minute)
				require.Equal(t, before, taken.Load(), "what is taken after it was told to stop")
			})
		})
	}
}

func TestAPodThatIsPlacedForeverDoesNotKeepTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := newTurn()
		<-turn // the core has it
		begin := time.Now()
		turn.drain(t.Context(), func() int { return 0 })
		require.Equal(t, drainPatience, time.Since(begin))
	})
}
