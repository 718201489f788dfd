package ledger

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// PodStore takes in the pods of the cluster, all phases: a reflector writes into it.
func (l *Ledger) PodStore() cache.ReflectorStore { return podStore{l} }

type podStore struct{ *Ledger }

func (s podStore) Add(object any) error    { return s.upsert(object) }
func (s podStore) Update(object any) error { return s.upsert(object) }
func (s podStore) Resync() error           { return nil }

func (s podStore) upsert(object any) error {
	pod, ok := object.(*v1.Pod)
	if !ok {
		return fmt.Errorf("want a Pod, got %T", object)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setPod(pod)
	return nil
}

func (s podStore) Delete(object any) error {
	pod, ok := object.(metav1.Object)
	if !ok {
		return fmt.Errorf("want a Pod, got %T", object)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deletePod(types.NamespacedName{Namespace: pod.GetNamespace(), Name: pod.GetName()})
	return nil
}

// Replace implements cache.ReflectorStore: a new list came, after the start or after a watch broke.
func (s podStore) Replace(objects []any, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := make(map[types.NamespacedName]struct{}, len(objects))
	for _, object := range objects {
		pod, ok := object.(*v1.Pod)
		if !ok {
			return fmt.Errorf("want a Pod, got %T", object)
		}
		listed[nameOf(pod)] = struct{}{}
		s.setPod(pod)
	}
	for _, name := range s.Pods.Keys() {
		if _, ok := listed[name]; !ok {
			s.deletePod(name)
		}
	}
	for name := range s.members {
		if _, ok := listed[name]; !ok {
			s.deletePod(name)
		}
	}
	for name := range s.strange {
		if _, ok := listed[name]; !ok {
			s.deletePod(name)
		}
	}
	return nil
}

func nameOf(pod *v1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// setPod books a pod as it is now. The lock is held.
func (l *Ledger) setPod(pod *v1.Pod) {
	pod.ManagedFields = nil
	name := nameOf(pod)
	old, wasMember := l.members[name]
	if wasMember && old.pod.UID != pod.UID {
		// Deleted and created anew behind our back: the core must see both.
		l.deletePod(name)
		wasMember = false
	}
	key, isAmbiguous, isMember := l.claim(pod)
	isStranger := isMember && !l.Serves(pod.Spec.SchedulerName)
	l.setStranger(name, key, isStranger)
	isMember = isMember && !isStranger
	if wasMember && (!isMember || old.key != key) {
		l.leave(name, old, false)
	}
	if !isMember {
		l.showPlain(name, pod)
		return
	}

	e := l.entryOf(key)
	m := &member{pod: pod, key: key, state: stateOf(pod), isAmbiguous: isAmbiguous}
	if d := l.Dialect(key.Dialect); d != nil {
		m.role = d.Role(pod)
	}
	if m.state.isLive() {
		m.wish, m.complaint = gang.StatedWish(pod, gang.Wish{})
	}
	if m.state.isOver() {
		m.pod = stripped(pod)
	}
	if wasMember && old.key == key {
		e.remove(name, old)
	} else {
		old = nil
	}
	l.members[name] = m
	e.add(name, m)
	l.mend(e, old, m, pod)
	l.show(e, name, m)
}

// entryOf is the account of a gang, a new one if there is none. The lock is held.
func (l *Ledger) entryOf(key gang.Key) *entry {
	e, ok := l.gangs[key]
	if !ok {
		e = newEntry(key)
		l.gangs[key] = e
	}
	return e
}

// setStranger books whether a pod names this group and a scheduler that is not ours. The lock is held.
func (l *Ledger) setStranger(name types.NamespacedName, key gang.Key, isStranger bool) {
	old, was := l.strange[name]
	if was && (!isStranger || old != key) {
		delete(l.strange, name)
		e := l.gangs[old]
		e.strangers--
		l.refresh(e, false)
	}
	if isStranger && (!was || old != key) {
		l.strange[name] = key
		e := l.entryOf(key)
		e.strangers++
		l.notify(key)
	}
}

// deletePod forgets a pod. The lock is held.
func (l *Ledger) deletePod(name types.NamespacedName) {
	l.setStranger(name, gang.Key{}, false)
	if m, ok := l.members[name]; ok {
		l.leave(name, m, true)
	}
	l.Pods.Delete(name)
}

// leave takes a pod out of its gang, because it is gone or a member no more. The core keeps it until the caller shows or deletes it.
// The lock is held.
func (l *Ledger) leave(name types.NamespacedName, m *member, isGone bool) {
	delete(l.members, name)
	e := l.gangs[m.key]
	e.remove(name, m)
	if isGone && m.state.isOnNode() {
		l.lose(e, m)
	}
	l.refresh(e, false)
	if m.state == pending {
		// Membership is fixed in the core's queue: there the pod leaves and comes anew.
		l.Pods.Delete(name)
	}
}

// showPlain shows a pod that belongs to no gang as it is, or takes it away when it is over.
func (l *Ledger) showPlain(name types.NamespacedName, pod *v1.Pod) {
	if pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed {
		l.Pods.Delete(name)
		return
	}
	l.Pods.Set(pod)
}

// show brings the feeds up to date after one member changed. The lock is held.
//
// The group goes out first: a core that knows a member without its group puts it aside.
func (l *Ledger) show(e *entry, name types.NamespacedName, m *member) {
	all := l.refresh(e, l.arrives(name, m))
	switch {
	case !m.state.isShown():
		l.Pods.Delete(name)
	case !all:
		l.Pods.Set(e.inMemory(m.pod))
	}
}

// arrives is true for a pending member that the core does not know yet. Its arrival there wakes a gang that it frees; a
// PodGroup that is shown for the same reason could overtake it, and the gang would be tried without it.
func (l *Ledger) arrives(name types.NamespacedName, m *member) bool {
	_, isKnown := l.Pods.Get(name)
	return m.state == pending && !isKnown
}

// refresh settles a gang and shows what changed of it, members included if all of them did. isArrival is true if that is for
// a member whose arrival the core is about to see. The lock is held.
func (l *Ledger) refresh(e *entry, isArrival bool) (membersShown bool) {
	was := e.blocked
	l.tend(e)
	membersChanged := e.settle(l.classes)
	isFree := e.blocked == gang.Waiting{}
	l.showGroup(e, was != e.blocked && isFree && !isArrival)
	if membersChanged {
		for _, m := range e.members {
			if m.state.isShown() {
				l.Pods.Set(e.inMemory(m.pod))
			}
		}
	}
	e.isAdmitted = l.admits(e)
	l.notify(e.key)
	if e.isEmpty() {
		delete(l.gangs, e.key)
	}
	return membersChanged
}

// inMemory is the pod as the core is shown it. It shares all but its spec's head with the original.
func (e *entry) inMemory(pod *v1.Pod) *v1.Pod {
	out := *pod
	name, priority, policy := e.key.InMemoryName(), e.priority, e.policy
	out.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &name}
	out.Spec.Priority, out.Spec.PreemptionPolicy = &priority, &policy
	return &out
}

// claim finds the gang that a pod names: that of the first dialect whose key it carries.
func (l *Ledger) claim(pod *v1.Pod) (key gang.Key, isAmbiguous, isMember bool) {
	for _, d := range l.dialects {
		name := d.GroupName(pod)
		if name == "" {
			continue
		}
		if isMember {
			return key, true, true
		}
		key, isMember = gang.Key{Dialect: d.Name(), Namespace: pod.Namespace, Name: name}, true
	}
	return key, false, isMember
}

// stripped keeps of a pod that is over what its gang's account needs: clusters keep many of them for long.
func stripped(pod *v1.Pod) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, DeletionTimestamp: pod.DeletionTimestamp},
		Spec:       v1.PodSpec{NodeName: pod.Spec.NodeName, SchedulerName: pod.Spec.SchedulerName, Priority: pod.Spec.Priority},
		Status:     v1.PodStatus{Phase: pod.Status.Phase},
	}
}
