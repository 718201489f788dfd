package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/test/audit"
	"github.com/phalanx-scheduler/phalanx/test/chaos/history"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
	"github.com/phalanx-scheduler/phalanx/test/survive"
)

// Grace is how long a gang may be half started, not counting the time in which the network or the API server fails. A replica that
// leads and is gone, or frozen, is followed by the other one after at most LeaseDuration + 2 × RetryPeriod × 2.2, the last factor being
// the jitter of client-go: with the 15 s and 2 s of the manifests 23.8 s. The rest is for the one that takes over to place the gang, which
// it does before anything else, and for the core's pause after an error that came several times in a row.
const Grace = 30 * time.Second

// dialects are those of the resources that are recorded.
var dialects = func() map[schema.GroupVersionResource]string {
	out := map[schema.GroupVersionResource]string{}
	for dialect, resource := range survive.Groups {
		out[resource] = dialect
	}
	return out
}()

// window is a time in which network or API server failed.
type window struct{ from, to time.Time }

// calmClock tells the time as if it stood still in the windows, which do not overlap and are in order.
func calmClock(windows []window) func(time.Time) time.Time {
	return func(at time.Time) time.Time {
		left := at
		for _, w := range windows {
			switch {
			case !at.After(w.from):
			case at.After(w.to):
				left = left.Add(w.from.Sub(w.to))
			default:
				left = left.Add(w.from.Sub(at))
			}
		}
		return left
	}
}

// evidence is what a round is judged by.
type evidence struct {
	events  []history.Event
	windows []window
	audit   []auditv1.Event // none before the round
	now     time.Time
}

// verdict is what was wrong, in sentences; and the longest half start.
func (e evidence) verdict() (wrong []string, longest time.Duration, err error) {
	judge, clock := oracle.New(Grace), calmClock(e.windows)
	if err := history.Tell(judge, e.events, dialects, clock); err != nil {
		return nil, 0, err
	}
	if err := tellBinds(judge, e.audit); err != nil {
		return nil, 0, err
	}
	for _, v := range judge.Violations(clock(e.now)) {
		wrong = append(wrong, v.String())
	}
	for _, pod := range judge.Waiting() {
		wrong = append(wrong, fmt.Sprintf("pod %s waits, though the cluster is quiet and it would fit", pod))
	}
	return wrong, judge.LongestHalfStart(clock(e.now)), nil
}

// tellBinds tells a judge who led and who bound. A lease is taken when the API server has answered, and a bind is made when it came in:
// what was on its way when the lease passed on is nobody's fault.
func tellBinds(judge *oracle.Judge, events []auditv1.Event) error {
	type act struct {
		at   time.Time
		tell func()
	}
	var acts []act
	for _, e := range events {
		if e.ResponseStatus == nil || e.ResponseStatus.Code >= 300 || e.ObjectRef == nil {
			continue
		}
		who := audit.CredentialOf(e)
		switch {
		case e.ObjectRef.Resource == "leases" && e.RequestObject != nil:
			var lease coordinationv1.Lease
			if err := yaml.Unmarshal(e.RequestObject.Raw, &lease); err != nil {
				return fmt.Errorf("audited lease: %w", err)
			}
			if holder := lease.Spec.HolderIdentity; holder == nil || *holder == "" {
				who = "nobody"
			}
			acts = append(acts, act{e.StageTimestamp.Time, func() { judge.SetLeader(who) }})
		case e.ObjectRef.Subresource == "binding":
			at, pod := e.RequestReceivedTimestamp.Time, types.NamespacedName{Namespace: e.ObjectRef.Namespace, Name: e.ObjectRef.Name}
			acts = append(acts, act{at, func() { judge.ObserveBind(at, who, pod) }})
		}
	}
	slices.SortStableFunc(acts, func(a, b act) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	for _, a := range acts {
		a.tell()
	}
	return nil
}
