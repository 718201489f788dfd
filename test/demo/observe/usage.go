package observe

import (
	"time"
)

// usage adds up the GPUs of the observed hosts.
type usage struct {
	total, used, wanted  int64
	mostUsed, mostWanted int64

	since      time.Time // of used
	gpuSeconds float64   // until since
	first      time.Time // when the first GPU was used by an expected gang
	last       time.Time // when the last one became free
}

// Usage is how the GPUs of the observed hosts are used, at one moment.
type Usage struct {
	// Total are all, Used those that pods hold; Wanted are those that expected gangs hold or wait for.
	Total, Used, Wanted int64
	// MostUsed and MostWanted are the most so far.
	MostUsed, MostWanted int64
	// Average is how many were used on average from the first use by an expected gang to the last use.
	Average float64
}

func (u *usage) use(at time.Time, by int64) {
	u.tick(at)
	u.used += by
	u.mostUsed = max(u.mostUsed, u.used)
	u.last = u.since
}

// begin starts the average, with the first GPU that an expected gang uses.
func (u *usage) begin(at time.Time) {
	if u.first.IsZero() {
		u.first, u.since, u.gpuSeconds = at, at, 0
	}
}

func (u *usage) tick(at time.Time) {
	if at.Before(u.since) {
		return // told late: what was added up since then is little
	}
	if !u.since.IsZero() {
		u.gpuSeconds += float64(u.used) * at.Sub(u.since).Seconds()
	}
	u.since = at
}

func (u *usage) want(by int64) {
	u.wanted += by
	u.mostWanted = max(u.mostWanted, u.wanted)
}

func (u *usage) view(at time.Time) Usage {
	v := Usage{Total: u.total, Used: u.used, Wanted: u.wanted, MostUsed: u.mostUsed, MostWanted: u.mostWanted}
	end := at
	sum := u.gpuSeconds
	if u.used == 0 {
		end = u.last
	} else if !u.since.IsZero() {
		sum += float64(u.used) * at.Sub(u.since).Seconds()
	}
	if span := end.Sub(u.first).Seconds(); !u.first.IsZero() && span > 0 {
		v.Average = sum / span
	}
	return v
}
