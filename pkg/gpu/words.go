package gpu

import (
	"fmt"
	"slices"
)

// State says whether pods may use a GPU, best first.
type State uint8

// The states.
const (
	// OK: nothing is known against it.
	OK State = iota
	// Degraded: pods may use it, others are better.
	Degraded
	// Drain: no new pods. Those that run may go on.
	Drain
	// Lost: the GPU does not work.
	Lost
)

var stateWords = []string{"ok", "degraded", "drain", "lost"}

func (s State) String() string { return wordOf(stateWords, int(s)) }

// MarshalText is for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is for JSON.
func (s *State) UnmarshalText(text []byte) error { return readWord(stateWords, text, s) }

// LinkKind is how the GPUs of a node are linked, apart from the PCI bus.
type LinkKind uint8

// The kinds.
const (
	NoLinks LinkKind = iota
	// Bridge: bridges connect pairs.
	Bridge
	// Mesh: GPUs are wired to each other, not all to all.
	Mesh
	// Switch: switches connect all to all.
	Switch
	// MultiNode: switches connect them to GPUs of other nodes too.
	MultiNode
)

var linkWords = []string{"none", "bridge", "mesh", "switch", "mnnvl"}

func (k LinkKind) String() string { return wordOf(linkWords, int(k)) }

// IsSwitched is true if switches connect all to all.
func (k LinkKind) IsSwitched() bool { return k == Switch || k == MultiNode }

// MarshalText is for JSON.
func (k LinkKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is for JSON.
func (k *LinkKind) UnmarshalText(text []byte) error { return readWord(linkWords, text, k) }

// Recovery is what the driver wants done with a GPU, in NVML's numbers. Later drivers may have more of them.
type Recovery uint8

// The actions.
const (
	NoRecovery Recovery = iota
	ResetGPU
	RebootNode
	DrainPeers
	DrainAndReset
)

var recoveryWords = []string{"nothing", "GPU reset", "node reboot", "drain of its peers", "drain and a reset"}

func (a Recovery) String() string {
	if int(a) < len(recoveryWords) {
		return recoveryWords[a]
	}
	return fmt.Sprintf("action %d", a)
}

func wordOf(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return fmt.Sprintf("number %d", i)
}

func readWord[T ~uint8](words []string, text []byte, into *T) error {
	i := slices.Index(words, string(text))
	if i < 0 {
		return fmt.Errorf("%s is none of %q", quote(string(text)), words)
	}
	*into = T(i)
	return nil
}
