package hypernode

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/object"
)

// Kind and Resource are what the API calls a HyperNode.
const Kind = "HyperNode"

var Resource = schema.GroupVersionResource{Group: "topology.volcano.sh", Version: "v1alpha1", Resource: "hypernodes"}

// HyperNode is one object, read. It never changes.
type HyperNode struct {
	Name     string
	UID      types.UID
	Tier     int
	TierName string // "" if it has none

	hasTier    bool
	members    []member
	complaints []string // what was wrong with the object, in sentences that name the field
}

// member selects nodes, or HyperNodes, in one of three ways.
type member struct {
	isHyperNode bool
	exact       string
	pattern     *regexp.Regexp
	prefix      string // that of all names which the pattern matches, as far as it is easy to see
	labels      labels.Selector
}

// Parse reads a HyperNode. It never fails: what cannot be meant is left out.
func Parse(u *unstructured.Unstructured) *HyperNode {
	spec := object.Read(u)
	h := &HyperNode{Name: u.GetName(), UID: u.GetUID()}
	tier, hasTier := spec.Int32(0, "spec", "tier")
	h.Tier, h.hasTier = int(tier), hasTier
	if !hasTier {
		spec.Complain("spec.tier is missing") // unless it is there and something else is wrong with it
	}
	h.TierName = spec.TierName("spec", "tierName").TierName
	members := spec.List("spec", "members")
	if complaint := spec.Complaint(); complaint != "" {
		h.complaints = append(h.complaints, complaint)
	}
	for _, reader := range members {
		own := reader.Apart()
		m := parseMember(own)
		if complaint := own.Complaint(); complaint != "" {
			h.complaints = append(h.complaints, complaint)
			continue
		}
		h.members = append(h.members, m)
	}
	return h
}

var selectors = []string{"exactMatch", "regexMatch", "labelMatch"}

func parseMember(r *object.Reader) member {
	m := member{}
	switch kind := r.Text("type"); kind {
	case "Node":
	case Kind:
		m.isHyperNode = true
	default:
		r.Complain(gang.Complaint(r.Place("type"), object.Quote(kind), `"Node" or "HyperNode"`))
	}
	var has []string
	for _, name := range selectors {
		if r.Has("selector", name) {
			has = append(has, name)
		}
	}
	if len(has) != 1 {
		r.Complain(fmt.Sprintf("%s has %s: it must have one of %s", r.Place("selector"), list(has), strings.Join(selectors, ", ")))
		return m
	}
	switch has[0] {
	case "exactMatch":
		if m.exact = r.Text("selector", "exactMatch", "name"); m.exact == "" {
			r.Complain(gang.Complaint(r.Place("selector", "exactMatch", "name"), `""`, "a name"))
		}
	case "regexMatch":
		text, complaint := r.Text("selector", "regexMatch", "pattern"), ""
		if m.pattern, m.prefix, complaint = compile(text); complaint != "" {
			r.Complain(gang.Complaint(r.Place("selector", "regexMatch", "pattern"), object.Quote(text), complaint))
		}
	case "labelMatch":
		m.labels = r.Selector("selector", "labelMatch")
		if m.isHyperNode {
			r.Complain(r.Place("selector") + " has labelMatch, which selects nodes only")
		}
	}
	return m
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, " and ")
}

// compile compiles a pattern. complaint says what it must be. Go's regular expressions match in time linear to the name,
// and to the pattern: hence the bounds.
func compile(text string) (pattern *regexp.Regexp, prefix, complaint string) {
	if text == "" || len(text) > longestPattern {
		return nil, "", fmt.Sprintf("a regular expression of 1 to %d bytes", longestPattern)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, "", "a regular expression" + because(err)
	}
	parsed = parsed.Simplify()
	if program, err := syntax.Compile(parsed); err != nil || len(program.Inst) > largestPattern {
		return nil, "", "a simpler regular expression"
	}
	if pattern, err = regexp.Compile(text); err != nil {
		return nil, "", "a regular expression" + because(err)
	}
	return pattern, prefixOf(parsed), ""
}

// because says what the parser found, without the expression, which is long.
func because(err error) string {
	if failure := (*syntax.Error)(nil); errors.As(err, &failure) {
		return " (" + failure.Code.String() + ")"
	}
	return ""
}

// prefixOf returns what every name begins with that an expression matches: the plain text behind its ^, "" if there is none.
func prefixOf(expression *syntax.Regexp) string {
	if expression.Op != syntax.OpConcat || expression.Sub[0].Op != syntax.OpBeginText {
		return ""
	}
	prefix, _ := plain(expression.Sub[1:])
	return prefix
}

// plain returns the text with which a sequence begins, and whether that is all of it. Text that may be of either case is not
// plain.
func plain(sequence []*syntax.Regexp) (text string, isAll bool) {
	for _, part := range sequence {
		switch {
		case part.Op == syntax.OpLiteral && part.Flags&syntax.FoldCase == 0:
			text += string(part.Rune)
		case part.Op == syntax.OpCapture || part.Op == syntax.OpConcat:
			inner, isAll := plain(part.Sub)
			if text += inner; !isAll {
				return text, false
			}
		default:
			return text, false
		}
	}
	return text, true
}
