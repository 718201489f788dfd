package object

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// List reads a list of objects: one reader for each, which complains to the same ear. An element that is no object is a
// complaint and reads as an empty one.
func (r *Reader) List(path ...string) []*Reader {
	var readers []*Reader
	for i, element := range r.elements(path) {
		at := fmt.Sprintf("%s[%d]", r.Place(path...), i)
		object, isObject := element.(map[string]any)
		if !isObject {
			r.Complain(gang.Complaint(at, Quote(element), "an object"))
		}
		readers = append(readers, &Reader{object: object, at: at, complaint: r.complaint})
	}
	return readers
}

// Apart returns a reader of the same object that complains to an ear of its own, for a caller that can do without the object
// if something is wrong with it.
func (r *Reader) Apart() *Reader { return &Reader{object: r.object, at: r.at, complaint: new(string)} }

// Texts reads a list of strings that are not empty.
func (r *Reader) Texts(path ...string) []string {
	var texts []string
	for i, element := range r.elements(path) {
		text, isText := element.(string)
		if !isText || text == "" {
			r.Complain(gang.Complaint(fmt.Sprintf("%s[%d]", r.Place(path...), i), Quote(element), "a string that is not empty"))
			continue
		}
		texts = append(texts, text)
	}
	return texts
}

func (r *Reader) elements(path []string) []any {
	value := r.value(path)
	if value == nil {
		return nil
	}
	elements, isList := value.([]any)
	if !isList {
		r.refuse(value, "a list", path)
	}
	return elements
}

// Choice reads a string that is one of these, the first of them if there is none or an empty one.
func (r *Reader) Choice(choices []string, path ...string) string {
	text := r.Text(path...)
	switch {
	case text == "":
		return choices[0]
	case !slices.Contains(choices, text):
		r.refuse(text, `"`+strings.Join(choices, `" or "`)+`"`, path)
	}
	return text
}

// operators are those of a label selector's expressions.
var operators = map[string]selection.Operator{
	"In": selection.In, "NotIn": selection.NotIn, "Exists": selection.Exists, "DoesNotExist": selection.DoesNotExist,
}

// Selector reads a label selector; it selects everything if there is none. It reads by hand what
// metav1.LabelSelectorAsSelector converts, because that one names no field and goes through its map in any order.
func (r *Reader) Selector(path ...string) labels.Selector {
	selector := labels.Everything()
	matchLabels := append(slices.Clone(path), "matchLabels")
	entries := r.entries(matchLabels)
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		value, isText := entries[key].(string)
		requirement, err := labels.NewRequirement(key, selection.Equals, []string{value})
		if err != nil || !isText {
			r.refuse(entries[key], "a label's value, and its key a label's key", append(slices.Clone(matchLabels), gang.Clip(key)))
			continue
		}
		selector = selector.Add(*requirement)
	}
	for _, expression := range r.List(append(slices.Clone(path), "matchExpressions")...) {
		key, operator, values := expression.Text("key"), expression.Text("operator"), expression.Texts("values")
		requirement, err := labels.NewRequirement(key, operators[operator], values)
		if err != nil {
			r.Complain(fmt.Sprintf("%s (key %s, operator %s, %d values) is no expression of a label selector",
				expression.Place(), Quote(key), Quote(operator), len(values)))
			continue
		}
		selector = selector.Add(*requirement)
	}
	return selector
}
