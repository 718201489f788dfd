// Package tour shows a newcomer, gang by gang, what the scheduler does.
//
// Purpose: each act says in a sentence or two what is about to happen, applies a manifest that anybody could apply with
// kubectl, and then says what did happen. Invariant: what it says after the fact was read back from the API server; an act
// that does not end as announced is an error.
package tour

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/demo/fabric"
	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

const (
	// patience is how long an act may take; the longest takes half a minute.
	patience = 90 * time.Second
	// readingTime is how long a text stands before the act begins, if somebody watches.
	readingTime = 3 * time.Second
)

// Tour is what the acts are played with.
type Tour struct {
	Cluster  *cluster.Cluster
	Fabric   *fabric.Fabric
	Observer *observe.Observer
	Judge    *oracle.Judge
	Screen   *screen.Screen
	// HasNative is true if the API server serves Kubernetes' own PodGroup.
	HasNative bool
}

// act is one claim, and how it is shown.
type act struct {
	title, text string
	file        string                             // its manifest, "" for none
	prepare     func(*Tour, context.Context) error // what happens before it is applied, nil for nothing
	play        func(*Tour, context.Context, []gang) error
}

func (t *Tour) acts() []act {
	native := act{
		title: "A gang in Kubernetes' own words",
		text:  "Kubernetes has a PodGroup of its own by now, and this API server serves it. To Phalanx it is one more dialect.",
		file:  "3-native.yaml",
		play:  (*Tour).runs,
	}
	if !t.HasNative {
		native = act{title: native.title, text: "This API server does not serve Kubernetes' own PodGroup, as most do not yet. This act is left out."}
	}
	return []act{
		{
			title: "A gang for Volcano",
			text: "A training job as users of Volcano write it: a PodGroup, and a Job whose pods name it. There is no Volcano " +
				"in this cluster: Phalanx understands its words.",
			file: "1-volcano.yaml",
			play: (*Tour).runsAndEnds,
		},
		{
			title: "A gang for coscheduling",
			text:  "The same in the words of the coscheduling plugin, and for the same scheduler. Its pods ask for 4 GPUs each.",
			file:  "2-coscheduling.yaml",
			play:  (*Tour).runs,
		},
		native,
		{
			title: "Two gangs, room for one",
			text: "Red and blue want the same 8 hosts, and each needs 6. Pod by pod, each could get some of the hosts, " +
				"and neither could ever start. As gangs, one runs and the other waits without holding a single GPU.",
			file: "4-contest.yaml",
			play: (*Tour).compete,
		},
		{
			title: "A gang that can never fit",
			text:  "Each of these 4 pods asks for 16 GPUs, and no host has more than 8. The gang is in nobody's way, and says what is wrong.",
			file:  "5-never.yaml",
			play:  (*Tour).neverFits,
		},
		{
			title: "A gang below one leaf switch",
			text: "Members of this job talk to each other all the time: it requires that all 8 hosts hang below one leaf switch. " +
				"Of 119 leaf switches it takes the one that leaves least behind.",
			file: "6-one-leaf.yaml",
			play: (*Tour).runs,
		},
		{
			title: "One host too many",
			text:  "The same with 9 hosts. There are hundreds of free hosts, but no leaf switch has 9, and the gang says which comes closest.",
			file:  "7-too-wide.yaml",
			play:  (*Tour).neverFits,
		},
		{
			title: "A GPU that fails and recovers",
			text: "Hosts may report what their GPUs are: health, free memory, links. Of these 8 one has lost a GPU, which Kubernetes " +
				"counts all the same. A gang that needs all 8 hosts waits instead of failing there, and starts when the GPU is back.",
			file:    "8-failed-gpu.yaml",
			prepare: (*Tour).fail,
			play:    (*Tour).recovers,
		},
		{
			title: "A GPU that is idle and not empty",
			text: "On one of these 8 hosts a process outlived its pod: a GPU that nobody has any more has 60 GiB in use, of which Kubernetes " +
				"knows nothing. A gang that asks for memory on each GPU stands on the other 7 hosts.",
			file:    "9-leaked-memory.yaml",
			prepare: (*Tour).leak,
			play:    (*Tour).avoids,
		},
		{
			title: "Two racks of 72 GPUs",
			text: "Two GB200 NVL72 racks join the cluster. NVLink connects all 72 GPUs of a rack and ends there; the reporters say which rack's " +
				"clique a tray is of, and the clique is a level of the fabric. A gang of 72 gets one whole clique, one of 64 the other, and " +
				"leaves two whole trays of it.",
			file:    "10-cliques.yaml",
			prepare: (*Tour).addRacks,
			play:    (*Tour).fillCliques,
		},
	}
}

// Run plays all acts. It goes on after an act that failed, and returns what went wrong.
func (t *Tour) Run(ctx context.Context) error {
	var errs []error
	for i, a := range t.acts() {
		if err := t.show(ctx, i+1, a); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err = fmt.Errorf("act %d, %s: %w", i+1, a.title, err)
			t.Screen.Print(screen.Line{{Text: indent}, {Text: err.Error(), Style: screen.Red}})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (t *Tour) show(ctx context.Context, number int, a act) error {
	late := errors.New("it takes too long")
	ctx, cancel := context.WithTimeoutCause(ctx, patience, late)
	defer cancel()
	t.Screen.Print(screen.Text(""), screen.Line{{Text: fmt.Sprintf(" %d  ", number), Style: screen.Cyan}, {Text: a.title, Style: screen.Bold}})
	for _, line := range screen.Wrap(a.text, t.Screen.TextWidth()-len(indent)) {
		t.Screen.Print(screen.Text("%s%s", indent, line))
	}
	if a.file == "" {
		return nil
	}
	raw, err := manifests.ReadFile("manifests/" + a.file)
	if err != nil {
		return err
	}
	gangs, err := read(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", a.file, err)
	}
	t.Screen.Print(screen.Text(""))
	t.Screen.Print(excerpt(raw)...)
	t.Screen.Print(screen.Text(""))
	if err := t.pause(ctx, readingTime); err != nil {
		return err
	}
	if a.prepare != nil {
		if err := a.prepare(t, ctx); err != nil {
			return err
		}
	}
	for _, g := range gangs {
		t.Observer.Expect(g.key, g.members, g.gpus)
		t.Judge.SetMinimum(time.Now(), g.key, g.members)
	}
	if err := t.Cluster.Apply(ctx, raw); err != nil {
		return err
	}
	stop := t.watch(ctx, gangs)
	defer stop()
	return a.play(t, ctx, gangs)
}

// pause gives people time to read.
func (t *Tour) pause(ctx context.Context, d time.Duration) error {
	if !t.Screen.IsTerminal() {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
