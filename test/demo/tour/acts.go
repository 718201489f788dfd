package tour

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
)

// runs waits until the gang runs, and says so.
func (t *Tour) runs(ctx context.Context, gangs []gang) error {
	g := gangs[0]
	seen, err := t.Observer.WaitFor(ctx, g.key, isRunning)
	if err != nil {
		return err
	}
	t.tellPlaced(seen)
	t.tellPlace(seen)
	return t.tellStatus(ctx, g, "that runs", saysRunning)
}

// runsAndEnds waits until the gang has run, too.
func (t *Tour) runsAndEnds(ctx context.Context, gangs []gang) error {
	if err := t.runs(ctx, gangs); err != nil {
		return err
	}
	g := gangs[0]
	seen, err := t.Observer.WaitFor(ctx, g.key, isDone)
	if err != nil {
		return err
	}
	t.tell("then", "%d of %d pods succeeded, %s after the start", seen.Succeeded, seen.Members, screen.Seconds(seen.Ended.Sub(seen.LastBound)))
	if err := t.tellJob(ctx, g); err != nil {
		return err
	}
	return t.tellStatus(ctx, g, "that it is over", saysOver)
}

// compete waits until one of two gangs runs while the other says why it does not, and then until the other runs.
func (t *Tour) compete(ctx context.Context, gangs []gang) error {
	first, second := gangs[0], gangs[1]
	for { // until one of the two runs
		changed := t.Observer.Changed()
		if isRunning(t.Observer.Gang(first.key)) {
			break
		}
		if isRunning(t.Observer.Gang(second.key)) {
			first, second = second, first
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	winner := t.Observer.Gang(first.key)
	t.tell(first.key.Name, "runs: %s", placed(winner))
	loser, err := t.Observer.WaitFor(ctx, second.key, func(g observe.Gang) bool { return g.Because != "" || isRunning(g) })
	if err != nil {
		return err
	}
	if isRunning(loser) {
		return fmt.Errorf("%s did not have to wait", second.key)
	}
	t.tell(second.key.Name, "waits: %d of its %d members have a node. Each of them says:", loser.Bound, loser.Members)
	t.quote(loser.Because)
	if err := t.tellStatus(ctx, second, "why it waits", saysAnything); err != nil {
		return err
	}
	winner, err = t.Observer.WaitFor(ctx, first.key, isDone)
	if err != nil {
		return err
	}
	loser, err = t.Observer.WaitFor(ctx, second.key, isRunning)
	if err != nil {
		return err
	}
	t.tell(second.key.Name, "runs %s after the last pod of %s has ended: %s", screen.Seconds(loser.LastBound.Sub(winner.Ended)), first.key.Name, placed(loser))
	return t.tellStatus(ctx, second, "that runs", saysRunning)
}

// neverFits waits until the gang says why, and takes it away.
func (t *Tour) neverFits(ctx context.Context, gangs []gang) error {
	g := gangs[0]
	seen, err := t.Observer.WaitFor(ctx, g.key, func(g observe.Gang) bool { return g.Because != "" && g.Created == g.Members })
	if err != nil {
		return err
	}
	t.tell("waits", "%d of its %d members have a node. Each of them says:", seen.Bound, seen.Members)
	t.quote(seen.Because)
	if err := t.tellStatus(ctx, g, "why it waits", saysAnything); err != nil {
		return err
	}
	if err := t.pause(ctx, readingTime); err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	if err := t.Cluster.Client.BatchV1().Jobs(g.key.Namespace).Delete(ctx, g.job, metav1.DeleteOptions{PropagationPolicy: &background}); err != nil {
		return err
	}
	if err := t.Cluster.Dynamic.Resource(g.dialect.Resource).Namespace(g.key.Namespace).Delete(ctx, g.key.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if seen, err = t.Observer.WaitFor(ctx, g.key, func(g observe.Gang) bool { return g.Created == 0 }); err != nil {
		return err
	}
	t.tell("then", "its PodGroup and its Job are deleted again; %d of its pods remain", seen.Created)
	return nil
}

func isRunning(g observe.Gang) bool { return g.State() == observe.Running || g.State() == observe.Done }
func isDone(g observe.Gang) bool    { return g.State() == observe.Done }

// tellPlaced says how fast a gang was placed.
func (t *Tour) tellPlaced(g observe.Gang) { t.tell("placed", "%s", placed(g)) }

func placed(g observe.Gang) string {
	return fmt.Sprintf("%d of %d members got a node, %s from the first to the last, %s after the last was created",
		g.Bound, g.Members, screen.Seconds(g.LastBound.Sub(g.FirstBound)), screen.Seconds(g.Wait(time.Time{})))
}
