package object

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// Reader reads fields of one object and remembers the first complaint. A field that is absent or null reads as its zero
// value without a complaint; so does one with a complaint.
type Reader struct {
	object    map[string]any
	at        string  // where the object is found, for an element of a list
	complaint *string // one for an object and all that is in it
}

// Read starts to read an object.
func Read(object *unstructured.Unstructured) *Reader {
	return &Reader{object: object.Object, complaint: new(string)}
}

// Complaint is the first thing that was wrong, in one sentence that names the field and the value, e.g.
// `spec.minMember is "eight": it must be a whole number`; "" if nothing was.
func (r *Reader) Complaint() string { return *r.complaint }

// Complain adds a complaint of the caller's own, in one sentence that names the field; "" is none.
func (r *Reader) Complain(sentence string) {
	if *r.complaint == "" && sentence != "" {
		*r.complaint = sentence
	}
}

// Place is what complaints call a field: "spec.subGroupPolicy[0].name".
func (r *Reader) Place(path ...string) string {
	place := strings.Join(path, ".")
	if r.at == "" || place == "" {
		return r.at + place
	}
	return r.at + "." + place
}

func (r *Reader) refuse(value any, rule string, path []string) {
	r.Complain(gang.Complaint(r.Place(path...), Quote(value), rule))
}

// Has tells whether a field is there and not null.
func (r *Reader) Has(path ...string) bool { return r.value(path) != nil }

// Text reads a string.
func (r *Reader) Text(path ...string) string {
	value := r.value(path)
	if value == nil {
		return ""
	}
	text, isText := value.(string)
	if !isText {
		r.refuse(value, "a string", path)
	}
	return text
}

// Int32 reads a whole number of at least least; present tells that there is one and that it is sound.
func (r *Reader) Int32(least int32, path ...string) (number int32, present bool) {
	value := r.value(path)
	if value == nil {
		return 0, false
	}
	return r.int32(value, least, path)
}

// Counts reads an object whose values are whole numbers of at least 0.
func (r *Reader) Counts(path ...string) map[string]int32 {
	entries := r.entries(path)
	if len(entries) == 0 {
		return nil
	}
	counts := make(map[string]int32, len(entries))
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if count, sound := r.int32(entries[key], 0, append(slices.Clone(path), gang.Clip(key))); sound {
			counts[key] = count
		}
	}
	return counts
}

// NodeResources reads a list of quantities of at least 0 and keeps those that a node can have.
//
// Controllers copy quota names such as limits.cpu, requests.nvidia.com/gpu or count/pods into minResources beside the
// plain ones. No node reports them, so whoever compared them with nodes would wait for ever; the schedulers that define
// these APIs pass over them, and so does this.
func (r *Reader) NodeResources(path ...string) v1.ResourceList {
	entries := r.entries(path)
	if len(entries) == 0 {
		return nil
	}
	list := make(v1.ResourceList, len(entries))
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		quantity, sound := r.quantity(entries[name], append(slices.Clone(path), gang.Clip(name)))
		if sound && isNodeResource(name) {
			list[v1.ResourceName(name)] = quantity
		}
	}
	return list
}

// value walks down to a field; nil if it or one of its parents is absent or null.
func (r *Reader) value(path []string) any {
	var value any = r.object
	for depth, key := range path {
		parent, isObject := value.(map[string]any)
		if !isObject {
			r.refuse(value, "an object", path[:depth])
			return nil
		}
		if value = parent[key]; value == nil {
			return nil
		}
	}
	return value
}

func (r *Reader) entries(path []string) map[string]any {
	value := r.value(path)
	if value == nil {
		return nil
	}
	entries, isObject := value.(map[string]any)
	if !isObject {
		r.refuse(value, "an object", path)
	}
	return entries
}

func (r *Reader) int32(value any, least int32, path []string) (int32, bool) {
	var number int64
	switch value := value.(type) {
	case int64:
		number = value
	case float64:
		// 3.0 is a whole number to people and to a schema, and a float to the decoder. The bounds come first: converting
		// a float beyond them to an integer is undefined.
		if math.Trunc(value) != value || math.Abs(value) > 1<<53 {
			r.refuse(value, "a whole number", path)
			return 0, false
		}
		number = int64(value)
	default:
		r.refuse(value, "a whole number", path)
		return 0, false
	}
	switch {
	case number < int64(least):
		r.refuse(value, fmt.Sprintf("at least %d", least), path)
		return 0, false
	case number > math.MaxInt32:
		r.refuse(value, fmt.Sprintf("at most %d", math.MaxInt32), path)
		return 0, false
	}
	return int32(number), true
}

// What a quantity may look like before it is handed to its parser, which keeps all digits that are asked for: it works
// for minutes on 1e-999999999, and no API server stands before it in the schema of a custom resource.
const (
	longestQuantity = 64 // "18446744073709551616Mi" has 22 characters
	largestExponent = 30 // 1e18 is the largest suffix, 1e-9 the smallest
)

func (r *Reader) quantity(value any, path []string) (resource.Quantity, bool) {
	text := ""
	switch value := value.(type) {
	case string:
		text = value
	case int64:
		text = strconv.FormatInt(value, 10)
	case float64:
		text = strconv.FormatFloat(value, 'g', -1, 64)
	}
	if text == "" || len(text) > longestQuantity || !hasSmallExponent(text) {
		r.refuse(value, "a quantity", path)
		return resource.Quantity{}, false
	}
	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		r.refuse(value, "a quantity", path)
		return resource.Quantity{}, false
	}
	if quantity.Sign() < 0 {
		r.refuse(value, "at least 0", path)
		return resource.Quantity{}, false
	}
	return quantity, true
}

// hasSmallExponent holds for quantities without an exponent, too: the E and Ei of 5E and 5Ei are suffixes.
func hasSmallExponent(quantity string) bool {
	_, exponent, _ := strings.Cut(strings.ToLower(quantity), "e")
	if exponent == "" || exponent == "i" {
		return true
	}
	number, err := strconv.Atoi(exponent)
	return err == nil && -largestExponent <= number && number <= largestExponent
}

func isNodeResource(name string) bool {
	switch v1.ResourceName(name) {
	case v1.ResourceCPU, v1.ResourceMemory, v1.ResourcePods, v1.ResourceEphemeralStorage:
		return true
	}
	switch {
	case strings.HasPrefix(name, v1.DefaultResourceRequestsPrefix), strings.HasPrefix(name, "limits."), strings.HasPrefix(name, "count/"):
		return false
	case strings.HasPrefix(name, v1.ResourceHugePagesPrefix), strings.HasPrefix(name, v1.ResourceAttachableVolumesPrefix):
		return true
	}
	return strings.Contains(name, "/")
}

// Quote shows a value to people, short however long it is.
func Quote(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	text, err := json.Marshal(value)
	if err != nil { // no value that came from JSON fails; a sentence is still due
		return fmt.Sprintf("a %T", value)
	}
	return gang.Clip(string(text))
}
