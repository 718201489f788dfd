package ledger

import "github.com/phalanx-scheduler/phalanx/pkg/gang"

// CountWaiting counts the gangs with a pending member by the reason that its members show; "" are those that show none yet. It
// costs one look at each gang.
func (l *Ledger) CountWaiting() map[gang.Reason]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[gang.Reason]int{}
	for _, e := range l.gangs {
		if e.count[pending] > 0 {
			counts[e.waiting().Reason]++
		}
	}
	return counts
}
