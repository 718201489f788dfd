package hypernode

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// index finds the HyperNodes that select a name: those of 10,000 whose members could not match it are not looked at.
type index struct {
	exact    map[string][]*HyperNode
	patterns map[string][]selecting // by the prefix of the names that they match
	labelled map[label][]selecting  // by a label that they ask for, the zero label if they ask for none
}

type label struct{ key, value string }

// selecting is one member that needs a closer look.
type selecting struct {
	member
	of *HyperNode
}

func newIndex() *index {
	return &index{exact: map[string][]*HyperNode{}, patterns: map[string][]selecting{}, labelled: map[label][]selecting{}}
}

// add returns false if there are too many members like this one.
func (x *index) add(m member, of *HyperNode) bool {
	switch {
	case m.pattern != nil:
		return addTo(x.patterns, m.prefix, selecting{m, of})
	case m.labels != nil:
		return addTo(x.labelled, labelOf(m.labels), selecting{m, of})
	}
	x.exact[m.exact] = append(x.exact[m.exact], of)
	return true
}

func addTo[K comparable](alike map[K][]selecting, key K, s selecting) bool {
	if len(alike[key]) == maxAlike {
		return false
	}
	alike[key] = append(alike[key], s)
	return true
}

// labelOf returns a label without which nothing is selected.
func labelOf(selector labels.Selector) label {
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		if op := r.Operator(); (op == selection.Equals || op == selection.In) && r.Values().Len() == 1 {
			return label{r.Key(), r.Values().UnsortedList()[0]}
		}
	}
	return label{}
}

// find returns who selects a name with these labels, by tier, the lowest first, and among equals by name.
func (x *index) find(name string, set map[string]string) []*HyperNode {
	found := slices.Clone(x.exact[name])
	for end := range len(name) + 1 {
		for _, s := range x.patterns[name[:end]] {
			if s.pattern.MatchString(name) {
				found = append(found, s.of)
			}
		}
	}
	byLabels := func(candidates []selecting) {
		for _, s := range candidates {
			if s.labels.Matches(labels.Set(set)) {
				found = append(found, s.of)
			}
		}
	}
	byLabels(x.labelled[label{}])
	for key, value := range set {
		byLabels(x.labelled[label{key, value}])
	}
	slices.SortFunc(found, compare)
	return slices.Compact(found)
}

func compare(a, b *HyperNode) int {
	return cmp.Or(cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Name, b.Name))
}
