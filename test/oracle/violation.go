package oracle

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Violation is something that must not happen.
type Violation interface {
	// Began is when it began.
	Began() time.Time
	// String is a sentence without a full stop.
	String() string
}

var (
	_ Violation = HalfStarted{}
	_ Violation = Overfull{}
	_ Violation = Scattered{}
	_ Violation = Misreported{}
	_ Violation = Usurped{}
	_ Violation = Unjudged{}
)

// HalfStarted is a gang some of whose members were placed for longer than the grace, but fewer than must run together.
type HalfStarted struct {
	Gang     Gang
	From, To time.Time
	// Placed is the most members that were placed at once in that time, Minimum what the gang needed at its end.
	Placed, Minimum int
}

// Began implements [Violation].
func (v HalfStarted) Began() time.Time { return v.From }

// String implements [Violation].
func (v HalfStarted) String() string {
	return fmt.Sprintf("%s was half started for %s: at most %d of %d members were placed",
		v.Gang, v.To.Sub(v.From).Round(time.Millisecond), v.Placed, v.Minimum)
}

// Overfull is a node whose pods asked for more than it has. Amounts are milliCPU for cpu, bytes or counts for the rest.
type Overfull struct {
	Node           string
	Resource       corev1.ResourceName
	At             time.Time
	Used, Capacity int64
}

// Began implements [Violation].
func (v Overfull) Began() time.Time { return v.At }

// String implements [Violation].
func (v Overfull) String() string {
	return fmt.Sprintf("node %s held pods that ask for %d %s, it has %d", v.Node, v.Used, v.Resource, v.Capacity)
}

// Scattered is a gang whose members took room in several domains of the level that it requires one of.
type Scattered struct {
	Gang    Gang
	Level   string // a node label
	At      time.Time
	Domains []string
}

// Began implements [Violation].
func (v Scattered) Began() time.Time { return v.At }

// String implements [Violation].
func (v Scattered) String() string {
	return fmt.Sprintf("%s requires one %s and took room in %s", v.Gang, v.Level, strings.Join(v.Domains, " and "))
}

// Usurped is a pod that was bound by somebody other than the leader.
type Usurped struct {
	Pod        types.NamespacedName
	At         time.Time
	By, Leader string
}

// Began implements [Violation].
func (v Usurped) Began() time.Time { return v.At }

// String implements [Violation].
func (v Usurped) String() string {
	return fmt.Sprintf("pod %s was bound by %s while %s led", v.Pod, v.By, v.Leader)
}

// Misreported is a pod that is bound and whose condition PodScheduled says that it is not.
type Misreported struct {
	Pod     types.NamespacedName
	At      time.Time
	Message string
}

// Began implements [Violation].
func (v Misreported) Began() time.Time { return v.At }

// String implements [Violation].
func (v Misreported) String() string {
	return fmt.Sprintf("pod %s is bound, but its condition says that it is not: %s", v.Pod, v.Message)
}

// Unjudged is a gang with placed members whose minimum nobody told: the caller's mistake, not the scheduler's.
type Unjudged struct {
	Gang   Gang
	Since  time.Time
	Placed int
}

// Began implements [Violation].
func (v Unjudged) Began() time.Time { return v.Since }

// String implements [Violation].
func (v Unjudged) String() string {
	return fmt.Sprintf("%s cannot be judged: %d of its members were placed, but nobody told its minimum", v.Gang, v.Placed)
}
