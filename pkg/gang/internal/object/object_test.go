package object_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/object"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/objecttest"
)

func TestQuantities(t *testing.T) {
	for name, test := range map[string]struct {
		value string
		want  string // "" if the value is refused
	}{
		"a string with a suffix":           {value: `1Gi`, want: "1Gi"},
		"a number":                         {value: `8`, want: "8"},
		"a number with a fraction":         {value: `1.5`, want: "1500m"},
		"thousandths":                      {value: `100m`, want: "100m"},
		"exa is a suffix":                  {value: `5E`, want: "5E"},
		"exbi is a suffix":                 {value: `5Ei`, want: "5Ei"},
		"an exponent":                      {value: `"1e3"`, want: "1e3"},
		"a huge float":                     {value: `1e+300`},
		"an exponent beyond any sense":     {value: `"1e-999999999"`},
		"an exponent beyond any integer":   {value: `"1e99999999999999999999"`},
		"a thousand digits":                {value: `"` + strings.Repeat("9", 1000) + `"`},
		"a word":                           {value: `lots`},
		"nothing":                          {value: `""`},
		"null":                             {value: `null`},
		"a truth":                          {value: `true`},
		"a list":                           {value: `[1]`},
		"less than nothing":                {value: `-1`},
		"less than nothing, in a fraction": {value: `"-0.001"`},
	} {
		t.Run(name, func(t *testing.T) {
			reader := object.Read(objecttest.PodGroup(t, `{minResources: {cpu: `+test.value+`}}`, ""))
			got := reader.NodeResources("spec", "minResources")
			if test.want == "" {
				assert.Empty(t, got)
				assert.Contains(t, reader.Complaint(), "spec.minResources.cpu is ")
				assert.Less(t, len(reader.Complaint()), 150)
				return
			}
			require.Empty(t, reader.Complaint())
			quantity := got["cpu"]
			assert.Equal(t, test.want, quantity.String())
		})
	}
}

func TestOnlyWhatANodeCanHaveIsANodeResource(t *testing.T) {
	list := `{cpu: 1, memory: 1, pods: 1, ephemeral-storage: 1, hugepages-1Gi: 1, attachable-volumes-x: 1, nvidia.com/gpu: 1,
		requests.cpu: 1, requests.nvidia.com/gpu: 1, limits.memory: 1, count/pods: 1, services: 1, gpu: 1}`
	got := object.Read(objecttest.PodGroup(t, `{minResources: `+list+`}`, "")).NodeResources("spec", "minResources")
	names := []string{}
	for name := range got {
		names = append(names, string(name))
	}
	assert.ElementsMatch(t, []string{"cpu", "memory", "pods", "ephemeral-storage", "hugepages-1Gi", "attachable-volumes-x", "nvidia.com/gpu"}, names)
}

func TestAComplaintIsShortWhateverItQuotes(t *testing.T) {
	for _, character := range []string{"x", "é", "∞", "🛡", "\x00", "\xff"} {
		long := strings.Repeat(character, 100_000)
		podGroup := &unstructured.Unstructured{Object: map[string]any{"roles": map[string]any{long: long}}}
		reader := object.Read(podGroup)
		reader.Counts("roles")
		assert.NotEmpty(t, reader.Complaint())
		assert.Less(t, len(reader.Complaint()), 500)
	}
}

func TestOnlyTheFirstComplaintIsKept(t *testing.T) {
	reader := object.Read(objecttest.PodGroup(t, `{a: one, b: two}`, ""))
	reader.Int32(0, "spec", "b")
	reader.Int32(0, "spec", "a")
	reader.Complain("and more")
	assert.Equal(t, `spec.b is "two": it must be a whole number`, reader.Complaint())
}

func TestAStatusThatIsNotChangedIsNoWrite(t *testing.T) {
	podGroup := objecttest.PodGroup(t, `{}`, `{phase: Running, running: 2, failed: 0}`)
	status := object.EditStatus(podGroup)
	status.Set("phase", "Running")
	status.SetCount("running", 2)
	status.SetCount("failed", 0)
	status.SetCount("succeeded", 0)
	assert.Nil(t, status.Result())
}

func TestAChangedStatusIsACopy(t *testing.T) {
	podGroup := objecttest.PodGroup(t, `{a: {b: 1}}`, `{running: 2, theirs: {c: 1}}`)
	before := podGroup.DeepCopy()
	status := object.EditStatus(podGroup)
	status.SetCount("running", 0)
	changed := status.Result()
	require.NotNil(t, changed)
	changed.Object["spec"].(map[string]any)["a"].(map[string]any)["b"] = "ours"
	changed.Object["status"].(map[string]any)["theirs"].(map[string]any)["c"] = "ours"
	assert.Equal(t, before, podGroup)
	assert.NotContains(t, changed.Object["status"], "running")
}
