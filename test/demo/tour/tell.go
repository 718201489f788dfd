package tour

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/phalanx-scheduler/phalanx/test/demo/fabric"
	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

const (
	indent = "    "
	// labelWidth is for what a fact is about.
	labelWidth = 9
	// refresh is how often the picture of an act is drawn, poll how often an object is read.
	refresh, poll = 100 * time.Millisecond, 200 * time.Millisecond
	// statusPatience is how long a status may take to say what has happened: scheduler and controllers write it late on
	// purpose, so as not to write each step.
	statusPatience = 20 * time.Second
)

// tell says what was observed: a label, and a fact.
func (t *Tour) tell(label, format string, args ...any) {
	for i, line := range screen.Wrap(fmt.Sprintf(format, args...), t.Screen.TextWidth()-len(indent)-labelWidth-3) {
		mark := fmt.Sprintf("→ %-*s ", labelWidth, label)
		if i > 0 {
			mark = fmt.Sprintf("  %-*s ", labelWidth, "")
		}
		t.Screen.Print(screen.Line{{Text: indent}, {Text: mark, Style: screen.Green}, {Text: line}})
	}
}

// quote shows what the scheduler wrote, word by word.
func (t *Tour) quote(words string) {
	for _, line := range screen.Wrap(words, t.Screen.TextWidth()-len(indent)-labelWidth-5) {
		t.Screen.Print(screen.Line{{Text: fmt.Sprintf("%s%*s", indent, labelWidth+5, "")}, {Text: line, Style: screen.Yellow}})
	}
}

// tellPlace says where a gang stands in the network.
func (t *Tour) tellPlace(g observe.Gang) {
	least := fabric.LeastLeaves(t.Fabric.Hosts, int((g.GPUs+trace.GPUsPerHost-1)/trace.GPUsPerHost))
	t.tell("network", "it stands on %s below %s (an empty cluster could do with %d)", screen.Plural(g.Hosts, "host"), screen.Plural(len(g.Leaves), "leaf switch"), least)
}

// tellStatus waits until the status of a gang's PodGroup says what it should, and shows it.
func (t *Tour) tellStatus(ctx context.Context, g gang, what string, saysIt func(*unstructured.Unstructured) bool) error {
	var group *unstructured.Unstructured
	err := wait.PollUntilContextTimeout(ctx, poll, statusPatience, true, func(ctx context.Context) (bool, error) {
		var err error
		group, err = t.Cluster.Dynamic.Resource(g.dialect.Resource).Namespace(g.key.Namespace).Get(ctx, g.key.Name, metav1.GetOptions{})
		return err == nil && saysIt(group), err
	})
	if err != nil {
		if group == nil {
			return err
		}
		return fmt.Errorf("the status of PodGroup %s does not say %s: %s", g.key.Name, what, describe(group))
	}
	t.tell("PodGroup", "%s", describe(group))
	return nil
}

// tellJob waits until the Job controller has seen the end, and shows what it says.
func (t *Tour) tellJob(ctx context.Context, g gang) error {
	var job *batchv1.Job
	words := ""
	err := wait.PollUntilContextTimeout(ctx, poll, statusPatience, true, func(ctx context.Context) (bool, error) {
		var err error
		if job, err = t.Cluster.Client.BatchV1().Jobs(g.key.Namespace).Get(ctx, g.job, metav1.GetOptions{}); err != nil {
			return false, err
		}
		for _, c := range job.Status.Conditions {
			if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
				words = string(c.Type)
			}
		}
		return words != "", nil
	})
	if err != nil {
		return fmt.Errorf("job %s does not end: %w", g.job, err)
	}
	t.tell("Job", "%s, %d pods succeeded, %d failed", words, job.Status.Succeeded, job.Status.Failed)
	return nil
}

// watch draws the members of gangs as they come and go, until it is stopped.
func (t *Tour) watch(ctx context.Context, gangs []gang) (stop func()) {
	if !t.Screen.IsTerminal() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(refresh)
		defer tick.Stop()
		for {
			lines := []screen.Line{}
			for _, g := range gangs {
				lines = append(lines, membersLine(t.Observer.Gang(g.key)))
			}
			t.Screen.Draw(lines)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-stopped
		t.Screen.Erase()
	}
}

// membersLine is a gang with a mark for each member.
func membersLine(g observe.Gang) screen.Line {
	line := screen.Line{{Text: fmt.Sprintf("%s  %-*s ", indent, labelWidth, g.Key.Name), Style: screen.Dim}}
	line = append(line, screen.Bar(g.Members, int64(g.Members),
		screen.Part{Count: int64(g.Succeeded), Fill: '■', Style: screen.Blue},
		screen.Part{Count: int64(g.Running), Fill: '■', Style: screen.Green},
		screen.Part{Count: int64(max(0, g.Bound-g.Running-g.Succeeded)), Fill: '■', Style: screen.Yellow},
		screen.Part{Count: int64(max(0, g.Created-g.Bound)), Fill: '□', Style: screen.Yellow},
	)...)
	return append(line, screen.Span{Text: fmt.Sprintf("  %s exist, %d bound, %d running, %d succeeded", screen.Plural(g.Created, "pod"), g.Bound, g.Running, g.Succeeded), Style: screen.Dim})
}
