package rounds_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/internal/fake"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/rounds"
)

const (
	period = 10 * time.Second
	boot   = "00000000-0000-4000-8000-000000000001"
)

// world is a loop on a driver, in time that jumps. Its parts are looked at while the loop waits.
type world struct {
	t      *testing.T
	driver *fake.Driver
	log    bytes.Buffer
	exits  []string
	err    error
	isOver bool

	mu     sync.Mutex
	rounds []rounds.Round
	times  []time.Time
	turns  []error
	heard  map[health.Class]int
}

// run starts a loop for as long as do takes.
func run(t *testing.T, d *fake.Driver, do func(w *world)) {
	runAfter(t, d, func() (*gpu.Report, error) { return nil, nil }, do)
}

// runAfter starts one that recalls a report.
func runAfter(t *testing.T, d *fake.Driver, recall func() (*gpu.Report, error), do func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		config := health.Default()
		w := &world{t: t, driver: d, heard: map[health.Class]int{}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.err = rounds.Run(ctx, rounds.Options{
				Driver: d, Health: &config, Period: period, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
				Dog: reporter.Watchdog{Limit: time.Minute, Exit: func(reason string) { w.exits = append(w.exits, reason) }},
				Recall: func(context.Context) (string, *gpu.Report, error) {
					last, err := recall()
					return boot, last, err
				},
				Publish: func(r rounds.Round) { w.rounds, w.times = append(w.rounds, r), append(w.times, time.Now()) },
				Turn:    func(err error) { w.turns = append(w.turns, err) },
				Heard: func(_ string, class health.Class) {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.heard[class]++
				},
			})
			w.isOver = true
		}()
		do(w)
		cancel()
		<-ended
	})
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	w.driver.Changed()
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) last() rounds.Round {
	require.NotEmpty(w.t, w.rounds)
	return w.rounds[len(w.rounds)-1]
}

// state is that of a GPU in the last round.
func (w *world) state(i int) string {
	g := w.last().Report.GPUs[i]
	return strings.Trim(fmt.Sprintf("%s %s", g.State, strings.Join(g.Reasons, ", ")), " ")
}

// lines are the messages that were logged.
func (w *world) lines() (out []string) {
	for line := range strings.Lines(w.log.String()) {
		_, message, _ := strings.Cut(line, "msg=")
		out = append(out, strings.TrimSpace(message))
	}
	return out
}

func TestARoundEachPeriod(t *testing.T) {
	run(t, fake.H100(), func(w *world) {
		w.pass(time.Hour)
		assert.Len(t, w.rounds, 361)
		for _, r := range w.rounds {
			assert.True(t, r.IsWhole)
			assert.Equal(t, w.rounds[0].Text, r.Text)
		}
		assert.Equal(t, 1, w.driver.Calls["Watch"])
		assert.Empty(t, w.lines())
	})
}

func TestNothingIsSaidBeforeItIsKnownWhatWasSaid(t *testing.T) {
	times := 0
	recall := func() (*gpu.Report, error) {
		if times++; times < 3 {
			return nil, errors.New("not now")
		}
		return &gpu.Report{Driver: "570.86.15", Boot: boot, GPUs: []gpu.GPU{{UUID: fake.UUID(3), State: gpu.Drain, Reasons: []string{"XID 48"}}}}, nil
	}
	runAfter(t, fake.H100(), recall, func(w *world) {
		w.pass(2*period - 1)
		assert.Empty(t, w.rounds)
		assert.EqualError(t, w.turns[1], "the last report: not now")
		w.pass(10 * period)
		assert.Equal(t, "drain XID 48", w.state(3))
		assert.Equal(t, 3, times, "it is recalled once")
		assert.Len(t, w.lines(), 2, "what is wrong is logged when it begins, and when it ends")
	})
}

func TestWhatIsWrongIsConfirmedSoon(t *testing.T) {
	run(t, fake.H100(), func(w *world) {
		w.pass(time.Second)
		w.driver.GPUs[3].Rows.HasFailed = true
		w.pass(period)
		assert.Equal(t, "drain memory row remapping failed", w.state(3))
		assert.Equal(t, []time.Duration{period, period + time.Second}, []time.Duration{w.times[1].Sub(w.times[0]), w.times[2].Sub(w.times[0])})
	})
}

func TestAnXIDThatMattersIsReportedAtOnce(t *testing.T) {
	run(t, fake.H100(), func(w *world) {
		w.pass(3 * time.Second)
		w.driver.Happen(fake.UUID(5), 79)
		w.pass(time.Second)
		assert.Equal(t, "lost XID 79", w.state(5))
		assert.Len(t, w.rounds, 2)
	})
}

func TestAnXIDOfAProgramIsCounted(t *testing.T) {
	run(t, fake.H100(), func(w *world) {
		w.pass(3 * time.Second)
		w.driver.Happen(fake.UUID(5), 31)
		w.driver.Happen("GPU-of-somebody-else", 79)
		w.pass(6 * time.Second)
		assert.Len(t, w.rounds, 1, "it can wait")
		w.pass(period)
		assert.Equal(t, "ok", w.state(5))
		assert.Equal(t, map[health.Class]int{health.Application: 1}, w.heard)
	})
}

func TestAStormOfXIDsCostsLittle(t *testing.T) {
	run(t, fake.H100(), func(w *world) {
		w.pass(time.Second)
		for range 60 {
			for i := range 10_000 {
				w.driver.Happen(fake.UUID(2), 1+i%170)
			}
			w.pass(time.Second)
		}
		assert.LessOrEqual(t, len(w.rounds), 62)
		assert.LessOrEqual(t, w.driver.Calls["Next"], 6_200)
		assert.Contains(t, w.state(2), "lost")
		assert.LessOrEqual(t, len(w.last().Report.GPUs[2].Reasons), gpu.MaxReasons)
		assert.Equal(t, "ok", w.state(3))
	})
}

func TestWithoutADriverNothingIsReportedUntilThereIsOne(t *testing.T) {
	d := fake.H100()
	d.Faults = map[string]error{"Init": reporter.NoLibrary}
	run(t, d, func(w *world) {
		w.pass(time.Hour)
		assert.Empty(t, w.rounds)
		assert.Equal(t, 361, w.driver.Calls["Init"])
		assert.Equal(t, []string{`"There are no GPUs to report. That is tried again" reason="the GPU driver's library libnvidia-ml.so.1 was not found" every=10s`}, w.lines())
		w.driver.Faults["Init"] = reporter.NotLoaded
		w.pass(period)
		delete(w.driver.Faults, "Init")
		w.pass(period)
		assert.True(t, w.last().IsWhole)
		assert.Len(t, w.lines(), 3)
		assert.Equal(t, `"GPUs are reported again"`, w.lines()[2])
	})
}

func TestADriverThatIsUnloadedIsWaitedFor(t *testing.T) {
	run(t, fake.H100(), func(w *world) {
		w.pass(time.Second)
		w.driver.Happen(fake.UUID(5), 79)
		w.pass(time.Second)
		w.driver.Faults = map[string]error{"Count": reporter.NotLoaded, "Init": reporter.NotLoaded, "Next": reporter.NotLoaded}
		w.pass(time.Minute)
		count := len(w.rounds)
		assert.Equal(t, 2, count)
		w.driver.Faults = nil
		w.pass(time.Minute)
		assert.Greater(t, len(w.rounds), count)
		assert.True(t, w.last().IsWhole)
		assert.Equal(t, "lost XID 79", w.state(5), "what was found is not forgotten")
		w.pass(5 * time.Minute)
		assert.Equal(t, "ok", w.state(5), "and is over a clean period after the reload")
	})
}

func TestADriverOfAnotherVersionEndsTheLoop(t *testing.T) {
	run(t, fake.H100(), func(w *world) {
		w.pass(time.Minute)
		w.driver.Faults = map[string]error{"Count": reporter.Mismatched}
		w.pass(period + 5*time.Second) // the wait that is under way ends first
		assert.True(t, w.isOver)
		assert.EqualError(t, w.err, "count of the GPUs: the GPU driver and its library are of different versions")
	})
}

func TestAProgramWithoutABackendEnds(t *testing.T) {
	d := fake.H100()
	d.Faults = map[string]error{"Init": reporter.NoBackend}
	run(t, d, func(w *world) {
		w.pass(0)
		assert.ErrorIs(t, w.err, reporter.NoBackend)
	})
}

func TestARoundThatFailsLosesNoXID(t *testing.T) {
	run(t, fake.H100(), func(w *world) {
		w.pass(time.Second)
		w.driver.Faults = map[string]error{"Count": errors.New("it returned 4")}
		w.driver.Happen(fake.UUID(1), 48)
		w.pass(time.Minute)
		assert.Len(t, w.rounds, 1)
		assert.Equal(t, []string{`"GPUs are not fully reported. That is tried again" reason="count of the GPUs: it returned 4" every=10s`}, w.lines())
		w.driver.Faults = nil
		w.pass(period)
		assert.Equal(t, "drain XID 48", w.state(1))
	})
}

func TestWithoutEarsARoundIsNotWhole(t *testing.T) {
	run(t, fake.H100(), func(w *world) {
		w.pass(time.Second)
		w.driver.Faults = map[string]error{"Next": reporter.Broken, "Watch": reporter.Broken}
		w.pass(time.Minute)
		assert.False(t, w.last().IsWhole)
		assert.Equal(t, "ok", w.state(0), "what is polled is reported all the same")
		w.driver.Faults = nil
		w.pass(period)
		assert.True(t, w.last().IsWhole)
	})
}

func TestGPUsWithoutXIDsArePolled(t *testing.T) {
	d := fake.H100()
	d.Faults = map[string]error{"Watch": fmt.Errorf("XIDs of 8 GPUs: %w", reporter.NotSupported)}
	run(t, d, func(w *world) {
		w.pass(time.Minute)
		assert.True(t, w.last().IsWhole)
		assert.Empty(t, w.lines())
	})
}

func TestAGPUThatComesBackIsListenedToAnew(t *testing.T) {
	for name, fault := range map[string]reporter.Fault{"lost": reporter.GPULost, "waiting for a reset": reporter.WantsReset} {
		t.Run(name, func(t *testing.T) {
			run(t, fake.H100(), func(w *world) {
				w.pass(time.Second)
				w.driver.GPUs[6].Fault = fault
				w.pass(2 * period)
				assert.Len(t, w.driver.Watched, 7)
				assert.True(t, w.last().IsWhole, "the others live")
				w.driver.GPUs[6].Fault = nil
				w.pass(2 * period)
				assert.Len(t, w.driver.Watched, 8)
				assert.Equal(t, 3, w.driver.Calls["Watch"])
				w.driver.Happen(fake.UUID(6), 48)
				w.pass(time.Second)
				assert.Contains(t, w.state(6), "XID 48")
			})
		})
	}
}

func TestAHungWaitEndsTheProcess(t *testing.T) {
	d, hangs := fake.H100(), atomic.Pointer[chan struct{}]{}
	d.BeforeNext = func() {
		if hang := hangs.Load(); hang != nil {
			<-*hang
		}
	}
	run(t, d, func(w *world) {
		hang := make(chan struct{})
		w.pass(time.Second)
		hangs.Store(&hang)
		w.pass(2 * time.Minute)
		assert.Equal(t, []string{"wait for XIDs: the GPU driver did not answer within 1m0s"}, w.exits)
		close(hang)
	})
}
