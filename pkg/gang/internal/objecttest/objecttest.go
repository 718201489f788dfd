// Package objecttest draws the objects and the lives of gangs on which the dialects are tested.
//
// Purpose: all dialects are held to the same promises: no panic on any JSON, nothing changed outside .status, nothing
// written twice. The properties stand here once, so that no dialect is tested against a weaker one. Invariant: only tests
// import it.
package objecttest

import (
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

// Parse reads one object from YAML or JSON.
func Parse(t require.TestingT, text string) *unstructured.Unstructured {
	encoded, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	object := &unstructured.Unstructured{}
	require.NoError(t, json.Unmarshal(encoded, &object.Object))
	return object
}

// PodGroup makes the PodGroup ns/train from two pieces of YAML; a status of "" leaves it out.
func PodGroup(t require.TestingT, spec, status string) *unstructured.Unstructured {
	text := "{metadata: {namespace: ns, name: train}, spec: " + spec
	if status != "" {
		text += ", status: " + status
	}
	return Parse(t, text+"}")
}

// Phase is the phase that an object states, "" if none.
func Phase(t require.TestingT, object *unstructured.Unstructured) string {
	phase, _, err := unstructured.NestedString(object.Object, "status", "phase")
	require.NoError(t, err)
	return phase
}

// AssertGroup compares two groups, and their quantities by value.
func AssertGroup(t require.TestingT, want, got gang.Group) {
	assert.Len(t, got.MinResources, len(want.MinResources), "minResources")
	for name, quantity := range want.MinResources {
		assert.Zero(t, quantity.Cmp(got.MinResources[name]), name)
	}
	want.MinResources, got.MinResources = nil, nil
	assert.Equal(t, want, got)
}

// AssertTranslates holds a dialect to its promises on any object at all.
func AssertTranslates(t require.TestingT, dialect gang.Dialect, object *unstructured.Unstructured) {
	before := object.DeepCopy()
	group := dialect.Translate(object)
	assert.Equal(t, before, object, "translation must not change the object")
	assert.Equal(t, group, dialect.Translate(object), "the same object must give the same group")
	assert.Equal(t, dialect.Name(), group.Dialect)
	assert.Equal(t, object.GetName(), group.Name)
	assert.GreaterOrEqual(t, group.MinMember, int32(0))
	assert.GreaterOrEqual(t, group.ScheduleTimeout.Seconds(), float64(0))
	assert.Less(t, len(group.Invalid), 1000, "a complaint must fit into an event")
	if group.Invalid == "" {
		AssertWish(t, group.Wish)
		for _, rule := range group.SubGroups {
			AssertWish(t, rule.Wish)
			assert.Positive(t, rule.Size)
			assert.GreaterOrEqual(t, rule.Minimum, int32(0))
			assert.NotNil(t, rule.Selector)
		}
	}
	for role, minimum := range group.MinPerRole {
		assert.Positive(t, minimum, role)
	}
	for name, quantity := range group.MinResources {
		assert.GreaterOrEqual(t, quantity.Sign(), 0, name)
	}
}

// AssertWish holds a wish to what everybody after the dialects relies on.
func AssertWish(t require.TestingT, wish gang.Wish) {
	for _, level := range []gang.Level{wish.Required, wish.Preferred, wish.Slice} {
		if level == (gang.Level{}) {
			continue
		}
		said := 0
		for _, is := range []bool{level.Name != "", level.Tier != 0, level.TierName != ""} {
			if is {
				said++
			}
		}
		assert.Equal(t, 1, said, "a level is said in one way: %+v", level)
		assert.GreaterOrEqual(t, level.Tier, 0)
		assert.NotEmpty(t, level.Source)
		assert.Less(t, len(level.Source), 300)
	}
	assert.Equal(t, wish.SliceSize > 0, wish.Slice != gang.Level{}, "a slice has a size and a level, or neither")
	assert.GreaterOrEqual(t, wish.SliceSize, int32(0))
}

// AssertStatus holds a dialect to its promises for one step of a gang's life, and returns the object after it.
func AssertStatus(t require.TestingT, dialect gang.Dialect, object *unstructured.Unstructured, progress gang.Progress, now metav1.Time) *unstructured.Unstructured {
	before := object.DeepCopy()
	changed := dialect.Status(object, progress, now)
	assert.Equal(t, before, object, "the object itself must not change")
	if changed == nil {
		return object
	}
	assert.Nil(t, dialect.Status(changed, progress, metav1.NewTime(now.Add(3600e9))), "saying it twice must be no write")
	assert.Equal(t, withoutStatus(before), withoutStatus(changed), "only the status may change")
	return changed
}

func withoutStatus(object *unstructured.Unstructured) map[string]any {
	rest := object.DeepCopy().Object
	delete(rest, "status")
	return rest
}

// AnyPodGroup draws an object whose fields have the right names and any value. specFields are paths such as "minMember"
// or "schedulingPolicy.gang.minCount".
func AnyPodGroup(t *rapid.T, specFields ...string) *unstructured.Unstructured {
	spec := map[string]any{}
	for _, path := range specFields {
		if rapid.Bool().Draw(t, path) {
			// A parent that is no object by now refuses the field; that is one of the cases.
			_ = unstructured.SetNestedField(spec, anyJSON(t, 2), strings.Split(path, ".")...)
		}
	}
	object := map[string]any{
		"spec":     spec,
		"status":   anyObject(t, 3, "phase", "conditions", "running", "succeeded", "failed", "scheduleStartTime"),
		"metadata": anyObject(t, 2, "name", "namespace", "uid", "generation", "annotations", "ownerReferences", "creationTimestamp"),
	}
	for _, field := range []string{"spec", "status", "metadata"} {
		if rapid.IntRange(0, 9).Draw(t, field+" is odd") == 0 {
			object[field] = anyJSON(t, 1)
		}
	}
	return &unstructured.Unstructured{Object: object}
}

// AnyProgress draws how far a gang of a few members has come.
func AnyProgress(t *rapid.T) gang.Progress {
	count := rapid.Int32Range(0, 4)
	return gang.Progress{
		Pending: count.Draw(t, "pending"), Bound: count.Draw(t, "bound"), Running: count.Draw(t, "running"),
		Succeeded: count.Draw(t, "succeeded"), Failed: count.Draw(t, "failed"),
		Admitted: rapid.Bool().Draw(t, "admitted"),
		Waiting: rapid.SampledFrom([]gang.Waiting{
			{}, {Reason: gang.GangIncomplete, Sentence: "2 of 4 members exist"}, {Reason: gang.Fragmented, Sentence: "in pieces"},
		}).Draw(t, "waiting"),
		Repair: rapid.SampledFrom([]gang.Repair{
			{}, {Phase: gang.Repairing, Missing: 2, Minimum: 4, Kept: 1, Until: time.Unix(0, 0)}, {Phase: gang.GivenUp, Missing: 1, Minimum: 4},
		}).Draw(t, "repair"),
	}
}

var texts = []string{
	"", "Running", "Unknown", "Scheduled", "Unschedulable", "True", "False", "Completed", "1Gi", "-1", "1e-99999999", "hard", "soft", "rack", "2026-08-01T12:00:00Z",
}

func anyJSON(t *rapid.T, depth int) any {
	kinds := 6
	if depth > 0 {
		kinds = 9
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Int64().Draw(t, "int")
	case 3:
		return int64(rapid.IntRange(-2, 5).Draw(t, "small int"))
	case 4:
		return rapid.Float64Range(-1e300, 1e300).Draw(t, "float")
	case 5:
		return rapid.OneOf(rapid.String(), rapid.SampledFrom(texts)).Draw(t, "text")
	case 6:
		return []any{anyJSON(t, depth-1), anyJSON(t, depth-1)}
	default:
		return anyObject(t, depth-1, "type", "status", "reason", "transitionID", "cpu", "requests.cpu", "gang", "minCount", "x",
			"mode", "highestTierAllowed", "highestTierName", "networkTopology", "labelSelector", "matchLabels", "subGroupSize", "key")
	}
}

func anyObject(t *rapid.T, depth int, names ...string) map[string]any {
	object := map[string]any{}
	for _, name := range names {
		if rapid.Bool().Draw(t, name) {
			object[name] = anyJSON(t, depth)
		}
	}
	return object
}
