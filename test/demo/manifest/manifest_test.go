package manifest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/demo/manifest"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

func TestEveryDialectSaysTheSame(t *testing.T) {
	for _, dialect := range manifest.Dialects {
		t.Run(dialect.Name, func(t *testing.T) {
			g := manifest.Gang{Dialect: dialect, Namespace: "ns", Name: "job-1", Members: 3, GPUsPerMember: 8, RunFor: 1500 * time.Millisecond}
			group := g.PodGroup()
			require.Equal(t, 3, manifest.MinMember(group))
			written, err := manifest.DialectOf(group)
			require.NoError(t, err)
			require.Equal(t, dialect, written)

			pod := g.Pod(2)
			require.Equal(t, "job-1-2", pod.Name)
			require.Equal(t, "1.5s", pod.Annotations[controlplane.AnnotationRunFor])
			require.Equal(t, dialect.SchedulerName, pod.Spec.SchedulerName)
			key, isMember := oracle.GangOf(pod)
			require.True(t, isMember)
			require.Equal(t, g.Key(), key)
			require.EqualValues(t, 24, g.GPUs())
		})
	}
}

func TestOtherObjectsAreNoPodGroups(t *testing.T) {
	other := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "batch/v1", "kind": "Job"}}
	_, err := manifest.DialectOf(other)
	require.EqualError(t, err, "batch/v1, Kind=Job is the PodGroup of no dialect")
	require.Zero(t, manifest.MinMember(other))
}
