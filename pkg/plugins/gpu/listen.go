package gpu

import (
	"context"
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
)

// listenInterval is how often the fleet looks who is stale and which reports are bad: often enough for minutes, and for people.
const listenInterval = 5 * time.Second

// Run looks after the fleet until the context is done, while this replica leads: it calls wake with each node whose report went
// stale or ceased to be, if that matters to any pod, and tells each node what is wrong with its report, by an event, when that
// changes.
func (f *Fleet) Run(ctx context.Context, recorder events.EventRecorder, wake func(*v1.Node)) {
	told := map[string]string{}
	for {
		for _, node := range f.turned() {
			wake(node)
		}
		told = f.tell(ctx, recorder, told)
		select {
		case <-f.clock.After(listenInterval):
		case <-ctx.Done():
			return
		}
	}
}

// turned returns the nodes whose reports went stale or ceased to be, where that can let in a pod.
func (f *Fleet) turned() (nodes []*v1.Node) {
	for _, name := range f.pulse.Take(f.staleness()) {
		f.mu.RLock()
		m := f.nodes[name]
		f.mu.RUnlock()
		if m != nil && m.read.IsSwayed() {
			nodes = append(nodes, m.object)
		}
	}
	return nodes
}

// tell says what was not told before, and returns what has been told now.
func (f *Fleet) tell(ctx context.Context, recorder events.EventRecorder, before map[string]string) map[string]string {
	wrong := f.wrong()
	told := make(map[string]string, len(wrong))
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		m := wrong[name]
		if told[name] = m.read.Problem; before[name] == m.read.Problem {
			continue
		}
		klog.FromContext(ctx).V(2).Info("A node's GPU report counts as none", "node", name, "reason", m.read.Problem)
		regarding := &v1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name, UID: m.object.UID}
		recorder.Eventf(regarding, nil, v1.EventTypeWarning, "GPUReportInvalid", "Reading", "%s", m.read.Problem)
	}
	return told
}

// wrong returns the nodes with bad reports.
func (f *Fleet) wrong() map[string]*member {
	f.mu.RLock()
	defer f.mu.RUnlock()
	out := map[string]*member{}
	for name, m := range f.nodes {
		if m.read.Problem != "" {
			out[name] = m
		}
	}
	return out
}
