package gang

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// uidSet is the members of one gang that wait in Permit.
type uidSet map[types.UID]struct{}

// waitingMembers is who waits in Permit, per gang. The core could tell, but only by copying all members of a gang.
type waitingMembers struct {
	mu    sync.Mutex
	gangs map[gang.Key]uidSet
}

func (w *waitingMembers) add(key gang.Key, uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gangs == nil {
		w.gangs = map[gang.Key]uidSet{}
	}
	if w.gangs[key] == nil {
		w.gangs[key] = uidSet{}
	}
	w.gangs[key][uid] = struct{}{}
}

func (w *waitingMembers) has(key gang.Key, uid types.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.gangs[key][uid]
	return ok
}

// take empties the gang's set and returns it, in no order.
func (w *waitingMembers) take(key gang.Key) []types.UID {
	w.mu.Lock()
	defer w.mu.Unlock()
	uids := make([]types.UID, 0, len(w.gangs[key]))
	for uid := range w.gangs[key] {
		uids = append(uids, uid)
	}
	delete(w.gangs, key)
	return uids
}
