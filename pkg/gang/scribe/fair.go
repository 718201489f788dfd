package scribe

import "github.com/phalanx-scheduler/phalanx/pkg/gang"

// fair is a queue that serves namespaces in turn: whoever makes ten thousand PodGroups waits for their statuses himself.
// Cost: constant per call.
type fair struct {
	turns  []string // namespaces that have gangs in line, whose turn it is first
	inLine map[string][]gang.Key
	length int
}

func newFair() *fair { return &fair{inLine: map[string][]gang.Key{}} }

// Touch implements workqueue.Queue: a gang that is in line already keeps its place.
func (*fair) Touch(gang.Key) {}

// Push implements workqueue.Queue.
func (f *fair) Push(key gang.Key) {
	if len(f.inLine[key.Namespace]) == 0 {
		f.turns = append(f.turns, key.Namespace)
	}
	f.inLine[key.Namespace] = append(f.inLine[key.Namespace], key)
	f.length++
}

// Len implements workqueue.Queue.
func (f *fair) Len() int { return f.length }

// Pop implements workqueue.Queue. It is called only while Len is positive.
func (f *fair) Pop() gang.Key {
	namespace := f.turns[0]
	f.turns = f.turns[1:]
	line := f.inLine[namespace]
	key := line[0]
	if len(line) == 1 {
		delete(f.inLine, namespace)
	} else {
		f.inLine[namespace] = line[1:]
		f.turns = append(f.turns, namespace)
	}
	f.length--
	return key
}
