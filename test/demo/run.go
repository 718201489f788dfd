package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/phalanx-scheduler/phalanx/test/demo/fabric"
	"github.com/phalanx-scheduler/phalanx/test/demo/manifest"
	"github.com/phalanx-scheduler/phalanx/test/demo/replay"
	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
	"github.com/phalanx-scheduler/phalanx/test/demo/squeeze"
	"github.com/phalanx-scheduler/phalanx/test/demo/summary"
	"github.com/phalanx-scheduler/phalanx/test/demo/tour"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

const (
	// replaySpine is the spine switch whose hosts the replay is played on.
	replaySpine = "P12"
	// namespace is where the replayed gangs live; those of the tour live in "default".
	namespace = "kalos"
	// redraw is how often a line that counts seconds is drawn.
	redraw = 100 * time.Millisecond
)

// run plays the demo from the first line to the last.
func run(ctx context.Context, o options, s *screen.Screen) (err error) {
	begin, pulse := time.Now(), startPulse(ctx)
	hosts, jobs, err := readData()
	if err != nil {
		return err
	}
	below := map[string]string{fabric.SpineLabel: replaySpine}
	replayHosts := hosts.Below(below)

	s.Print(screen.Text(""), heading("Phalanx: gangs of pods start all at once, or not at all"), screen.Text(""))
	st, err := setUp(ctx, o, s, hosts, replayHosts)
	if err != nil {
		return err
	}
	defer func() {
		s.Erase()
		err = errors.Join(err, during(s, "", "stopping", st.tearDown))
	}()
	ctx, cancel := st.guard(ctx)
	defer cancel()

	var tourErr error
	if !o.isWithoutTour {
		t := tour.Tour{Cluster: st.cluster, Fabric: hosts, Observer: st.tour, Judge: st.judge, Screen: s, HasNative: st.hasNative}
		if tourErr = t.Run(ctx); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	sum, err := replayJobs(ctx, st, o, s, jobs, replayHosts, below)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.Print(screen.Text(""), heading("Summary"), screen.Text(""))
	s.Print(sum.Lines()...)
	s.Printf("  %-34s %s", "the whole demo", screen.Seconds(time.Since(begin)))
	if pause := pulse.longestPause(); pause > slowBeat {
		s.Printf("  %-34s %s at a time: it has too much to do", "this machine stood still for", screen.Seconds(pause))
	}
	if err = errors.Join(tourErr, err, judgement(sum)); err != nil || o.isOnce || !s.IsTerminal() {
		return err
	}
	return stay(ctx, st, s)
}

func readData() (*fabric.Fabric, []trace.Job, error) {
	hosts, err := trace.Lingjun()
	if err != nil {
		return nil, nil, fmt.Errorf("the hosts of Lingjun: %w", err)
	}
	jobs, err := trace.Kalos()
	if err != nil {
		return nil, nil, fmt.Errorf("the jobs of Kalos: %w", err)
	}
	return fabric.New(hosts), squeeze.Busiest(jobs), nil
}

func heading(text string) screen.Line { return screen.Line{{Text: " " + text, Style: screen.Bold}} }

// replayJobs lets the jobs of the trace compete, and says what came of it.
func replayJobs(ctx context.Context, st *stage, o options, s *screen.Screen, jobs []trace.Job, hosts []trace.Host, selector map[string]string) (summary.Summary, error) {
	totals := trace.Sum(jobs)
	gpus := len(hosts) * trace.GPUsPerHost
	s.Print(screen.Text(""), heading(fmt.Sprintf("The busiest stretch of a real cluster: %d training jobs from Kalos", totals.Jobs)), screen.Text(""))
	for _, line := range screen.Wrap(fmt.Sprintf(
		"%s pods in gangs of up to %d pods with %s GPUs arrive below one spine switch, which has %s with %s GPUs; they want up to %s at a time. "+
			"In the trace they arrive over %d days and run for %s to %d days. Here time is squeezed, by its logarithm, to a minute or two. The three dialects take turns.",
		screen.Number(totals.Pods), totals.LargestPods, screen.Number(totals.LargestGPUs), screen.Plural(len(hosts), "host"), screen.Number(gpus), screen.Number(totals.PeakGPUs),
		int(totals.Span.Hours()/24), screen.Seconds(totals.Shortest), int(totals.Longest.Hours()/24)), s.TextWidth()-4) {
		s.Printf("    %s", line)
	}
	s.Print(screen.Text(""))

	dialects := []manifest.Dialect{manifest.Volcano, manifest.Coscheduling}
	if st.hasNative {
		dialects = manifest.Dialects
	}
	leastLeaves := func(members int) int { return fabric.LeastLeaves(hosts, members) }
	r := replay.Replay{
		Client: st.client, Dynamic: st.cluster.Dynamic, Observer: st.replay, Judge: st.judge, Screen: s, Namespace: namespace,
		Gangs:       replay.Gangs(squeeze.Jobs(jobs, o.speed), dialects, namespace, selector),
		LeastLeaves: leastLeaves,
	}
	err := r.Run(ctx)
	return summary.Of(st.replay.View(time.Now()), st.judge, leastLeaves), err
}

// judgement is an error if the summary is not good.
func judgement(s summary.Summary) error {
	if s.IsGood() {
		return nil
	}
	return errors.New("not every gang ran as it should: see the summary; with --keep-logs the logs stay")
}

// stay leaves the cluster to whoever watches, until they have enough of it.
func stay(ctx context.Context, st *stage, s *screen.Screen) error {
	path, err := st.kubeconfig()
	if err != nil {
		return err
	}
	s.Print(screen.Text(""), heading("The cluster is yours until you press Ctrl-C"), screen.Text(""))
	for _, line := range []struct{ command, remark string }{
		{"export KUBECONFIG=" + path, ""},
		{"kubectl get nodes -L " + fabric.SpineLabel + "," + fabric.LeafLabel, "the hosts and the switches above them"},
		{"kubectl get podgroups.scheduling.volcano.sh -A", "gangs in Volcano's words, with their phases"},
		{"kubectl replace --force -f " + tour.ManifestsFolder + "/4-contest.yaml", "again two gangs, and room for one"},
		{"kubectl apply -f " + tour.ManifestsFolder + "/5-never.yaml", "a gang that waits"},
		{"kubectl describe podgroups.scheduling.volcano.sh giant", "why it waits: its condition and its events"},
		{"tail -f " + st.scheduler.LogPath(), "what the scheduler does"},
	} {
		out := screen.Line{{Text: "    " + line.command, Style: screen.Cyan}}
		if line.remark != "" {
			out = append(out, screen.Span{Text: "  # " + line.remark, Style: screen.Dim})
		}
		s.Print(out)
	}
	s.Print(screen.Text(""))
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, errInterrupted) {
		return cause
	}
	return nil
}

// during says what goes on while it does, with the seconds counting if somebody watches, and how long it took.
func during(s *screen.Screen, label, words string, do func() error) error {
	begin := time.Now()
	line := func(mark string, style screen.Style) screen.Line {
		return screen.Line{{Text: " " + mark + " ", Style: style}, {Text: fmt.Sprintf("%-14s", label), Style: screen.Bold}, {Text: words + "  "},
			{Text: screen.Seconds(time.Since(begin)), Style: screen.Dim}}
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				s.Print(line("✗", screen.Red))
			} else {
				s.Print(line("✓", screen.Green))
			}
			return err
		case <-tick.C:
			s.Draw([]screen.Line{line("…", screen.Yellow)})
		}
	}
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
