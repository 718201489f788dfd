package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// size is how large the load is.
type size struct {
	nodes, pods, gangs, hostile int
	// starts is how often the scheduler is started with all of it; room is how many gangs find room at each start.
	starts, room int
	// settled is how long a scheduler is watched at rest that has stopped to try gangs again.
	rest, settled, churn time.Duration
	// heap waits for the garbage collector, which comes every two minutes, so that what is in use can be told from what was.
	heap bool
	// profiles is a folder for CPU profiles, "" for none: they cost something themselves.
	profiles string
}

const patience = 10 * time.Minute

// load is one run.
type load struct {
	*crowd
	size
	say       func(format string, args ...any)
	token     string
	scheduler *cluster.Scheduler
	nextEnd   int // the running gang that ends next
	nextGang  int // the number of the next waiting gang
	reports   int // reports that changed
}

// run goes through all phases.
func (l *load) run(ctx context.Context) error {
	if err := l.watchMetrics(ctx); err != nil {
		return err
	}
	gangsThatRun := (l.nodes - l.room*nodesPerGang) / nodesPerGang
	for _, phase := range []struct {
		what string
		make func(context.Context) error
	}{
		{fmt.Sprintf("%d nodes", l.nodes), func(ctx context.Context) error { return l.makeNodes(ctx, l.nodes) }},
		{fmt.Sprintf("%d running pods", l.pods), func(ctx context.Context) error { return l.runGangs(ctx, gangsThatRun, l.nodes, l.pods) }},
		{fmt.Sprintf("%d waiting gangs", l.gangs), func(ctx context.Context) error { return l.queueUp(ctx, l.gangs) }},
	} {
		begin := time.Now()
		if err := phase.make(ctx); err != nil {
			return fmt.Errorf("making %s: %w", phase.what, err)
		}
		l.say("made %s in %s", phase.what, time.Since(begin).Round(time.Second))
		if err := l.start(ctx, phase.what); err != nil {
			return err
		}
		if err := l.atRest(ctx, phase.what, l.rest); err != nil {
			return err
		}
		if l.nextGang > 0 && l.settled > 0 {
			if err := l.settle(ctx); err != nil {
				return fmt.Errorf("until refused gangs are not tried any more: %w", err)
			}
			if err := l.atRest(ctx, phase.what+", settled", l.settled); err != nil {
				return err
			}
		}
		if err := l.stop(); err != nil {
			return err
		}
	}
	for i := 1; i < l.starts; i++ {
		for range l.room {
			if err := l.makeRoom(ctx); err != nil {
				return err
			}
		}
		if err := l.start(ctx, "everything, again"); err != nil {
			return err
		}
		if i < l.starts-1 {
			if err := l.stop(); err != nil {
				return err
			}
		}
	}
	if err := l.underChurn(ctx); err != nil {
		return err
	}
	return errors.Join(l.amongHostile(ctx), l.stop())
}

// queueUp makes more gangs that wait.
func (l *load) queueUp(ctx context.Context, count int) error {
	from := l.nextGang
	l.nextGang += count
	return each(ctx, count, func(ctx context.Context, i int) error { return l.wait(ctx, from+i) })
}

// makeRoom ends a running gang.
func (l *load) makeRoom(ctx context.Context) error {
	l.nextEnd++
	return l.end(ctx, l.nextEnd-1)
}

// start starts the scheduler and follows it until it has placed what fits and said of everything else why it waits.
func (l *load) start(ctx context.Context, with string) error {
	watchCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := l.watch(watchCtx, "waiting")
	if err != nil {
		return err
	}
	lists, err := l.listTime(ctx)
	if err != nil {
		return err
	}
	before := w.state()
	w.mark()
	options := cluster.SchedulerOptions{V: 2}
	if l.profiles != "" {
		options.Config = withProfiles
	}
	profiled := func() {}
	options.Launched = func(s *cluster.Scheduler) {
		l.scheduler = s
		profiled = l.profile(ctx, "start with "+with)
	}
	defer func() { profiled() }()
	if l.scheduler, err = l.StartScheduler(ctx, options); err != nil {
		return err
	}
	ready := time.Now()
	usage, err := l.scheduler.Usage()
	if err != nil {
		return err
	}
	l.say("FIGURE start/%s/ready value=%.1fs lists=%.1fs", with, ready.Sub(usage.Started).Seconds(), lists.Seconds())
	if l.nextGang == 0 {
		return nil
	}
	want := min(before.whole+l.room, l.nextGang)
	s, err := l.until(ctx, w, fmt.Sprintf("%d gangs run and all others say why they wait", want), func(s state) bool {
		return s.whole >= want && len(s.half) == 0 && s.told >= l.nextGang-s.whole
	})
	if err != nil {
		return err
	}
	all := time.Now()
	if usage, err = l.scheduler.Usage(); err != nil {
		return err
	}
	l.say("FIGURE start/%s/first-bind value=%.1fs", with, s.first.Sub(usage.Started).Seconds())
	l.say("FIGURE start/%s/all-that-fits value=%.1fs gangs=%d", with, s.lastWhole.Sub(usage.Started).Seconds(), s.whole-before.whole)
	l.say("FIGURE start/%s/all-told value=%.1fs gangs=%d cpu=%.1fs peak=%dMiB", with, all.Sub(usage.Started).Seconds(), s.told, usage.CPU.Seconds(), usage.PeakKiB>>10)
	return nil
}

// stop ends the scheduler as a kubelet does.
func (l *load) stop() error {
	s := l.scheduler
	if s == nil {
		return nil
	}
	l.scheduler = nil
	return s.Stop()
}

// until polls the watcher.
func (l *load) until(ctx context.Context, w *watcher, what string, is func(state) bool) (state, error) {
	var s state
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		s = w.state()
		return is(s), l.scheduler.Failure()
	})
	if err != nil {
		return s, fmt.Errorf("until %s: %w; %d gangs run, %d are told why they wait, half started: %v", what, err, s.whole, s.told, s.half)
	}
	return s, nil
}

// quiet is longer than the waker's longest pause between two looks for room, after which it stops.
const quiet = 35 * time.Second

// settle waits until no gang has been tried for so long that none will be, until its time in the parking lot is over.
func (l *load) settle(ctx context.Context) error {
	begin, last, since := time.Now(), -1.0, time.Now()
	err := wait.PollUntilContextTimeout(ctx, time.Second, patience, true, func(ctx context.Context) (bool, error) {
		now, err := l.counts(ctx)
		if now.tries != last {
			last, since = now.tries, time.Now()
		}
		return time.Since(since) > quiet, err
	})
	if err == nil {
		l.say("settled after %s and %.0f tries", since.Sub(begin).Round(time.Second), last)
	}
	return err
}

// atRest measures a scheduler that nothing happens to.
func (l *load) atRest(ctx context.Context, with string, rest time.Duration) error {
	defer l.profile(ctx, "rest with "+with)()
	begin := time.Now()
	before, err1 := l.scheduler.Usage()
	did, err2 := l.counts(ctx)
	if err := errors.Join(err1, err2, sleep(ctx, rest)); err != nil {
		return err
	}
	after, err1 := l.scheduler.Usage()
	done, err2 := l.counts(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	l.say("FIGURE rest/%s value=%.2f%% of a core, holds=%dMiB peak=%dMiB requests=%.0f tries=%.0f of which refused as before=%.0f", with,
		100*(after.CPU-before.CPU).Seconds()/time.Since(begin).Seconds(), after.NowKiB>>10, after.PeakKiB>>10,
		done.requests-did.requests, done.tries-did.tries, done.repeated-did.repeated)
	if !l.heap {
		return nil
	}
	heap, err := l.heapInUse(ctx)
	if err != nil {
		return err
	}
	l.say("FIGURE heap/%s value=%.0fMiB", with, heap/(1<<20))
	return nil
}

// underChurn has a gang end each second and another one come, and five nodes' reports change.
func (l *load) underChurn(ctx context.Context) error {
	watchCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := l.watch(watchCtx, "waiting")
	if err != nil {
		return err
	}
	start := w.state()
	before, err := l.scheduler.Usage()
	if err != nil {
		return err
	}
	defer l.profile(ctx, "churn")()
	begin := time.Now()
	var ends []time.Time
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for time.Since(begin) < l.churn {
		if err := errors.Join(l.makeRoom(ctx), l.queueUp(ctx, 1), l.moveReports(ctx, 5)); err != nil {
			return err
		}
		ends = append(ends, time.Now())
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	took := time.Since(begin)
	after, err := l.scheduler.Usage()
	if err != nil {
		return err
	}
	s, err := l.until(ctx, w, "each gang that ended made room for another one", func(s state) bool {
		return s.whole >= start.whole+len(ends) && len(s.half) == 0
	})
	if err != nil {
		return err
	}
	l.say("FIGURE churn/cpu value=%.0f%% of a core, gangs=%d in %.0fs, holds=%dMiB peak=%dMiB", 100*(after.CPU-before.CPU).Seconds()/took.Seconds(), len(ends), took.Seconds(), after.NowKiB>>10, after.PeakKiB>>10)
	waits := followed(ends, start, s)
	l.say("FIGURE churn/from room to bound value=%.2fs p90=%.2fs max=%.2fs", waits[len(waits)/2].Seconds(), waits[len(waits)*9/10].Seconds(), waits[len(waits)-1].Seconds())
	return nil
}

// followed is how long after each end the next gang was whole, sorted: the first end made room for the first that followed.
func followed(ends []time.Time, start, now state) []time.Duration {
	var whole []time.Time
	for name, at := range now.wholeBecauseOf {
		if _, was := start.wholeBecauseOf[name]; !was {
			whole = append(whole, at)
		}
	}
	slices.SortFunc(whole, time.Time.Compare)
	var waits []time.Duration
	for i := range min(len(ends), len(whole)) {
		waits = append(waits, max(0, whole[i].Sub(ends[i])))
	}
	slices.Sort(waits)
	return waits
}

// moveReports has nodes tell of other free memory.
func (l *load) moveReports(ctx context.Context, count int) error {
	return each(ctx, count, func(ctx context.Context, i int) error {
		n := l.reports + i
		report, err := l.reportOf(n%l.nodes, 10<<10+n/l.nodes%2<<12)
		if err != nil {
			return err
		}
		if i == count-1 {
			defer func() { l.reports += count }()
		}
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, gang.GPUReportKey, report)
		_, err = l.Client.CoreV1().Nodes().Patch(ctx, nodeName(n%l.nodes), types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
}

// amongHostile makes hostile objects, and sees how long a gang takes that comes after them.
func (l *load) amongHostile(ctx context.Context) error {
	if l.hostile == 0 {
		return nil
	}
	watchCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := l.watch(watchCtx, "waiting")
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := each(ctx, l.hostile, l.offend); err != nil {
		return fmt.Errorf("making hostile objects: %w", err)
	}
	l.say("made %d hostile objects in %s", l.hostile, time.Since(begin).Round(time.Second))
	whole := w.state().whole
	if err := l.makeRoom(ctx); err != nil {
		return err
	}
	begin = time.Now()
	if _, err := l.until(ctx, w, "a gang gets the room that another one left", func(s state) bool { return s.whole > whole }); err != nil {
		return err
	}
	took := time.Since(begin)
	usage, err := l.scheduler.Usage()
	if err != nil {
		return err
	}
	l.say("FIGURE hostile/from room to bound value=%.2fs objects=%d holds=%dMiB peak=%dMiB", took.Seconds(), l.hostile, usage.NowKiB>>10, usage.PeakKiB>>10)
	return nil
}
