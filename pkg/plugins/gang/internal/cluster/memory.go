package cluster

import "iter"

// journal is which nodes changed, by number. It remembers the last ones only: who has not looked for long looks at all nodes.
type journal struct {
	first   int // how many were forgotten
	numbers []int32
}

// position is how far somebody has read in a journal; the zero value has read nothing.
type position struct {
	next    int
	hasRead bool
}

// maxRemembered is how many changes a journal remembers.
const maxRemembered = 1 << 14

func (j *journal) add(number int) {
	if len(j.numbers) == maxRemembered {
		j.first, j.numbers = j.first+len(j.numbers), j.numbers[:0]
	}
	j.numbers = append(j.numbers, int32(number))
}

// since goes over the nodes that changed since a position, which it moves to the end: of so many nodes all, if that cannot be told.
func (j *journal) since(at *position, nodes int) iter.Seq[int] {
	next, isKnown := at.next, at.hasRead && at.next >= j.first
	*at = position{j.first + len(j.numbers), true}
	return func(yield func(int) bool) {
		if !isKnown {
			for i := range nodes {
				if !yield(i) {
					return
				}
			}
			return
		}
		for _, i := range j.numbers[next-j.first:] {
			if !yield(int(i)) {
				return
			}
		}
	}
}

// maxSorts bounds how many sorts of pods are remembered with what nodes say to them.
const maxSorts = 128

// memory is what was found out for sorts of pods, by key; those that were asked for longest ago are forgotten. The zero value
// is empty.
type memory[T any] struct {
	known map[string]*remembered[T]
	uses  int
}

type remembered[T any] struct {
	value T
	used  int
}

// of returns what is known under a key, a new zero value if nothing is.
func (m *memory[T]) of(key string) (_ *T, isNew bool) {
	m.uses++
	r, ok := m.known[key]
	if !ok {
		if m.known == nil {
			m.known = map[string]*remembered[T]{}
		}
		m.forgetOldest()
		r = &remembered[T]{}
		m.known[key] = r
	}
	r.used = m.uses
	return &r.value, !ok
}

func (m *memory[T]) forgetOldest() {
	if len(m.known) < maxSorts {
		return
	}
	oldest, key := m.uses+1, ""
	for k, r := range m.known {
		if r.used < oldest { // no two were used at once
			oldest, key = r.used, k
		}
	}
	delete(m.known, key)
}
