package scheduler

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
)

// surveyInterval is how long changes of HyperNodes are collected before anybody is told what is wrong with them: whoever
// writes a fabric down writes it object by object.
const surveyInterval = time.Second

// surveyor looks at the HyperNodes after each change. It finds out where the nodes stand, beside the scheduling loop; wakes refused
// gangs, for which there may be a domain now; and tells about each HyperNode what of it is ignored: by an event, when that changes.
type surveyor struct {
	hyperNodes *hypernode.Set
	nodes      corelisters.NodeLister
	events     events.EventRecorder
	hasRoom    func()
	clock      clock.Clock
}

// run surveys until the context is done.
func (s *surveyor) run(ctx context.Context) {
	var problems []hypernode.Problem
	told, next := map[types.UID]string{}, (<-chan time.Time)(nil)
	for {
		select {
		case <-s.hyperNodes.Changed():
			problems = s.hyperNodes.Resolve(s.eachNode)
			s.hasRoom()
			if next == nil {
				next = s.clock.After(surveyInterval)
			}
		case <-next:
			told, next = s.tell(ctx, problems, told), nil
		case <-ctx.Done():
			return
		}
	}
}

// tell says what was not told before, and returns what has been told now.
func (s *surveyor) tell(ctx context.Context, problems []hypernode.Problem, before map[types.UID]string) map[types.UID]string {
	told := map[types.UID]string{}
	for _, p := range problems {
		if told[p.UID] = p.Sentence; before[p.UID] == p.Sentence {
			continue
		}
		klog.FromContext(ctx).V(2).Info("A HyperNode is ignored in part", "hyperNode", p.Name, "reason", p.Sentence)
		regarding := &v1.ObjectReference{
			APIVersion: hypernode.Resource.GroupVersion().String(), Kind: hypernode.Kind, Name: p.Name, UID: p.UID,
		}
		s.events.Eventf(regarding, nil, v1.EventTypeWarning, "HyperNodeInvalid", "Surveying", "%s", p.Sentence)
	}
	return told
}

// eachNode yields the nodes and their labels.
func (s *surveyor) eachNode(yield func(string, map[string]string) bool) {
	nodes, err := s.nodes.List(labels.Everything())
	if err != nil { // cannot be: it comes from memory
		return
	}
	for _, node := range nodes {
		if !yield(node.Name, node.Labels) {
			return
		}
	}
}
