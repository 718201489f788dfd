package health

import "time"

// maxSamples bounds how many samples are kept, however often reads follow each other.
const maxSamples = 128

// samples are what was seen of something that comes and goes, the oldest first.
type samples struct{ taken []sample }

type sample struct {
	at   time.Time
	isSo bool
}

// judge takes what was seen now, and says whether it was so for long enough to count. With too few samples nothing is said.
func (s *samples) judge(now time.Time, claim Claim, config *Config) Claim {
	if claim != Unknown {
		s.taken = append(s.taken, sample{now, claim == Yes})
	}
	first := max(0, len(s.taken)-maxSamples)
	for first < len(s.taken) && now.Sub(s.taken[first].at) > config.SamplePeriod {
		first++
	}
	s.taken = append(s.taken[:0], s.taken[first:]...)
	if len(s.taken) < config.MinSamples {
		return Unknown
	}
	count := 0
	for _, t := range s.taken {
		if t.isSo {
			count++
		}
	}
	return Is(100*count >= config.SlowPercent*len(s.taken))
}
