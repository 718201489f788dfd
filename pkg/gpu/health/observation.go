package health

import "github.com/phalanx-scheduler/phalanx/pkg/gpu"

// Claim is what a read says about one thing. The zero value is that it says nothing: the GPU cannot tell, or the read failed.
type Claim uint8

// The claims.
const (
	Unknown Claim = iota
	No
	Yes
)

// Is is Yes or No.
func Is(isSo bool) Claim {
	if isSo {
		return Yes
	}
	return No
}

// Renewal is what happened to a GPU that may have made it well, the smallest first. Each of them does what those before do.
type Renewal uint8

// The renewals.
const (
	NotRenewed Renewal = iota
	// WasReset: the GPU was reset.
	WasReset
	// WasReloaded: the driver was unloaded and loaded.
	WasReloaded
	// WasRebooted: the node was rebooted.
	WasRebooted
)

// Observation is what one read says about a GPU, and what happened since the read before.
type Observation struct {
	// Gone is Yes if the driver does not find the GPU, or finds that it does not answer. All else is unknown then.
	Gone Claim
	// XIDs are the errors that the driver reported for the GPU since.
	XIDs []int
	// Renewed is the greatest renewal since.
	Renewed Renewal

	// HasRecovery is true if the driver has a recovery action for it.
	HasRecovery bool
	Recovery    gpu.Recovery

	// RemapFailed and RemapPending are about rows of memory to be replaced by spare ones.
	RemapFailed, RemapPending Claim
	// RetirementPending is about pages of memory to be left out, RetiredPages how many are, on GPUs that cannot replace rows.
	RetirementPending Claim
	RetiredPages      int
	// HasMemoryErrors is Yes if memory had errors that could not be corrected since the driver was loaded.
	HasMemoryErrors Claim
	// FabricPending is Yes while the GPU's switches are being set up, FabricFailed if that went wrong.
	FabricPending, FabricFailed Claim
	// LinksDown is Yes if NVLinks are down that should be up.
	LinksDown Claim
	// Prohibited is Yes if the compute mode lets no program use the GPU.
	Prohibited Claim

	// Slowed is Yes if heat or the power supply slow the GPU down at this moment.
	Slowed Claim
	// Narrow is Yes if its PCI link is slower or narrower than it could be, while it is used. An idle GPU saves power there:
	// that is Unknown.
	Narrow Claim
}
