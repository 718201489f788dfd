package oracle

import (
	"time"
)

// record is what the judge keeps of a gang.
//
//	            bound                   minimum placed
//	nobody ───────────────► half started ───────────────► whole
//	  ▲                          │                          │
//	  └──── none placed ─────────┴────── none placed ───────┘
type record struct {
	gang    Gang
	placed  int
	minimum int
	isTold  bool // the minimum is known

	required string         // the node label whose domains are those that the gang requires one of, "" for none
	domains  map[string]int // how many members take room in each
	isWhole  bool           // has been whole since none was placed
	since    time.Time      // when the first of the placed members was placed
	most     int            // the most members that were placed at once since then, while it was not whole
	longest  time.Duration
}

// SetMinimum tells how many members of the gang must run together, from now on. Members that were placed before anybody told
// are judged from now on.
func (j *Judge) SetMinimum(at time.Time, gang Gang, minimum int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.record(gang)
	if !r.isTold && r.placed > 0 {
		r.since = at
	}
	r.minimum, r.isTold = minimum, true
	j.settle(at, r)
}

// RemoveMinimum tells that nobody says any more how many members must run together: the gang's PodGroup is gone, and whoever
// deleted it is to blame for what stays half started. From when there is one again the gang is judged anew.
func (j *Judge) RemoveMinimum(at time.Time, gang Gang) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.record(gang)
	if r.isTold {
		j.endHalfStart(at, r)
	}
	r.isTold = false
}

func (j *Judge) record(gang Gang) *record {
	r, ok := j.gangs[gang]
	if !ok {
		r = &record{gang: gang, domains: map[string]int{}}
		j.gangs[gang] = r
	}
	return r
}

// place books that a member was placed or is so no longer.
func (j *Judge) place(at time.Time, gang Gang, by int) {
	r := j.record(gang)
	if r.placed == 0 {
		r.since, r.most = at, 0
	}
	r.placed += by
	j.settle(at, r)
	if !r.isWhole {
		r.most = max(r.most, r.placed)
	}
}

// settle moves the gang to the state that its counts call for, and books the half start that ended thereby.
func (j *Judge) settle(at time.Time, r *record) {
	switch {
	case r.placed == 0:
		j.endHalfStart(at, r)
		r.isWhole = false
	case r.isTold && r.placed >= r.minimum:
		j.endHalfStart(at, r)
		r.isWhole = true
	}
}

func (j *Judge) endHalfStart(at time.Time, r *record) {
	if r.isWhole || r.since.IsZero() {
		return
	}
	if v, isWrong := r.open(at, j.grace); isWrong && r.isTold {
		j.found = append(j.found, v)
	}
	if r.isTold {
		r.longest = max(r.longest, at.Sub(r.since))
	}
	r.since = time.Time{}
}

// open is the violation that goes on, if the gang were looked at now.
func (r *record) open(now time.Time, grace time.Duration) (Violation, bool) {
	switch {
	case r.isWhole || r.since.IsZero():
		return nil, false
	case !r.isTold:
		return Unjudged{Gang: r.gang, Since: r.since, Placed: r.most}, true
	case now.Sub(r.since) > grace:
		return HalfStarted{Gang: r.gang, From: r.since, To: now, Placed: r.most, Minimum: r.minimum}, true
	}
	return nil, false
}

// LongestHalfStart is the longest time that any gang was half started, within the grace or beyond.
func (j *Judge) LongestHalfStart(now time.Time) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	var longest time.Duration
	for _, r := range j.gangs {
		longest = max(longest, r.longest)
		if r.isTold && !r.isWhole && !r.since.IsZero() {
			longest = max(longest, now.Sub(r.since))
		}
	}
	return longest
}
