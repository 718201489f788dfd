package ledger

import (
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// GroupStore takes in the PodGroups of one dialect: a reflector writes into it, and Replace(nil) empties it when the API
// server ceases to serve the dialect.
func (l *Ledger) GroupStore(dialect gang.Dialect) cache.ReflectorStore { return groupStore{l, dialect} }

type groupStore struct {
	*Ledger
	dialect gang.Dialect
}

func (s groupStore) Add(object any) error    { return s.upsert(object) }
func (s groupStore) Update(object any) error { return s.upsert(object) }
func (s groupStore) Resync() error           { return nil }

func (s groupStore) upsert(object any) error {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("want an unstructured PodGroup, got %T", object)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(u)
	return nil
}

func (s groupStore) Delete(object any) error {
	u, ok := object.(metav1.Object)
	if !ok {
		return fmt.Errorf("want a PodGroup, got %T", object)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(gang.Key{Dialect: s.dialect.Name(), Namespace: u.GetNamespace(), Name: u.GetName()})
	return nil
}

func (s groupStore) Replace(objects []any, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := make(map[gang.Key]struct{}, len(objects))
	for _, object := range objects {
		u, ok := object.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("want an unstructured PodGroup, got %T", object)
		}
		listed[s.set(u)] = struct{}{}
	}
	for key, e := range s.gangs {
		if _, ok := listed[key]; !ok && key.Dialect == s.dialect.Name() && e.group != nil {
			s.drop(key)
		}
	}
	return nil
}

func (s groupStore) set(object *unstructured.Unstructured) gang.Key {
	object.SetManagedFields(nil)
	group := s.dialect.Translate(object)
	e := s.entryOf(group.Key)
	isNews := e.group == nil || !sameGroup(e.group, group)
	e.group, e.object = group, object
	if isNews {
		e.isGroupOut = false // so that it is shown anew
	}
	s.refresh(e, false)
	return group.Key
}

func (s groupStore) drop(key gang.Key) {
	e, ok := s.gangs[key]
	if !ok {
		return
	}
	e.group, e.object = nil, nil
	s.refresh(e, false)
}

// sameGroup is true if nothing changed that the core or the ledger acts on. Our own status writes come back as changes of
// the object, and where a CRD has no status subresource they even raise its generation.
func sameGroup(a, b *gang.Group) bool {
	if a.Native != nil || b.Native != nil {
		return a.ResourceVersion == b.ResourceVersion
	}
	x, y := *a, *b
	x.ResourceVersion, y.ResourceVersion = "", ""
	x.Generation, y.Generation = 0, 0
	return reflect.DeepEqual(x, y)
}

// showGroup shows the gang's PodGroup to the core while it has members there. isFreed asks to show it even if it did not
// change, since the change of the PodGroup is what wakes a gang that was blocked. The lock is held.
func (l *Ledger) showGroup(e *entry, isFreed bool) {
	name := types.NamespacedName{Namespace: e.key.Namespace, Name: e.key.InMemoryName()}
	if e.group == nil || e.shown() == 0 {
		l.Groups.Delete(name)
		e.isGroupOut = false
		return
	}
	if last, ok := l.Groups.Get(name); ok && e.isGroupOut && !isFreed {
		gangPolicy := last.Spec.SchedulingPolicy.Gang
		if *last.Spec.Priority == e.priority && (gangPolicy == nil || gangPolicy.MinCount == e.minCount) {
			return
		}
	}
	l.Groups.Set(e.group.InMemory(e.minCount, e.priority, ""))
	e.isGroupOut = true
}

// SetPriorityClass books a PriorityClass; isGone takes it out. Gangs that name it are settled anew.
func (l *Ledger) SetPriorityClass(name string, value int32, isGone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isGone {
		delete(l.classes, name)
	} else {
		l.classes[name] = value
	}
	for _, e := range l.gangs {
		if e.group != nil && e.group.PriorityClassName == name {
			l.refresh(e, false)
		}
	}
}
