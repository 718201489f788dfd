package gpu

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// hintFor asks every hint that is registered for an event, as the core does.
func (w *world) hintFor(t *testing.T, event fwk.ClusterEvent, waiting *v1.Pod, before, after any) bool {
	registered, err := w.EventsToRegister(t.Context())
	require.NoError(t, err)
	isQueued := false
	for _, r := range registered {
		require.Nil(t, r.PreQueueingHintFn, "it would keep other plugins' pods from being asked about")
		if !framework.MatchClusterEvents(r.Event, event) {
			continue
		}
		got, err := r.QueueingHintFn(klog.Background(), waiting, before, after)
		require.NoError(t, err)
		isQueued = isQueued || got == fwk.Queue
	}
	return isQueued
}

func TestWhatWakesAPodWhenANodeChanges(t *testing.T) {
	bad, good := nodeWith(t, "n1", "h100", drained(0)), nodeWith(t, "n1", "h100")
	unrelated := good.DeepCopy()
	unrelated.Annotations["somebody/else"] = "x"
	withdrawn := bad.DeepCopy()
	withdrawn.Status.Allocatable = gpuList(7)
	recut := good.DeepCopy()
	recut.Labels["nvidia.com/mig.config.state"] = "pending"
	other := podWith("p", 1, gang.GPUProductKey, "B200")
	for name, test := range map[string]struct {
		waiting       *v1.Pod
		before, after *v1.Node
		want          bool
	}{
		"a report improves":                              {podWith("p", 1), bad, good, true},
		"a report improves, but not for a wrong wish":    {podWith("p", 1, gang.GPUMemoryKey, "lots"), bad, good, false},
		"a report improves, but not for another product": {other, bad, good, false},
		"a report gets worse":                            {podWith("p", 1), good, bad, false},
		"another annotation changes":                     {podWith("p", 1), good, unrelated, false},
		"allocatable shrinks by the bad GPU":             {podWith("p", 1), bad, withdrawn, true},
		"allocatable grows":                              {podWith("p", 1), withdrawn, good, true},
		"MIG instances are done":                         {podWith("p", 1), recut, good, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			got := false
			for _, event := range framework.NodeSchedulingPropertiesChange(test.after, test.before) {
				got = got || w.hintFor(t, event, test.waiting, test.before, test.after)
			}
			assert.Equal(t, test.want, got)
		})
	}
	w := newWorld(t, nil)
	add := fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add}
	assert.True(t, w.hintFor(t, add, podWith("p", 8), nil, good))
	assert.False(t, w.hintFor(t, add, podWith("p", 9), nil, good))
	assert.False(t, w.hintFor(t, add, other, nil, good))
}

func TestWhatWakesAPodWhenAReportGoesStale(t *testing.T) {
	w := newWorld(t, nil)
	dirty, bad := nodeWith(t, "n1", "h100", leak(0)), nodeWith(t, "n2", "h100", inState(gpu.Lost, 0))
	wishing := podWith("p", 1, gang.GPUMemoryKey, "40Gi")
	assert.False(t, w.hintFor(t, FreshnessEvent, wishing, dirty, dirty), "it is fresh")
	w.fleet.setNode("n1", dirty)
	w.fleet.setNode("n2", bad)
	w.clock.Step(2 * DefaultStaleAfterSeconds * 1e9)
	require.Equal(t, []string{"n1", "n2"}, w.fleet.pulse.Take(1, 100))
	assert.True(t, w.hintFor(t, FreshnessEvent, wishing, dirty, dirty), "what is free is unknown")
	assert.False(t, w.hintFor(t, FreshnessEvent, podWith("p", 1), dirty, dirty), "it was open to this one all the time")
	assert.False(t, w.hintFor(t, FreshnessEvent, wishing, bad, bad), "a lost GPU stays lost")
}

func TestWhatWakesAPodWhenOthersChange(t *testing.T) {
	starts := on(podWith("a", 1), "n1")
	shows := on(podWith("a", 1), "n1", uuids(t, "h100", 0)...)
	for name, test := range map[string]struct {
		report        func(r *gpu.Report)
		waiting       *v1.Pod
		before, after *v1.Pod // after is nil for one that leaves
		want          bool
	}{
		"one shows that it holds the bad GPU":      {drained(0), podWith("p", 1), starts, shows, true},
		"one shows what it holds where none is":    {drained(), podWith("p", 1), starts, shows, false},
		"one changes otherwise":                    {drained(0), podWith("p", 1), shows, shows.DeepCopy(), false},
		"one without GPUs changes":                 {drained(0), podWith("p", 1), on(podWith("a", 0), "n1"), on(podWith("a", 0), "n1"), false},
		"one leaves GPUs that may be linked":       {drained(), podWith("p", 2), shows, nil, true},
		"one leaves a GPU to who wants but one":    {drained(), podWith("p", 1), shows, nil, false},
		"one on a node that is gone":               {drained(0), podWith("p", 1), on(podWith("a", 1), "n9"), on(podWith("a", 1), "n9", uuids(t, "h100", 0)...), false},
		"one shows it, and the waiting has no GPU": {drained(0), podWith("p", 0), starts, shows, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.fleet.setNode("n1", nodeWith(t, "n1", "h100", test.report))
			if test.after == nil {
				assert.Equal(t, test.want, w.hintFor(t, framework.EventAssignedPodDelete, test.waiting, test.before, nil))
				return
			}
			got := false
			for _, event := range framework.PodSchedulingPropertiesChange(test.after, test.before, false) {
				got = got || w.hintFor(t, event, test.waiting, test.before, test.after)
			}
			assert.Equal(t, test.want, got)
		})
	}
}

func TestWhatWakesAPodWhenDRAChanges(t *testing.T) {
	w := newWorld(t, nil)
	w.fleet.setNode("n1", nodeWith(t, "n1", "h100"))
	w.fleet.setNode("n2", nodeWith(t, "n2", ""))
	update := fwk.ClusterEvent{Resource: fwk.ResourceClaim, ActionType: fwk.Update}
	gone := fwk.ClusterEvent{Resource: fwk.ResourceClaim, ActionType: fwk.Delete}
	holds, holdsNone := claimOn("n1", "gpu-0"), claimOn("n1")
	assert.True(t, w.hintFor(t, update, podWith("p", 1), holds, holdsNone), "a claim gives a GPU back")
	assert.True(t, w.hintFor(t, gone, podWith("p", 1), holds, nil), "or goes")
	assert.False(t, w.hintFor(t, update, podWith("p", 1), holdsNone, holds), "it takes one")
	assert.False(t, w.hintFor(t, update, podWith("p", 1), holds, holds.DeepCopy()), "it changes otherwise")
	assert.False(t, w.hintFor(t, gone, podWith("p", 9), holds, nil), "the node never has so many")
	assert.False(t, w.hintFor(t, gone, podWith("p", 0), holds, nil), "who has no GPUs has not waited for them")
	assert.False(t, w.hintFor(t, gone, podWith("p", 1), claimOn("n2", "gpu-0"), nil), "without a report nothing was held against it")
	assert.False(t, w.hintFor(t, gone, podWith("p", 1), claimOn("n9", "gpu-0"), nil), "the node is gone")

	slice := driverOf("n1", uuids(t, "h100", 0)...)
	came := fwk.ClusterEvent{Resource: fwk.ResourceSlice, ActionType: fwk.Add}
	assert.True(t, w.hintFor(t, came, podWith("p", 1), nil, slice), "other GPUs are the plugin's now")
	slice.Spec.Driver = "nic.example.com"
	assert.False(t, w.hintFor(t, came, podWith("p", 1), nil, slice))
}

func TestWhatWakesAPodThatChangesItself(t *testing.T) {
	w := newWorld(t, nil)
	wrong, right := podWith("p", 1, gang.GPUMemoryKey, "lots"), podWith("p", 1, gang.GPUMemoryKey, "40Gi")
	changed := func(before, after *v1.Pod) bool {
		got := false
		for _, event := range framework.PodSchedulingPropertiesChange(after, before, true) {
			got = got || w.hintFor(t, event, after, before, after)
		}
		return got
	}
	assert.True(t, changed(wrong, right))
	assert.True(t, changed(wrong, podWith("p", 1)), "the wrong annotation is gone")
	assert.False(t, changed(right, wrong))
	assert.False(t, changed(right, podWith("p", 1, gang.GPUMemoryKey, "40960Mi")), "it is the same wish")
	assert.True(t, changed(right, podWith("p", 1, gang.GPUMemoryKey, "20Gi")))
}

func TestWhatWakesAPodWhenItsGroupChanges(t *testing.T) {
	w := newWorld(t, nil)
	update := fwk.ClusterEvent{Resource: fwk.PodGroup, ActionType: fwk.Update}
	wrong, right := groupWith("g", gang.GPUMemoryKey, "lots"), groupWith("g", gang.GPUMemoryKey, "40Gi")
	member := inGroup(podWith("p", 1), "g")
	assert.True(t, w.hintFor(t, update, member, wrong, right))
	assert.False(t, w.hintFor(t, update, member, right, wrong))
	assert.False(t, w.hintFor(t, update, member, right, right.DeepCopy()))
	assert.False(t, w.hintFor(t, update, inGroup(podWith("p", 1), "h"), wrong, right), "another group")
	assert.False(t, w.hintFor(t, update, podWith("p", 1), wrong, right), "no group")
	assert.True(t, w.hintFor(t, fwk.ClusterEvent{Resource: fwk.PodGroup, ActionType: fwk.Add}, member, nil, right), "it has a wish where it had none")
}
