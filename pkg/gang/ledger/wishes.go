package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// wishes is what the live members of a gang wish of the fabric: sums that add keeps up, and what follows from them.
//
// A gang's members come from few templates, so there are few distinct wishes; what follows is derived anew only when one of
// them appears or vanishes, and not with each member. A gang whose members all differ, or are all wrong, costs one pass over
// them per change.
type wishes struct {
	stated  map[statedWish]int
	wrong   map[types.NamespacedName]string // what is wrong with the annotations of a member
	isStale bool

	// Derived from the above by derive.
	wish      gang.Wish // that of all members
	subGroups []gang.SubGroup
	conflict  string // what members of one role contradict each other about, "" if none do
	complaint string // what is wrong with one of them, "" if nothing is
}

// statedWish is a wish of members of a role; the zero wish where they state none.
type statedWish struct {
	role string
	wish gang.Wish
}

func newWishes() wishes {
	return wishes{stated: map[statedWish]int{}, wrong: map[types.NamespacedName]string{}}
}

// add books a live member, or takes it out with by -1.
func (w *wishes) add(m *member, by int) {
	if m.complaint != "" {
		w.isStale = true
		if name := nameOf(m.pod); by > 0 {
			w.wrong[name] = m.complaint
		} else {
			delete(w.wrong, name)
		}
		return
	}
	key := statedWish{m.role, m.wish}
	before := w.stated[key]
	addTo(w.stated, key, by)
	w.isStale = w.isStale || before == 0 || before+by == 0
}

// derive finds the wish of the gang, or those of its roles. Members that state the same, all of them, state it for the
// gang. Else each role is a sub-group of the members in it that state a wish: members that state none have none, for a
// launcher need not live where its workers must.
func (w *wishes) derive() {
	if !w.isStale {
		return
	}
	*w = wishes{stated: w.stated, wrong: w.wrong}
	if len(w.wrong) > 0 {
		first := slices.MinFunc(slices.Collect(maps.Keys(w.wrong)), func(a, b types.NamespacedName) int { return cmp.Compare(a.Name, b.Name) })
		w.complaint = fmt.Sprintf("pod %s: %s", first, w.wrong[first])
	}
	var all span
	roles := map[string]span{}
	for s := range w.stated {
		all = all.with(s.wish)
		if !s.wish.IsZero() {
			roles[s.role] = roles[s.role].with(s.wish)
		}
	}
	if all.first.Same(all.last) && len(w.wrong) == 0 {
		w.wish = all.first
		return
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		in := roles[role]
		w.subGroups = append(w.subGroups, gang.SubGroup{Name: role, Wish: in.first})
		if against := in.first.Against(in.last); against != "" && w.conflict == "" {
			w.conflict = fmt.Sprintf("its members%s disagree on %s", ofRole(role), against)
		}
	}
}

// span is the first and the last of some wishes in their order, so all of them are the same if these two are.
type span struct {
	first, last gang.Wish
	isBegun     bool
}

func (s span) with(wish gang.Wish) span {
	if !s.isBegun || wish.Compare(s.first) < 0 {
		s.first = wish
	}
	if !s.isBegun || wish.Compare(s.last) > 0 {
		s.last = wish
	}
	s.isBegun = true
	return s
}

func ofRole(role string) string {
	if role == "" {
		return ""
	}
	return " of role " + gang.Clip(strconv.Quote(role))
}

// wishOf is what the gang wishes: its PodGroup's word goes before that of its members.
func (e *entry) wishOf() (gang.Wish, []gang.SubGroup) {
	if e.groupWishes() {
		return e.group.Wish, e.group.SubGroups
	}
	return e.wishes.wish, e.wishes.subGroups
}

func (e *entry) groupWishes() bool { return !e.group.Wish.IsZero() || len(e.group.SubGroups) > 0 }

// wrongWish says what is wrong with the wishes of the members, "" if nothing is. Members may contradict each other where
// nobody asks them.
func (e *entry) wrongWish() string {
	if e.wishes.complaint != "" || e.groupWishes() {
		return e.wishes.complaint
	}
	return e.wishes.conflict
}
