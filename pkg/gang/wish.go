package gang

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Level names a topology level in the words of whoever asks for it; which level that is, the plugin's arguments decide.
// Exactly one of Name, Tier and TierName says it; the zero value is no level.
type Level struct {
	Name     string // a level's name or its node label key
	Tier     int    // a HyperNode's tier, 1 is the narrowest
	TierName string // a HyperNode's tier name
	// Source is the field or annotation that says it, with its value, for messages:
	// `annotation phalanx.dev/required-topology "rack"`, "spec.networkTopology.highestTierAllowed 2".
	Source string
}

// String is the source of the level, "none" for no level.
func (l Level) String() string {
	if l == (Level{}) {
		return "none"
	}
	return l.Source
}

func (l Level) compare(other Level) int {
	return cmp.Or(cmp.Compare(l.Name, other.Name), cmp.Compare(l.Tier, other.Tier), cmp.Compare(l.TierName, other.TierName))
}

func (l Level) withoutSource() Level { l.Source = ""; return l }

// Wish is what a gang, or a part of it, wishes of the fabric. The zero value wishes nothing.
type Wish struct {
	// Required is the broadest level at which the members may share a domain: one domain of it, or of a narrower level,
	// holds them all. Preferred is the level at which they would like to.
	Required, Preferred Level
	// SliceSize > 0 asks that every SliceSize members, in the order of their [Rank], share a domain of level Slice. Both are
	// set or none.
	SliceSize int32
	Slice     Level
}

// IsZero is true if nothing is wished.
func (w Wish) IsZero() bool { return w == Wish{} }

// Compare puts wishes into an order, by what they ask for first, and where that is the same by where they were written down.
func (w Wish) Compare(other Wish) int {
	return cmp.Or(
		w.Required.compare(other.Required), w.Preferred.compare(other.Preferred),
		cmp.Compare(w.SliceSize, other.SliceSize), w.Slice.compare(other.Slice),
		cmp.Compare(w.Required.Source, other.Required.Source), cmp.Compare(w.Preferred.Source, other.Preferred.Source),
		cmp.Compare(w.Slice.Source, other.Slice.Source),
	)
}

// Same is true for wishes that ask for the same, wherever they were written down.
func (w Wish) Same(other Wish) bool { return w.withoutSources() == other.withoutSources() }

func (w Wish) withoutSources() Wish {
	w.Required, w.Preferred, w.Slice = w.Required.withoutSource(), w.Preferred.withoutSource(), w.Slice.withoutSource()
	return w
}

// Against says in what two wishes differ first: `the required level: annotation … "rack" against annotation … "block"`;
// "" if they are the same.
func (w Wish) Against(other Wish) string {
	x, y := w.withoutSources(), other.withoutSources()
	switch {
	case x.Required != y.Required:
		return fmt.Sprintf("the required level: %s against %s", w.Required, other.Required)
	case x.Preferred != y.Preferred:
		return fmt.Sprintf("the preferred level: %s against %s", w.Preferred, other.Preferred)
	case x != y:
		return fmt.Sprintf("the slices: %s against %s", w.Slice, other.Slice)
	}
	return ""
}

// SubGroup is a rule that makes sub-groups of a gang's members: parts with a wish, and maybe a minimum, of their own.
// Each sub-group has the wish for itself; that of the gang holds for all members besides.
type SubGroup struct {
	// Name is that of the rule where a dialect has such rules, else a role.
	Name string
	Wish Wish
	// Size is how many members of a sub-group must run together, Minimum how many sub-groups of that size must. 0 and 0
	// where the rule is about the fabric alone.
	Size, Minimum int32
	// Selector picks the members; those with the same values of all MatchLabelKeys are one sub-group, those that lack a
	// key are in none. A nil Selector picks the members of the role Name that state Wish themselves, as one sub-group.
	Selector       labels.Selector
	MatchLabelKeys []string
}

// SubGroupOf finds the sub-group of a member, which has this role: the first rule that picks it decides. key is the same
// for members of one sub-group and differs between those of one rule; ok is false for a member in no sub-group.
func SubGroupOf(rules []SubGroup, pod *v1.Pod, role string) (rule int, key string, ok bool) {
	for i := range rules {
		if key, ok := rules[i].key(pod, role); ok {
			return i, key, true
		}
	}
	return 0, "", false
}

func (s *SubGroup) key(pod *v1.Pod, role string) (string, bool) {
	if s.Selector == nil {
		if role != s.Name {
			return "", false
		}
		wish, _ := StatedWish(pod, Wish{})
		return "", wish.Same(s.Wish)
	}
	if !s.Selector.Matches(labels.Set(pod.Labels)) {
		return "", false
	}
	values := make([]string, len(s.MatchLabelKeys))
	for i, label := range s.MatchLabelKeys {
		if values[i] = pod.Labels[label]; values[i] == "" {
			return "", false
		}
	}
	return strings.Join(values, ","), true // no label's value contains a comma
}

// LevelNamed is the level of that name or node label key, written down at source: a field or an annotation. complaint names
// the source and the value if that can be neither.
func LevelNamed(source, name string) (level Level, complaint string) {
	if !isLevelName(name) {
		return Level{}, Complaint(source, strconv.Quote(name), "a level's name or a node label key")
	}
	return Level{Name: name, Source: source + " " + quote(name)}, ""
}

// LevelOfTierName is the level of the HyperNodes with that tier name.
func LevelOfTierName(source, name string) (level Level, complaint string) {
	if !isLevelName(name) {
		return Level{}, Complaint(source, strconv.Quote(name), "a tier's name")
	}
	return Level{TierName: name, Source: source + " " + quote(name)}, ""
}

// LevelOfTier is the level of the HyperNodes of that tier. value is the tier as it was written.
func LevelOfTier(source, value string, tier int32) Level {
	return Level{Tier: int(tier), Source: source + " " + Clip(value)}
}

// longestLevelName is that of a node label key: a domain, a slash and a name.
const longestLevelName = 253 + 1 + 63

var levelName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$`)

// isLevelName refuses only what no level could be called; whether there is such a level is not known here.
func isLevelName(text string) bool {
	return len(text) <= longestLevelName && levelName.MatchString(text)
}
