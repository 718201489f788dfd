package gang

import (
	"fmt"
	"time"
)

// RepairPhase is how far the repair of a gang is that lost members while it ran.
type RepairPhase int

// The phases. Package ledger draws how one becomes another.
const (
	NoRepair   RepairPhase = iota // it runs whole, has not started yet, or is over
	Repairing                     // places are kept for the replacements
	GivenUp                       // no more, though it lacks members still
	Restarting                    // the rest of it is deleted, so that its controller makes it anew
)

// Repair is how the repair of a gang stands. The zero value means that nothing is to be repaired.
type Repair struct {
	Phase RepairPhase
	// Missing members must run together with others and do not, of so many that must; the places of Kept of them are kept.
	Missing, Minimum, Kept int32
	// Until is when the places are kept no longer.
	Until time.Time
}

// String is what people read, without a full stop.
func (r Repair) String() string {
	missing := fmt.Sprintf("%d of %d members are missing", r.Missing, r.Minimum)
	if r.Missing == 1 {
		missing = fmt.Sprintf("1 of %d members is missing", r.Minimum)
	}
	until := r.Until.UTC().Format(time.RFC3339)
	switch {
	case r.Phase == GivenUp:
		return missing + "; places are kept no longer"
	case r.Phase == Restarting:
		return missing + "; the others are deleted, so that their controller makes the gang anew"
	case r.Kept == 0:
		return missing + "; their nodes are gone"
	case r.Kept == 1 && r.Missing == 1:
		return missing + "; its place is kept until " + until
	case r.Kept < r.Missing:
		return fmt.Sprintf("%s; the places of %d are kept until %s", missing, r.Kept, until)
	}
	return missing + "; their places are kept until " + until
}
