package reporter

import (
	"fmt"
	"time"
)

// Watchdog ends the process if a call into the driver does not come back. The zero value watches nothing.
type Watchdog struct {
	// Limit is how long a call may take.
	Limit time.Duration
	// Exit ends the process, and gets the reason. It is called on a goroutine of its own.
	Exit func(reason string)
}

// Guard calls do, which is called this.
func (w Watchdog) Guard(what string, do func()) {
	if w.Exit == nil {
		do()
		return
	}
	timer := time.AfterFunc(w.Limit, func() {
		w.Exit(fmt.Sprintf("%s: the GPU driver did not answer within %v", what, w.Limit))
	})
	defer timer.Stop()
	do()
}
