package tour

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/test/demo/manifest"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

func key(dialect, name string) oracle.Gang {
	return oracle.Gang{Dialect: dialect, Namespace: "default", Name: name}
}

func TestTheActsHaveTheGangsThatTheySpeakOf(t *testing.T) {
	want := map[string][]gang{
		"1-volcano.yaml":       {{key("volcano", "llama"), manifest.Volcano, 16, 128, "llama"}},
		"2-coscheduling.yaml":  {{key("coscheduling", "resnet"), manifest.Coscheduling, 8, 32, "resnet"}},
		"3-native.yaml":        {{key("native", "qwen"), manifest.Native, 8, 64, "qwen"}},
		"4-contest.yaml":       {{key("volcano", "red"), manifest.Volcano, 6, 48, "red"}, {key("coscheduling", "blue"), manifest.Coscheduling, 6, 48, "blue"}},
		"5-never.yaml":         {{key("volcano", "giant"), manifest.Volcano, 4, 64, "giant"}},
		"6-one-leaf.yaml":      {{key("volcano", "near"), manifest.Volcano, 8, 64, "near"}},
		"7-too-wide.yaml":      {{key("volcano", "wide"), manifest.Volcano, 9, 72, "wide"}},
		"8-failed-gpu.yaml":    {{key("volcano", "patient"), manifest.Volcano, 8, 64, "patient"}},
		"9-leaked-memory.yaml": {{key("volcano", "roomy"), manifest.Volcano, 7, 56, "roomy"}},
		"10-cliques.yaml":      {{key("volcano", "all-72"), manifest.Volcano, 72, 72, "all-72"}, {key("volcano", "only-64"), manifest.Volcano, 64, 64, "only-64"}},
	}
	for _, hasNative := range []bool{true, false} {
		tour := Tour{HasNative: hasNative}
		acts := tour.acts()
		require.Len(t, acts, 10)
		for _, a := range acts {
			if a.file == "" {
				require.False(t, hasNative)
				continue
			}
			raw, err := manifests.ReadFile("manifests/" + a.file)
			require.NoError(t, err)
			gangs, err := read(raw)
			require.NoError(t, err)
			require.Equal(t, want[a.file], gangs)
			require.NotEmpty(t, excerpt(raw), a.file)
		}
	}
}

func TestManifestsThatAreNoneAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"kind: Job\napiVersion: batch/v1\nmetadata: {name: a}": "the pods of job a name no gang of the manifest",
		"kind: Pod\napiVersion: v1":                            "/v1, Kind=Pod is the PodGroup of no dialect",
		"{":                                                    "unexpected end of JSON input",
	} {
		_, err := read([]byte(text))
		require.ErrorContains(t, err, want)
	}
}

func TestAnExcerptIsTheLinesWithRemarks(t *testing.T) {
	var lines []string
	for _, line := range excerpt([]byte("# about all\nkind: PodGroup # the gang\nspec:\n  # about the next line\n  minMember: 16 # all or none\n")) {
		lines = append(lines, line.String())
	}
	require.Equal(t, []string{
		"      kind: PodGroup  # the gang",
		"      minMember: 16   # all or none",
	}, lines)
}

func TestStatuses(t *testing.T) {
	for name, test := range map[string]struct {
		status               string
		runs, over, anything bool
		words                string
	}{
		"none":                        {"", false, false, false, "no status"},
		"Volcano's while it waits":    {"phase: Inqueue\nconditions: [{type: Unschedulable, status: 'True', reason: NotEnoughResources}]", false, false, true, "phase Inqueue, condition Unschedulable=True (NotEnoughResources)"},
		"Volcano's while it runs":     {"phase: Running\nrunning: 6", true, false, true, "phase Running, running 6"},
		"Volcano's at the end":        {"phase: Completed\nsucceeded: 6\nfailed: 0", true, true, true, "phase Completed, succeeded 6"},
		"coscheduling's at the end":   {"phase: Finished\nsucceeded: 6", true, true, true, "phase Finished, succeeded 6"},
		"native while it waits":       {"conditions: [{type: PodGroupInitiallyScheduled, status: 'False', reason: Unschedulable}]", false, false, true, "condition PodGroupInitiallyScheduled=False (Unschedulable)"},
		"native once it is scheduled": {"conditions: [{type: PodGroupInitiallyScheduled, status: 'True'}]", true, false, true, "condition PodGroupInitiallyScheduled=True"},
	} {
		t.Run(name, func(t *testing.T) {
			group := &unstructured.Unstructured{}
			body := "apiVersion: v1\nkind: PodGroup\nstatus:\n  " + strings.ReplaceAll(test.status, "\n", "\n  ")
			asJSON, err := yaml.YAMLToJSON([]byte(body))
			require.NoError(t, err)
			require.NoError(t, group.UnmarshalJSON(asJSON))
			require.Equal(t, [3]bool{test.runs, test.over, test.anything}, [3]bool{saysRunning(group), saysOver(group), saysAnything(group)})
			require.Equal(t, test.words, describe(group))
		})
	}
}
