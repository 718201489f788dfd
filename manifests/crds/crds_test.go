// Package crds holds the definitions of the PodGroups that Phalanx can install where their own projects are not, and the
// tests that nothing a user of those projects writes is refused or lost by them.
package crds

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	coscheduling "sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"
	"sigs.k8s.io/yaml"
	volcano "volcano.sh/apis/pkg/apis/scheduling/v1beta1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	coschedulingdialect "github.com/phalanx-scheduler/phalanx/pkg/gang/coscheduling"
	volcanodialect "github.com/phalanx-scheduler/phalanx/pkg/gang/volcano"
)

const (
	volcanoFile      = "scheduling.volcano.sh_podgroups.yaml"
	coschedulingFile = "scheduling.x-k8s.io_podgroups.yaml"
)

func TestTheAPIServerAcceptsTheDefinitions(t *testing.T) {
	files, err := filepath.Glob("scheduling.*.yaml")
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			definition := read(t, file)
			v1.SetDefaults_CustomResourceDefinition(definition)
			v1.SetDefaults_CustomResourceDefinitionSpec(&definition.Spec)
			internal := &apiextensions.CustomResourceDefinition{}
			require.NoError(t, v1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(definition, internal, nil))
			internal.Status.StoredVersions = []string{internal.Spec.Versions[0].Name}
			assert.Empty(t, validation.ValidateCustomResourceDefinition(context.Background(), internal))
			assert.Equal(t, "phalanx", definition.Labels["app.kubernetes.io/part-of"])
			assert.False(t, apihelpers.IsProtectedCommunityGroup(definition.Spec.Group),
				"a protected group needs the annotation api-approved.kubernetes.io")
		})
	}
}

func TestADefinitionIsWhatItsDialectAsksFor(t *testing.T) {
	for file, dialect := range map[string]gang.Dialect{volcanoFile: volcanodialect.New(), coschedulingFile: coschedulingdialect.New()} {
		t.Run(dialect.Name(), func(t *testing.T) {
			definition := read(t, file)
			version := definition.Spec.Versions[0]
			assert.Equal(t, dialect.Resource().Group, definition.Spec.Group)
			assert.Equal(t, dialect.Resource().Version, version.Name)
			assert.Equal(t, dialect.Resource().Resource, definition.Spec.Names.Plural)
			assert.Equal(t, dialect.HasStatusSubresource(), version.Subresources != nil && version.Subresources.Status != nil)
		})
	}
}

// TestTheSchemasHaveEveryFieldOfTheirTypes walks the Go types of the API, so that a field of a newer release that is
// missing here fails a test and does not surprise a user.
func TestTheSchemasHaveEveryFieldOfTheirTypes(t *testing.T) {
	for file, object := range map[string]any{volcanoFile: volcano.PodGroup{}, coschedulingFile: coscheduling.PodGroup{}} {
		root := read(t, file).Spec.Versions[0].Schema.OpenAPIV3Schema
		for _, part := range []string{"Spec", "Status"} {
			kind, found := reflect.TypeOf(object).FieldByName(part)
			require.True(t, found)
			compare(t, file+": "+strings.ToLower(part), kind.Type, root.Properties[strings.ToLower(part)])
		}
	}
}

// TestTheSchemasHaveFieldsThatAreNewerThanTheirTypes lists what newer releases than the Go types have.
func TestTheSchemasHaveFieldsThatAreNewerThanTheirTypes(t *testing.T) {
	spec := read(t, volcanoFile).Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	assert.Contains(t, spec.Properties["networkTopology"].Properties, "highestTierName")
	for _, name := range []string{"name", "networkTopology", "subGroupSize", "minSubGroups", "labelSelector", "matchLabelKeys"} {
		assert.Contains(t, spec.Properties["subGroupPolicy"].Items.Schema.Properties, name)
	}
	assert.Equal(t, spec.Properties["networkTopology"].Properties,
		spec.Properties["subGroupPolicy"].Items.Schema.Properties["networkTopology"].Properties)
}

func TestEveryFieldIsDescribed(t *testing.T) {
	for _, file := range []string{volcanoFile, coschedulingFile} {
		root := read(t, file).Spec.Versions[0].Schema.OpenAPIV3Schema
		for _, part := range []string{"spec", "status"} {
			described(t, file+": "+part, root.Properties[part])
		}
	}
}

// compare fails for every json field of a Go type that the schema does not have, or has with another type.
func compare(t *testing.T, path string, kind reflect.Type, props v1.JSONSchemaProps) {
	switch kind {
	case reflect.TypeOf(resource.Quantity{}):
		assert.True(t, props.XIntOrString, "%s: a quantity is a number or a string", path)
		return
	case reflect.TypeOf(metav1.Time{}):
		assert.Equal(t, "date-time", props.Format, path)
		return
	}
	switch kind.Kind() {
	case reflect.Pointer:
		compare(t, path, kind.Elem(), props)
	case reflect.Struct:
		assert.Equal(t, "object", props.Type, path)
		for i := range kind.NumField() {
			name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
			next, found := props.Properties[name]
			if assert.True(t, found, "%s has no field %q", path, name) {
				compare(t, path+"."+name, kind.Field(i).Type, next)
			}
		}
	case reflect.Map:
		assert.Equal(t, "object", props.Type, path)
		if assert.NotNil(t, props.AdditionalProperties, path) {
			compare(t, path+".*", kind.Elem(), *props.AdditionalProperties.Schema)
		}
	case reflect.Slice:
		assert.Equal(t, "array", props.Type, path)
		if assert.NotNil(t, props.Items, path) {
			compare(t, path+"[]", kind.Elem(), *props.Items.Schema)
		}
	case reflect.String:
		assert.Equal(t, "string", props.Type, path)
	case reflect.Int32:
		assert.Equal(t, "integer", props.Type, path)
		assert.Equal(t, "int32", props.Format, path)
	case reflect.Int, reflect.Int64:
		assert.Equal(t, "integer", props.Type, path)
	case reflect.Bool:
		assert.Equal(t, "boolean", props.Type, path)
	default:
		t.Errorf("%s: this test does not know %s", path, kind)
	}
}

func described(t *testing.T, path string, props v1.JSONSchemaProps) {
	assert.NotEmpty(t, props.Description, path)
	for name, next := range props.Properties {
		described(t, path+"."+name, next)
	}
	if props.Items != nil {
		for name, next := range props.Items.Schema.Properties {
			described(t, path+"[]."+name, next)
		}
	}
}

func TestWhatUsersWriteIsKeptAndWhatIsSenselessIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		file, object string
		refused      string // part of the API server's message, "" if the object is stored as it is
		defaulted    string // the object as it is stored, where defaults are added
	}{
		"a Volcano PodGroup with every field, old and new": {
			file: volcanoFile,
			object: `{spec: {minMember: 0, minTaskMember: {a: 1}, queue: q, priorityClassName: p,
				minResources: {cpu: 1, memory: 1.5Gi, nvidia.com/gpu: "8", limits.cpu: 500m},
				networkTopology: {mode: soft, highestTierName: rack},
				subGroupPolicy: [{name: s, subGroupSize: 2, minSubGroups: 1, networkTopology: {mode: hard, highestTierAllowed: 1, newer: 1},
					labelSelector: {matchLabels: {a: b}, matchExpressions: [{key: k, operator: In, values: [v]}]}, matchLabelKeys: [k], newer: {x: 1}}],
				newer: {deep: [1]}},
				status: {phase: Running, running: 1, newer: 1, conditions: [{type: T, status: "True", lastTransitionTime: null, newer: 1}]}}`,
		},
		"an empty Volcano PodGroup gets a queue": {
			file: volcanoFile, object: `{spec: {}}`, defaulted: `{spec: {queue: default}}`,
		},
		"Volcano's defaults for topology and subgroups": {
			file:      volcanoFile,
			object:    `{spec: {queue: q, networkTopology: {}, subGroupPolicy: [{name: s}]}}`,
			defaulted: `{spec: {queue: q, networkTopology: {mode: hard}, subGroupPolicy: [{name: s, subGroupSize: 1, minSubGroups: 0}]}}`,
		},
		"a negative minMember": {
			file: volcanoFile, object: `{spec: {queue: q, minMember: -1}}`, refused: "spec.minMember",
		},
		"a minMember in words": {
			file: volcanoFile, object: `{spec: {queue: q, minMember: eight}}`, refused: "spec.minMember",
		},
		"a quantity in words": {
			file: volcanoFile, object: `{spec: {queue: q, minResources: {cpu: lots}}}`, refused: "spec.minResources.cpu",
		},
		"a coscheduling PodGroup with every field and newer ones": {
			file: coschedulingFile,
			object: `{spec: {minMember: 2147483647, minResources: {cpu: 1e3}, scheduleTimeoutSeconds: 60, newer: 1},
				status: {phase: Failed, occupiedBy: x, running: 1, succeeded: 1, failed: 1, scheduleStartTime: null, newer: 1}}`,
		},
		"an empty coscheduling PodGroup": {
			file: coschedulingFile, object: `{spec: {}}`,
		},
		"a coscheduling minMember of 0, as its type says": {
			file: coschedulingFile, object: `{spec: {minMember: 0}}`, refused: "spec.minMember",
		},
	} {
		t.Run(name, func(t *testing.T) {
			props := &apiextensions.JSONSchemaProps{}
			require.NoError(t, v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
				read(t, test.file).Spec.Versions[0].Schema.OpenAPIV3Schema, props, nil))
			structural, err := schema.NewStructural(props)
			require.NoError(t, err)
			validator, _, err := schemavalidation.NewSchemaValidator(props)
			require.NoError(t, err)

			stored := object(t, test.object)
			pruning.Prune(stored, structural, true)
			defaulting.Default(stored, structural)
			errs := schemavalidation.ValidateCustomResource(field.NewPath(""), stored, validator)
			if test.refused != "" {
				assert.ErrorContains(t, errs.ToAggregate(), test.refused)
				return
			}
			assert.Empty(t, errs)
			want := test.object
			if test.defaulted != "" {
				want = test.defaulted
			}
			assert.Equal(t, object(t, want), stored)
		})
	}
}

func read(t *testing.T, file string) *v1.CustomResourceDefinition {
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	definition := &v1.CustomResourceDefinition{}
	require.NoError(t, yaml.UnmarshalStrict(data, definition))
	return definition
}

func object(t *testing.T, text string) map[string]any {
	encoded, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	object := map[string]any{}
	require.NoError(t, json.Unmarshal(encoded, &object))
	return object
}
