package hypernode

import (
	"fmt"
	"iter"
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
)

// Set is the HyperNodes that exist now: a reflector writes into it, from one goroutine, and any may read. Build it with
// [NewSet].
type Set struct {
	changed chan struct{} // holds at most one

	mu         sync.Mutex
	entries    map[string]entry
	tree       *Tree
	isStale    bool // the tree is that of before a change
	isResolved bool // somebody else sees to that
}

type entry struct {
	*HyperNode
	spec any // as it was read: a change of the status alone is none
}

var _ cache.ReflectorStore = &Set{}

// NewSet returns the empty set.
func NewSet() *Set {
	return &Set{changed: make(chan struct{}, 1), entries: map[string]entry{}, tree: NewTree(nil)}
}

// Current returns the tree of the HyperNodes, nil if none has a tier. It is the same until a HyperNode changes, comes or
// goes. Until [Set.Resolve] has been called it is made when somebody asks, since many may change at a time; from then on it is what
// the last call of that made, and asking takes no time.
func (s *Set) Current() *Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStale && !s.isResolved {
		s.tree, s.isStale = NewTree(s.all()), false
	}
	if len(s.tree.Tiers()) == 0 {
		return nil
	}
	return s.tree
}

// Resolve makes the tree of the HyperNodes that there are, which Current returns from then on, and returns what is ignored: see
// [Tree.Problems]. nodes are all nodes and their labels: where they stand is found out here, so that nobody who schedules waits for
// costly patterns. One goroutine may call it, and has to after each change.
func (s *Set) Resolve(nodes iter.Seq2[string, map[string]string]) []Problem {
	s.mu.Lock()
	all := s.all()
	s.mu.Unlock()
	t := NewTree(all)
	t.know(nodes)
	problems := t.Problems(nodes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree, s.isResolved = t, true
	return problems
}

// all returns the HyperNodes in no order. The lock is held.
func (s *Set) all() []*HyperNode {
	all := make([]*HyperNode, 0, len(s.entries))
	for _, e := range s.entries {
		all = append(all, e.HyperNode)
	}
	return all
}

// Changed tells that HyperNodes are not what they were; once, however often that happened. One goroutine may listen.
func (s *Set) Changed() <-chan struct{} { return s.changed }

// change notes a change. The lock is held.
func (s *Set) change() {
	s.isStale = true
	select {
	case s.changed <- struct{}{}:
	default: // told already
	}
}

// Add implements cache.ReflectorStore.
func (s *Set) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s *Set) Update(object any) error {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("want an unstructured HyperNode, got %T", object)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(u)
	return nil
}

func (s *Set) set(u *unstructured.Unstructured) {
	spec := u.Object["spec"]
	old, isKnown := s.entries[u.GetName()]
	if isKnown && old.UID == u.GetUID() && reflect.DeepEqual(old.spec, spec) {
		return
	}
	s.entries[u.GetName()] = entry{Parse(u), spec}
	s.change()
}

// Delete implements cache.ReflectorStore.
func (s *Set) Delete(object any) error {
	o, ok := object.(metav1.Object)
	if !ok {
		return fmt.Errorf("want a HyperNode, got %T", object)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(o.GetName())
	return nil
}

func (s *Set) drop(name string) {
	if _, ok := s.entries[name]; ok {
		delete(s.entries, name)
		s.change()
	}
}

// Replace implements cache.ReflectorStore. Replace(nil) empties the set when the API server ceases to serve HyperNodes.
func (s *Set) Replace(objects []any, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := make(map[string]bool, len(objects))
	for _, object := range objects {
		u, ok := object.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("want an unstructured HyperNode, got %T", object)
		}
		s.set(u)
		listed[u.GetName()] = true
	}
	for name := range s.entries {
		if !listed[name] {
			s.drop(name)
		}
	}
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *Set) Resync() error { return nil }
