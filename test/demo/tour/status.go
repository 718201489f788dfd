package tour

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// saysRunning is true if the status of a PodGroup, of any dialect, says that its gang runs or ran.
func saysRunning(group *unstructured.Unstructured) bool {
	return phase(group) == "Running" || saysOver(group) || conditions(group)["PodGroupInitiallyScheduled"] == "True"
}

// saysOver is true if the status says that the gang is over.
func saysOver(group *unstructured.Unstructured) bool {
	return phase(group) == "Completed" || phase(group) == "Finished"
}

// saysAnything is true if there is a status at all.
func saysAnything(group *unstructured.Unstructured) bool {
	return phase(group) != "" || len(conditions(group)) > 0
}

func phase(group *unstructured.Unstructured) string {
	phase, _, _ := unstructured.NestedString(group.Object, "status", "phase")
	return phase
}

func conditionList(group *unstructured.Unstructured) []map[string]any {
	list, _, _ := unstructured.NestedSlice(group.Object, "status", "conditions")
	var out []map[string]any
	for _, element := range list {
		if c, ok := element.(map[string]any); ok {
			out = append(out, c)
		}
	}
	return out
}

func conditions(group *unstructured.Unstructured) map[string]string {
	out := map[string]string{}
	for _, c := range conditionList(group) {
		out[fmt.Sprint(c["type"])] = fmt.Sprint(c["status"])
	}
	return out
}

// describe writes a status in one line: phase, counts, conditions. Volcano has a sentence where others have a reason, and it
// says the same each time.
func describe(group *unstructured.Unstructured) string {
	var parts []string
	if phase := phase(group); phase != "" {
		parts = append(parts, "phase "+phase)
	}
	for _, count := range []string{"scheduled", "running", "succeeded", "failed"} {
		if n, isSet, err := unstructured.NestedInt64(group.Object, "status", count); err == nil && isSet && n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", count, n))
		}
	}
	for _, c := range conditionList(group) {
		part := fmt.Sprintf("condition %v=%v", c["type"], c["status"])
		if reason, ok := c["reason"].(string); ok && reason != "" && !strings.Contains(reason, " ") {
			part += fmt.Sprintf(" (%s)", reason)
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "no status"
	}
	return strings.Join(parts, ", ")
}
