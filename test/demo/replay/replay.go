// Package replay lets the jobs of the trace arrive, as gangs of pods, and shows what becomes of them.
//
// Purpose: many real gangs that compete. Each job becomes one gang; the dialects take turns. Its pods are created at once,
// as the operators do, through a client without a limit of its own. The replay ends when every gang has run.
package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/phalanx-scheduler/phalanx/test/demo/manifest"
	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
	"github.com/phalanx-scheduler/phalanx/test/demo/squeeze"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

const (
	// creators is how many pods are created at a time.
	creators = 24
	// patience is how long nothing may happen at all. The longest run is half of it.
	patience = time.Minute
)

// Gang is a gang with the moment at which it arrives, counted from the beginning.
type Gang struct {
	manifest.Gang
	At time.Duration
}

// Gangs makes a gang of each job. The dialects take turns; all pods select the same nodes.
func Gangs(plays []squeeze.Play, dialects []manifest.Dialect, namespace string, selector map[string]string) []Gang {
	gangs := make([]Gang, len(plays))
	for i, p := range plays {
		gangs[i] = Gang{At: p.At, Gang: manifest.Gang{
			Dialect: dialects[i%len(dialects)], Namespace: namespace, Name: fmt.Sprintf("job-%d", p.ID),
			Members: p.Pods, GPUsPerMember: p.GPUsPerPod, RunFor: p.RunFor, NodeSelector: selector,
		}}
	}
	return gangs
}

// Replay is what a replay needs.
type Replay struct {
	Client    kubernetes.Interface
	Dynamic   dynamic.Interface
	Observer  *observe.Observer
	Judge     *oracle.Judge
	Screen    *screen.Screen
	Namespace string
	Gangs     []Gang
	// LeastLeaves tells the fewest leaf switches that so many members can stand below.
	LeastLeaves func(members int) int
}

// Run replays, and returns when every gang has run or when nothing happens any more.
func (r *Replay) Run(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Namespace}}
	if _, err := r.Client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	for _, g := range r.Gangs {
		r.Observer.Expect(g.Key(), g.Members, g.GPUs())
		r.Judge.SetMinimum(time.Now(), g.Key(), g.Members)
	}
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	slots := make(chan struct{}, creators)
	for _, g := range r.Gangs {
		group.Go(func() error {
			if err := sleep(ctx, time.Until(begin.Add(g.At))); err != nil {
				return err
			}
			return r.create(ctx, g, slots)
		})
	}
	group.Go(func() error { return r.follow(ctx, begin) })
	return group.Wait()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// create creates a gang: its PodGroup, then its pods.
func (r *Replay) create(ctx context.Context, g Gang, slots chan struct{}) error {
	if _, err := r.Dynamic.Resource(g.Dialect.Resource).Namespace(g.Namespace).Create(ctx, g.PodGroup(), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create PodGroup of %s: %w", g.Key(), err)
	}
	pods, ctx := errgroup.WithContext(ctx)
	for i := range g.Members {
		slots <- struct{}{}
		pods.Go(func() error {
			defer func() { <-slots }()
			_, err := r.Client.CoreV1().Pods(g.Namespace).Create(ctx, g.Pod(i), metav1.CreateOptions{})
			return err
		})
	}
	if err := pods.Wait(); err != nil {
		return fmt.Errorf("create the pods of %s: %w", g.Key(), err)
	}
	return nil
}

// follow shows how the gangs fare until all have run.
func (r *Replay) follow(ctx context.Context, begin time.Time) error {
	defer r.Screen.Erase()
	tick := time.NewTicker(pictureInterval)
	defer tick.Stop()
	var history history
	lastChange, changed := time.Now(), r.Observer.Changed()
	for {
		view := r.Observer.View(time.Now())
		history.add(view)
		r.show(view, &history, view.At.Sub(begin))
		if view.Count()[observe.Done] == len(view.Gangs) {
			width, _ := r.Screen.Size()
			r.Screen.Print(head(view, &history, view.At.Sub(begin), width)...)
			return nil
		}
		if view.At.Sub(lastChange) > patience {
			r.Screen.Print(r.picture(view, &history, view.At.Sub(begin), plainWidth, len(view.Gangs)+pictureHead)...)
			return errors.New("nothing has happened for " + screen.Seconds(patience))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		select {
		case <-changed:
			lastChange, changed = time.Now(), r.Observer.Changed()
		default:
		}
	}
}
