package gpu

import (
	"fmt"
	"regexp"
	"strconv"
)

// What a report may say at most. These are beyond any machine that is built, and keep sums and sizes small.
const (
	// MaxReasons is how many reasons a GPU may have.
	MaxReasons = 8
	// MaxReasonBytes is how long each may be.
	MaxReasonBytes = 64

	maxIndex      = 255
	maxNUMA       = 1023
	maxMemoryMiB  = 16 << 20
	maxLinks      = 64
	maxPairs      = 128
	maxText       = 64
	maxCapability = 99
	// maxJoules is a kilowatt for ten thousand years.
	maxJoules = 1 << 50
)

var (
	uuidForm  = regexp.MustCompile(`^GPU-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	plainForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	busForm   = regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$`)
	// textForm leaves out what JSON or a terminal would have to escape.
	textForm = regexp.MustCompile(`^[A-Za-z0-9 ._/:;,+()#%=-]*$`)
)

// Validate says what is wrong with a report, by field. Sizes, forms and uniqueness are checked here; whether it is true, nobody
// can.
func (r *Report) Validate() error {
	if err := r.validate(); err != nil {
		return fmt.Errorf("GPU report: %w", err)
	}
	return nil
}

func (r *Report) validate() error {
	if err := checkText("driver", r.Driver); err != nil {
		return err
	}
	if len(r.GPUs) > MaxGPUs {
		return fmt.Errorf("gpus has %d elements, at most %d are allowed", len(r.GPUs), MaxGPUs)
	}
	if err := checkRange("missing", r.Missing, 0, MaxGPUs); err != nil {
		return err
	}
	if r.Boot != "" && !plainForm.MatchString(r.Boot) {
		return wrong("boot", quote(r.Boot), "a UUID in lower case")
	}
	if !r.Fabric.IsZero() && !plainForm.MatchString(r.Fabric.UUID) {
		return wrong("fabric.uuid", quote(r.Fabric.UUID), "a UUID in lower case")
	}
	seen := make(map[string]bool, len(r.GPUs))
	for i := range r.GPUs {
		g := &r.GPUs[i]
		field := fmt.Sprintf("gpus[%d].", i)
		if err := g.validate(field); err != nil {
			return err
		}
		if i > 0 && g.Index <= r.GPUs[i-1].Index {
			return wrong(field+"index", g.Index, "larger than the one before")
		}
		if seen[g.UUID] {
			return wrong(field+"uuid", quote(g.UUID), "another than those before")
		}
		seen[g.UUID] = true
	}
	if err := r.Links.validate(len(r.GPUs)); err != nil {
		return err
	}
	return r.validateNear()
}

func (g *GPU) validate(field string) error {
	for _, err := range []error{
		checkRange(field+"index", g.Index, 0, maxIndex),
		checkForm(field+"uuid", g.UUID, uuidForm, `"GPU-" and a UUID in lower case`),
		checkRange(field+"numa", g.NUMA, -1, maxNUMA),
		checkText(field+"product", g.Product),
		checkRange(field+"capability", g.Capability.Major, 0, maxCapability),
		checkRange(field+"capability", g.Capability.Minor, 0, maxCapability),
		checkRange(field+"memoryMiB", g.MemoryMiB, 0, maxMemoryMiB),
		checkRange(field+"freeMiB", g.FreeMiB, 0, g.MemoryMiB),
		checkRange(field+"links", g.Links, 0, maxLinks),
		checkRange(field+"badLinks", g.BadLinks, 0, g.Links),
		g.validateReasons(field + "reasons"),
	} {
		if err != nil {
			return err
		}
	}
	switch {
	case g.Bus != "" && !busForm.MatchString(g.Bus):
		return wrong(field+"bus", quote(g.Bus), `an address as in "0000:1b:00.0"`)
	case g.TroubleJoules > maxJoules:
		return wrong(field+"troubleJoules", g.TroubleJoules, fmt.Sprintf("at most %d", uint64(maxJoules)))
	case g.State > Lost:
		return wrong(field+"state", g.State, "a state")
	case !isSixteenth(g.MemoryMiB, g.FreeMiB):
		return wrong(field+"freeMiB", g.FreeMiB, fmt.Sprintf("a sixteenth of %d, or so many of them, rounded down", g.MemoryMiB))
	}
	return nil
}

func (g *GPU) validateReasons(field string) error {
	switch {
	case len(g.Reasons) > MaxReasons:
		return fmt.Errorf("%s has %d elements, at most %d are allowed", field, len(g.Reasons), MaxReasons)
	case g.State == OK && len(g.Reasons) > 0:
		return fmt.Errorf("%s has %d elements, a GPU that is ok has none", field, len(g.Reasons))
	}
	for i, reason := range g.Reasons {
		field := fmt.Sprintf("%s[%d]", field, i)
		if reason == "" || len(reason) > MaxReasonBytes || !textForm.MatchString(reason) {
			return wrong(field, quote(reason), fmt.Sprintf("1 to %d letters, digits and common signs", MaxReasonBytes))
		}
	}
	return nil
}

// isSixteenth is true for what [RoundFreeMiB] may return.
func isSixteenth(memoryMiB, freeMiB int) bool {
	for n := range sixteenths + 1 {
		if n*memoryMiB/sixteenths == freeMiB {
			return true
		}
	}
	return false
}

func (l *Links) validate(gpus int) error {
	switch {
	case l.Kind > MultiNode:
		return wrong("links.kind", l.Kind, "a kind")
	case len(l.Pairs) > maxPairs:
		return fmt.Errorf("links.pairs has %d elements, at most %d are allowed", len(l.Pairs), maxPairs)
	case len(l.Pairs) > 0 && l.Kind != Bridge && l.Kind != Mesh:
		return fmt.Errorf("links.pairs has %d elements: links of kind %s have none", len(l.Pairs), l.Kind)
	case l.IsDown && !l.Kind.IsSwitched():
		return wrong("links.down", l.IsDown, fmt.Sprintf("left out for links of kind %s", l.Kind))
	}
	for i, p := range l.Pairs {
		field := fmt.Sprintf("links.pairs[%d]", i)
		switch {
		case p.A < 0 || p.A >= p.B || p.B >= gpus:
			return wrong(field, fmt.Sprintf("[%d,%d,%d]", p.A, p.B, p.Links), fmt.Sprintf("two positions of %d GPUs, the smaller one first", gpus))
		case p.Links < 1 || p.Links > maxLinks:
			return wrong(field, fmt.Sprintf("[%d,%d,%d]", p.A, p.B, p.Links), fmt.Sprintf("1 to %d links", maxLinks))
		case i > 0 && !isBefore(l.Pairs[i-1], p):
			return wrong(field, fmt.Sprintf("[%d,%d,%d]", p.A, p.B, p.Links), "after the one before, in the order of positions")
		}
	}
	return nil
}

func isBefore(p, q Pair) bool { return p.A < q.A || p.A == q.A && p.B < q.B }

func (r *Report) validateNear() error {
	if r.Near == nil {
		return nil
	}
	if len(r.Near) != len(r.GPUs)-1 {
		return fmt.Errorf("near has %d rows, it must have one for each of %d GPUs but the last", len(r.Near), len(r.GPUs))
	}
	for a, row := range r.Near {
		if len(row) != len(r.GPUs)-1-a {
			return fmt.Errorf("near[%d] is about %d GPUs, %d come after it", a, len(row), len(r.GPUs)-1-a)
		}
		for _, c := range row {
			if c > SameBoard {
				return wrong(fmt.Sprintf("near[%d]", a), c, fmt.Sprintf("at most %d", SameBoard))
			}
		}
	}
	return nil
}

func checkText(field, text string) error {
	if len(text) > maxText || !textForm.MatchString(text) {
		return wrong(field, quote(text), fmt.Sprintf("at most %d letters, digits and common signs", maxText))
	}
	return nil
}

func checkForm(field, text string, form *regexp.Regexp, rule string) error {
	if !form.MatchString(text) {
		return wrong(field, quote(text), rule)
	}
	return nil
}

func checkRange(field string, number, least, most int) error {
	if number < least || number > most {
		return wrong(field, number, fmt.Sprintf("from %d to %d", least, most))
	}
	return nil
}

// wrong is the one sentence about a wrong value.
func wrong(field string, value any, rule string) error {
	return fmt.Errorf("%s is %v: it must be %s", field, value, rule)
}

// longestQuote keeps a complaint short enough for an event.
const longestQuote = 48

func quote(text string) string {
	if len(text) > longestQuote {
		return strconv.QuoteToASCII(text[:longestQuote]) + "…"
	}
	return strconv.QuoteToASCII(text)
}
