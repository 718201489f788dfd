package object

import (
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Status edits a copy of an object's status and knows whether anything changed, so that saying again what the object says
// already costs no write. Nothing outside the status can be reached through it.
type Status struct {
	object  *unstructured.Unstructured
	fields  map[string]any
	changed bool
}

// EditStatus starts to edit. A status that is no object counts as an empty one: there is nothing in it to keep.
func EditStatus(object *unstructured.Unstructured) *Status {
	fields, isObject := object.Object["status"].(map[string]any)
	if !isObject {
		return &Status{object: object, fields: map[string]any{}}
	}
	return &Status{object: object, fields: runtime.DeepCopyJSON(fields)}
}

// Text is a string of the status, "" if it is absent or something else.
func (s *Status) Text(key string) string {
	text, _ := s.fields[key].(string)
	return text
}

// Set writes any JSON value.
func (s *Status) Set(key string, value any) {
	if !reflect.DeepEqual(s.fields[key], value) {
		s.fields[key], s.changed = value, true
	}
}

// SetCount writes a count. 0 is written by leaving the field out, as the API's own Go types do; a 0 that is already there
// stays.
func (s *Status) SetCount(key string, count int32) {
	before, isPresent := s.fields[key]
	switch {
	case before == int64(count), count == 0 && !isPresent:
	case count == 0:
		delete(s.fields, key)
		s.changed = true
	default:
		s.fields[key], s.changed = int64(count), true
	}
}

// Conditions are the elements of status.conditions, of whatever kind they are.
func (s *Status) Conditions() []any {
	conditions, _ := s.fields["conditions"].([]any)
	return conditions
}

// Result is a copy of the object with the edited status, nil if the object says it already.
func (s *Status) Result() *unstructured.Unstructured {
	if !s.changed {
		return nil
	}
	result := s.object.DeepCopy()
	result.Object["status"] = runtime.DeepCopyJSON(s.fields)
	return result
}
