package health

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// Verdict is what is known of a GPU's health.
type Verdict struct {
	State gpu.State
	// Reasons are the findings that are in force, the worst first, at most [gpu.MaxReasons].
	Reasons []string
	// IsUnsure is true if a finding waits for the next read to confirm it: that should follow at once.
	IsUnsure bool
}

// Machine is the health of one GPU, from its first observation on.
type Machine struct {
	config   *Config
	now      time.Time
	state    gpu.State
	findings []*finding
	changes  []time.Time // of the state, within the change period, the oldest first
	latched  time.Time   // until then
	slowed   samples
	narrow   samples
}

// finding is one thing that is wrong.
type finding struct {
	kind      kind
	reason    string
	state     gpu.State
	needs     Renewal // before it can be over
	renewed   Renewal // since it was last seen
	isInForce bool
	cleanFrom time.Time // since when it was not seen; zero while it is
}

// kind is where a finding comes from.
type kind int

const (
	polled kind = iota
	recovery
	event
)

// New returns the health of a GPU of which nothing is known yet. The configuration must be valid, and not change.
func New(config *Config) *Machine { return &Machine{config: config} }

// Observe takes an observation, and returns what is known then.
func (m *Machine) Observe(now time.Time, o Observation) Verdict {
	if now.After(m.now) {
		m.now = now
	}
	m.renew(o.Renewed)
	m.poll(polled, "does not answer", gpu.Lost, o.Gone)
	if o.Gone != Yes {
		m.pollFlags(&o)
		m.pollRecovery(&o)
	}
	for _, xid := range o.XIDs {
		m.hear(xid, &o)
	}
	m.settle()
	return m.verdict()
}

// pollFlags looks at what a GPU that answers says. It is flags of the GPU's own: the reset that some of them wait for takes them
// away.
func (m *Machine) pollFlags(o *Observation) {
	for _, f := range []struct {
		reason string
		state  gpu.State
		claim  Claim
	}{
		{"memory row remapping failed", gpu.Drain, o.RemapFailed},
		{"memory row remapping waits for a reset", gpu.Degraded, o.RemapPending},
		{"memory page retirement waits for a reset", gpu.Degraded, o.RetirementPending},
		{"too many memory pages retired", gpu.Drain, o.tooManyRetired(m.config.MaxRetiredPages)},
		{"uncorrectable memory errors", gpu.Degraded, o.HasMemoryErrors},
		{"fabric is being set up", gpu.Degraded, o.FabricPending},
		{"fabric failed", gpu.Degraded, o.FabricFailed},
		{"NVLinks are down", gpu.Degraded, o.LinksDown},
		{"compute mode is prohibited", gpu.Drain, o.Prohibited},
		{"slowed by heat or power", gpu.Degraded, m.slowed.judge(m.now, o.Slowed, m.config)},
		{"PCIe below its maximum", gpu.Degraded, m.narrow.judge(m.now, o.Narrow, m.config)},
	} {
		m.poll(polled, f.reason, f.state, f.claim)
	}
}

func (o *Observation) tooManyRetired(most int) Claim {
	if o.RetirementPending == Unknown {
		return Unknown
	}
	return Is(o.RetiredPages > most)
}

// pollRecovery looks at what the driver wants done. An XID that says that it has changed is the confirmation.
func (m *Machine) pollRecovery(o *Observation) {
	if !o.HasRecovery {
		return
	}
	reason := "driver wants a " + o.Recovery.String()
	if o.Recovery > gpu.DrainAndReset {
		reason = "driver wants " + o.Recovery.String()
	}
	for _, f := range slices.Clone(m.findings) {
		if f.kind == recovery && (f.reason != reason || o.Recovery == gpu.NoRecovery) {
			m.poll(recovery, f.reason, f.state, No)
		}
	}
	if o.Recovery == gpu.NoRecovery {
		return
	}
	state := gpu.Drain
	if o.Recovery == gpu.RebootNode {
		state = gpu.Lost // it is of no use before
	}
	m.poll(recovery, reason, state, Yes)
	isConfirmed := func(xid int) bool {
		class := m.config.Class(xid)
		return class == Reread || class == Disputed
	}
	if slices.ContainsFunc(o.XIDs, isConfirmed) {
		m.find(reason).isInForce = true
	}
}

// poll takes what a read says of one thing.
func (m *Machine) poll(k kind, reason string, state gpu.State, claim Claim) {
	f := m.find(reason)
	switch {
	case claim == Yes && f == nil:
		m.findings = append(m.findings, &finding{kind: k, reason: reason, state: state})
	case claim == Yes:
		f.isInForce, f.cleanFrom, f.renewed = true, time.Time{}, NotRenewed
	case claim == No && f != nil && !f.isInForce:
		m.findings = slices.DeleteFunc(m.findings, func(other *finding) bool { return other == f })
	case claim == No && f != nil && f.cleanFrom.IsZero():
		f.cleanFrom = m.now
	}
}

// Resume takes up, before the first observation, what a Machine before this one had in force: XIDs, of which no read tells. They
// count as heard now. All other reasons are found again if they are still so.
func (m *Machine) Resume(now time.Time, reasons []string) {
	m.now = now
	wanted := &Observation{HasRecovery: true, Recovery: gpu.ResetGPU} // else a disputed XID would not have been in force
	for _, reason := range reasons {
		number, isXID := strings.CutPrefix(reason, xidPrefix)
		if xid, err := strconv.Atoi(number); isXID && err == nil {
			m.hear(xid, wanted)
		}
	}
}

// NeedsRenewal is true while a finding is in force that only a renewal can end, or that one has ended but for the clean period.
func (m *Machine) NeedsRenewal() bool {
	return slices.ContainsFunc(m.findings, func(f *finding) bool { return f.isInForce && f.needs > NotRenewed })
}

// xidPrefix begins the reasons that XIDs are.
const xidPrefix = "XID "

// hear takes an error of the driver's.
func (m *Machine) hear(xid int, o *Observation) {
	state, needs := gpu.OK, NotRenewed
	switch m.config.Class(xid) {
	case Degrading:
		state = gpu.Degraded
	case Reset:
		state, needs = gpu.Drain, WasReset
	case Node:
		state, needs = gpu.Lost, WasReloaded
	case Disputed:
		if o.HasRecovery && o.Recovery != gpu.NoRecovery {
			state, needs = gpu.Drain, WasReset
		}
	}
	if state == gpu.OK {
		return
	}
	reason := xidPrefix + strconv.Itoa(xid)
	f := m.find(reason)
	if f == nil {
		f = &finding{kind: event, reason: reason}
		m.findings = append(m.findings, f)
	}
	f.state, f.needs, f.isInForce, f.cleanFrom, f.renewed = state, needs, true, m.now, NotRenewed
}

func (m *Machine) find(reason string) *finding {
	for _, f := range m.findings {
		if f.reason == reason {
			return f
		}
	}
	return nil
}

// renew notes what happened to the GPU. A driver that was loaded anew may not look for what the one before found: that counts
// as not seen from then on.
func (m *Machine) renew(r Renewal) {
	for _, f := range m.findings {
		f.renewed = max(f.renewed, r)
		if r >= WasReloaded && f.cleanFrom.IsZero() {
			f.cleanFrom = m.now
		}
	}
}

// settle drops what is over, and finds the state.
func (m *Machine) settle() {
	m.findings = slices.DeleteFunc(m.findings, func(f *finding) bool {
		return f.isInForce && !f.cleanFrom.IsZero() && f.renewed >= f.needs && m.now.Sub(f.cleanFrom) >= m.config.CleanPeriod
	})
	state := gpu.OK
	for _, f := range m.findings {
		if f.isInForce {
			state = max(state, f.state)
		}
	}
	if m.isLatched() {
		state = max(state, gpu.Degraded)
	}
	if state == m.state {
		return
	}
	m.changes = slices.DeleteFunc(m.changes, func(at time.Time) bool { return m.now.Sub(at) >= m.config.ChangePeriod })
	m.changes = append(m.changes, m.now)
	if len(m.changes) > m.config.MaxChanges {
		m.changes, m.latched = nil, m.now.Add(m.config.LatchPeriod)
		state = max(state, gpu.Degraded)
	}
	m.state = state
}

func (m *Machine) isLatched() bool { return m.now.Before(m.latched) }

func (m *Machine) verdict() Verdict {
	v := Verdict{State: m.state}
	inForce := make([]*finding, 0, len(m.findings)+1)
	for _, f := range m.findings {
		if f.isInForce {
			inForce = append(inForce, f)
		} else {
			v.IsUnsure = true
		}
	}
	if m.isLatched() {
		inForce = append(inForce, &finding{reason: "changes too often", state: gpu.Degraded})
	}
	slices.SortFunc(inForce, func(a, b *finding) int {
		return cmp.Or(cmp.Compare(b.state, a.state), cmp.Compare(a.kind, b.kind), cmp.Compare(a.reason, b.reason))
	})
	for _, f := range inForce[:min(len(inForce), gpu.MaxReasons)] {
		v.Reasons = append(v.Reasons, f.reason)
	}
	return v
}
