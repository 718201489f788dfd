// Package operators holds the test that the dialects understand what operators write, on the manifests in
// test/integration/testdata/operators.
package operators

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	coschedulingv1alpha1 "sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"
	"sigs.k8s.io/yaml"
	volcanov1beta1 "volcano.sh/apis/pkg/apis/scheduling/v1beta1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/coscheduling"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/objecttest"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/native"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano"
)

const folder = "../../../../test/integration/testdata/operators"

var dialects = []gang.Dialect{volcano.New(), coscheduling.New(), native.New()}

// manifests are the objects of all files.
type manifests struct {
	groups  map[gang.Key]*gang.Group
	members map[gang.Key][]member
}

type member struct {
	role      string
	scheduler string
	file      string
}

func TestEveryPodFindsItsGroup(t *testing.T) {
	all := load(t)
	for key, members := range all.members {
		assert.Contains(t, all.groups, key, "the group of a pod in %s", members[0].file)
	}
}

func TestEveryGroupIsSoundAndCanBeComplete(t *testing.T) {
	all := load(t)
	for key, group := range all.groups {
		members := all.members[key]
		assert.Empty(t, group.Invalid, "%s", key)
		assert.Positive(t, group.MinMember, "%s", key)
		assert.GreaterOrEqual(t, len(members), int(group.MinMember), "%s", key)
		roles := map[string]int32{}
		for _, member := range members {
			roles[member.role]++
			assert.Equal(t, members[0].scheduler, member.scheduler, "%s", key)
		}
		for role, minimum := range group.MinPerRole {
			assert.GreaterOrEqual(t, roles[role], minimum, "%s: role %s", key, role)
		}
	}
}

func TestTheSchedulersNameIsWhatTheOperatorSets(t *testing.T) {
	for key, members := range load(t).members {
		switch {
		case key.Dialect == volcano.Name:
			assert.Equal(t, "volcano", members[0].scheduler, members[0].file)
		case key.Dialect == coscheduling.Name && !strings.HasPrefix(members[0].file, "spark"):
			assert.Equal(t, "scheduler-plugins-scheduler", members[0].scheduler, members[0].file)
		default:
			assert.Equal(t, "phalanx", members[0].scheduler, members[0].file)
		}
	}
}

func TestTheVolcanoJobHasItsPodsInAFileOfTheirOwn(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(folder, "volcano-job.yaml"))
	require.NoError(t, err)
	group := volcano.New().Translate(objecttest.Parse(t, string(data)))
	assert.Equal(t, map[string]int32{"master": 1, "worker": 3}, group.MinPerRole)
	assert.Len(t, group.MinResources, 3, "cpu, pods and nvidia.com/gpu are left of what the controller writes")
}

// load reads all files, strictly: a field that no API type has is a mistake in the file.
func load(t *testing.T) manifests {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := manifests{groups: map[gang.Key]*gang.Group{}, members: map[gang.Key][]member{}}
	for _, path := range files {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.True(t, bytes.HasPrefix(data, []byte("# ")), "%s: a comment on top says which operator writes this", path)
		assert.Contains(t, string(data), "Expect", "%s: the comment says what to expect", path)
		reader := utilyaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(data)))
		for {
			document := make([]byte, len(data))
			n, err := reader.Read(document)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, path)
			all.add(t, filepath.Base(path), document[:n])
		}
	}
	return all
}

func (m *manifests) add(t *testing.T, file string, document []byte) {
	object := objecttest.Parse(t, string(document))
	switch object.GetKind() {
	case "PodGroup":
		m.addGroup(t, file, object, document)
	case "Pod":
		pod := &v1.Pod{}
		require.NoError(t, yaml.UnmarshalStrict(document, pod), file)
		m.addMembers(t, file, pod, 1)
	case "Job":
		job := &batchv1.Job{}
		require.NoError(t, yaml.UnmarshalStrict(document, job), file)
		m.addMembers(t, file, &v1.Pod{ObjectMeta: job.Spec.Template.ObjectMeta, Spec: job.Spec.Template.Spec}, *job.Spec.Parallelism)
	case "PriorityClass":
	default:
		t.Errorf("%s: this test does not know %s", file, object.GetKind())
	}
}

func (m *manifests) addGroup(t *testing.T, file string, object *unstructured.Unstructured, document []byte) {
	known := map[string]any{
		volcano.Name: &volcanov1beta1.PodGroup{}, coscheduling.Name: &coschedulingv1alpha1.PodGroup{}, gang.NativeName: &schedulingv1beta1.PodGroup{},
	}
	for _, dialect := range dialects {
		if object.GetAPIVersion() != dialect.Resource().GroupVersion().String() {
			continue
		}
		require.NoError(t, yaml.UnmarshalStrict(document, known[dialect.Name()]), file)
		group := dialect.Translate(object)
		require.NotContains(t, m.groups, group.Key, file)
		m.groups[group.Key] = group
		return
	}
	t.Errorf("%s: no dialect reads %s", file, object.GetAPIVersion())
}

func (m *manifests) addMembers(t *testing.T, file string, pod *v1.Pod, count int32) {
	claims := 0
	for _, dialect := range dialects {
		name := dialect.GroupName(pod)
		if name == "" {
			continue
		}
		claims++
		key := gang.Key{Dialect: dialect.Name(), Name: name}
		for range count {
			m.members[key] = append(m.members[key], member{role: dialect.Role(pod), scheduler: pod.Spec.SchedulerName, file: file})
		}
	}
	assert.Equal(t, 1, claims, "%s: pod %s belongs to one gang", file, pod.Name)
	for _, container := range pod.Spec.Containers {
		assert.NotEmpty(t, container.Resources.Limits, "%s: pod %s asks for something", file, pod.Name)
	}
}
