// Package explain says in words why the solver found no place for a gang.
//
// Purpose: the one home of these sentences: they stand in conditions, events, logs and on the command line, and people write
// alerts on them. Invariants: the same refusal gives the same sentence; a sentence names what is missing, how much there is,
// and every node that was left out, by reason. The package knows no Kubernetes: how amounts are written is the caller's.
// Cost: one pass over a refusal.
package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// Explanation is a refusal as people and programs read it.
type Explanation struct {
	// Kind is the sort of the refusal: see [placement.Kind].
	Kind placement.Kind `json:"-"`
	// Sentence says it all, without the reason, without a full stop.
	Sentence string `json:"sentence"`
	// Role is that of the members that are worst off, "" where a gang has one sort only.
	Role string `json:"role,omitempty"`
	// Need is how many members must be placed, Have how many slots there are for them, or how many fit together.
	Need int64 `json:"need"`
	Have int64 `json:"have"`
	// IsProven is false if no place was found, but there may be one.
	IsProven bool `json:"proven"`
	// Resource is what is scarce, "" if it is not a resource; Free is how much of it is free, on so many nodes.
	Resource  string `json:"resource,omitempty"`
	Free      int64  `json:"free,omitempty"`
	FreeNodes int    `json:"freeNodes,omitempty"`
	// Level is the required level, Closest the path of its domain that comes closest, broadest first.
	Level   string   `json:"level,omitempty"`
	Closest []string `json:"closest,omitempty"`
	// Admitted counts the nodes that admit the members, Excluded the others by reason; together they are all nodes.
	Admitted int         `json:"admitted"`
	Excluded []Exclusion `json:"excluded,omitempty"`
}

// Exclusion is so many nodes that do not admit the members.
type Exclusion struct {
	Reason string `json:"reason"`
	Nodes  int    `json:"nodes"`
}

// Writer writes an amount of a resource as people do: "4Gi", "1500m", "8".
type Writer func(resource string, amount int64) string

// Refusal puts a refusal of a problem into words.
func Refusal(f *fabric.Fabric, p placement.Problem, r *placement.Refusal, write Writer) Explanation {
	c := p.Classes[r.Class]
	e := Explanation{Kind: r.Kind, Role: c.Name, Need: r.Need, Have: r.Have, IsProven: r.IsProven, Admitted: r.Admitted}
	for _, x := range r.Exclusions {
		e.Excluded = append(e.Excluded, Exclusion(x))
	}
	slices.SortFunc(e.Excluded, func(a, b Exclusion) int { return cmp.Compare(a.Reason, b.Reason) })
	w := words{f, p, c, r, write}
	switch r.Kind {
	case placement.Excluded:
		e.Sentence = fmt.Sprintf("no node%s admits %s", w.inside(), w.members())
	case placement.Insufficient:
		e.Sentence = fmt.Sprintf("%s %s, %s", w.needing(), w.amount(r.Scarce, r.Need*asks(c, r.Scarce)), w.free())
	case placement.Fragmented:
		each := " each"
		if r.Need == 1 {
			each = ""
		}
		e.Sentence = fmt.Sprintf("%s %s%s on one node, for which %s %s free, though %s %s %s free on %s",
			w.needing(), w.amount(r.Scarce, asks(c, r.Scarce)), each, Plural(r.Have, "slot"), AreIs(r.Have),
			write(f.ResourceName(r.Scarce), r.Free), f.ResourceName(r.Scarce), AreIs(r.Free), w.freeNodes())
	case placement.TooNarrow:
		e.Level, e.Closest = f.Tree().LevelName(r.Depth), w.path()
		e.Sentence = w.tooNarrow()
	case placement.Apart:
		e.Role = "" // it is about all of them
		e.Level, e.Closest = f.Tree().LevelName(r.Depth), w.path()
		e.Sentence = w.apart()
	}
	if r.Kind == placement.Insufficient || r.Kind == placement.Fragmented {
		e.Resource, e.Free, e.FreeNodes = f.ResourceName(r.Scarce), r.Free, r.FreeNodes
	}
	e.Sentence += Exclusions(e.Excluded)
	return e
}

// Exclusions writes "; 5 nodes excluded: 3 not selected, 2 tainted", "" for none.
func Exclusions(excluded []Exclusion) string {
	sum := 0
	parts := make([]string, len(excluded))
	for i, x := range excluded {
		sum += x.Nodes
		parts[i] = fmt.Sprintf("%d %s", x.Nodes, x.Reason)
	}
	if sum == 0 {
		return ""
	}
	return fmt.Sprintf("; %s excluded: %s", Plural(int64(sum), "node"), strings.Join(parts, ", "))
}

// words is what the sentences are made of.
type words struct {
	f     *fabric.Fabric
	p     placement.Problem
	class placement.Class
	r     *placement.Refusal
	write Writer
}

func asks(c placement.Class, resource fabric.Resource) int64 {
	for _, want := range c.Request {
		if want.Resource == resource {
			return want.Quantity
		}
	}
	return 0
}

// members is "8 members", or `8 members of role "worker"`.
func (w words) members() string {
	out := Plural(w.r.Need, "member")
	if w.class.Name != "" {
		out += fmt.Sprintf(" of role %q", w.class.Name)
	}
	return out
}

func (w words) needing() string {
	if w.r.Need == 1 {
		return w.members() + " needs"
	}
	return w.members() + " need"
}

// amount is "64 nvidia.com/gpu".
func (w words) amount(resource fabric.Resource, amount int64) string {
	name := w.f.ResourceName(resource)
	return w.write(name, amount) + " " + name
}

// free is "40 are free on 6 nodes".
func (w words) free() string {
	return fmt.Sprintf("%s %s free on %s", w.write(w.f.ResourceName(w.r.Scarce), w.r.Free), AreIs(w.r.Free), w.freeNodes())
}

// freeNodes is "6 nodes", or "6 nodes inside rack S14 in P10".
func (w words) freeNodes() string { return Plural(int64(w.r.FreeNodes), "node") + w.inside() }

// slot is what one member takes, by the resource that comes first in its request.
func (w words) slot() string {
	if len(w.class.Request) == 0 {
		return ""
	}
	return " of " + w.amount(w.class.Request[0].Resource, w.class.Request[0].Quantity)
}

// path is the names of the domain that comes closest and of those that it is part of, broadest first.
func (w words) path() []string { return path(w.f.Tree(), w.r.Depth, w.r.Domain) }

func path(tree *fabric.Tree, depth, domain int) []string {
	if depth <= tree.Depth() {
		return tree.Path(depth, domain)
	}
	return append(tree.Path(tree.Depth(), tree.Of(tree.Depth(), domain)), tree.Node(domain))
}

// domain is "rack S14 in P10", "the cluster".
func (w words) domain(depth, domain int) string {
	if depth == 0 {
		return "the cluster"
	}
	path := path(w.f.Tree(), depth, domain)
	slices.Reverse(path)
	return w.f.Tree().LevelName(depth) + " " + strings.Join(path, " in ")
}

func (w words) closest() string { return w.domain(w.r.Depth, w.r.Domain) }

// inside is " inside rack S14 in P10" for a problem about one domain alone, "" for the cluster.
func (w words) inside() string {
	if w.p.Inside.Depth == 0 {
		return ""
	}
	return " inside " + w.domain(w.p.Inside.Depth, w.p.Inside.Domain)
}

// tooNarrow is "no rack has 16 slots of 8 nvidia.com/gpu; the best, rack S14 in P10, has 11".
func (w words) tooNarrow() string {
	level := w.f.Tree().LevelName(w.r.Depth)
	if len(w.p.Beside) > 0 {
		return fmt.Sprintf("the %s in which the gang's other members run, %s, has %s%s%s, %d must be there",
			level, w.closest(), Plural(w.r.Have, "slot"), w.slot(), w.inside(), w.r.Need)
	}
	if size := int64(w.p.Slice.Size); size > 1 {
		wanted := fmt.Sprintf("%s of %s%s in one %s each", Plural(w.r.Need/size, "slice"), Plural(size, "slot"), w.slot(), w.f.Tree().LevelName(w.p.Slice.Depth))
		if w.r.Depth <= w.p.Inside.Depth {
			return fmt.Sprintf("there is no room%s for %s; there is for %d", w.inside(), wanted, w.r.Have/size)
		}
		return fmt.Sprintf("no %s%s has room for %s; the best, %s, has for %d", level, w.inside(), wanted, w.closest(), w.r.Have/size)
	}
	return fmt.Sprintf("no %s%s has %s%s; the best, %s, has %d", level, w.inside(), Plural(w.r.Need, "slot"), w.slot(), w.closest(), w.r.Have)
}

// apart is "of 4 members that must be placed, only 3 fit together in one rack, though each kind of them would fit alone".
func (w words) apart() string {
	where := w.inside()
	if w.r.Depth > w.p.Inside.Depth {
		where = " in one " + w.f.Tree().LevelName(w.r.Depth) + where
	}
	if !w.r.IsProven {
		return fmt.Sprintf("no way was found to place %s together%s, only %d, though each kind of them would fit alone", Plural(w.r.Need, "member"), where, w.r.Have)
	}
	fit := "fit"
	if w.r.Have == 1 {
		fit = "fits"
	}
	return fmt.Sprintf("of %s that must be placed, only %d %s together%s, though each kind of them would fit alone", Plural(w.r.Need, "member"), w.r.Have, fit, where)
}

// Plural is "1 node", "2 nodes".
func Plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// AreIs is the verb behind n things.
func AreIs(n int64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
