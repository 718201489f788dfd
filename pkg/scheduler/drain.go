package scheduler

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
	core "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

const (
	// drainPatience bounds how long a process that was told to stop may take to bind what it has placed; nobody else places anything
	// meanwhile. A gang takes a second or so, a volume that is being made longer than this.
	drainPatience = 5 * time.Second
	drainPoll     = 20 * time.Millisecond
)

// turn is one token. The core has it from the moment it takes a gang or a pod from the queue until it has handed all of it over to be
// bound. Whoever takes it away for good stops the core between two gangs.
type turn chan struct{}

func newTurn() turn {
	t := make(turn, 1)
	t <- struct{}{}
	return t
}

// guard makes the core wait for its turn until the context is done.
func (t turn) guard(ctx context.Context, sched *core.Scheduler) {
	next, isMine := sched.NextEntity, false
	sched.NextEntity = func(logger klog.Logger) (framework.QueuedEntityInfo, error) { // the core calls from one goroutine
		if isMine {
			t <- struct{}{}
			isMine = false
		}
		entity, err := next(logger)
		if err != nil || entity == nil {
			return entity, err
		}
		select {
		case <-t:
			isMine = true
			return entity, nil
		case <-ctx.Done(): // what the queue gave is the successor's
			return nil, nil
		}
	}
}

// drain stops the core and returns when all that it has placed is bound, as the API server confirms, or after drainPatience. Upstream
// breaks off instead: of a gang that is being bound one half is, and the other half waits for the successor.
func (t turn) drain(ctx context.Context, placed func() int) {
	ctx, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	logger := klog.FromContext(ctx)
	logger.Info("Told to stop, binding what is placed")
	select {
	case <-t:
	case <-ctx.Done():
	}
	err := wait.PollUntilContextCancel(ctx, drainPoll, true, func(context.Context) (bool, error) { return placed() == 0, nil })
	if err != nil {
		logger.Info("Stopping though pods that are placed are not bound", "pods", placed(), "patience", drainPatience)
	}
}

// assumed counts the pods that are placed and not yet seen bound.
func assumed(sched *core.Scheduler) func() int {
	return func() int { return sched.Cache.Dump().AssumedPods.Len() }
}
