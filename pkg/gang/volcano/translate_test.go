package volcano

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/json"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/objecttest"
)

func TestTranslate(t *testing.T) {
	for name, test := range map[string]struct {
		spec string
		want gang.Group
	}{
		"an empty spec is a group whose members may start alone": {
			spec: `{}`,
		},
		"an absent spec is one, too": {
			spec: `null`,
		},
		"minMember 0 is kept": {
			spec: `{minMember: 0}`,
		},
		"minMember beyond any cluster is sound: the gang simply waits": {
			spec: `{minMember: 2147483647}`,
			want: gang.Group{MinMember: 2147483647},
		},
		"a whole number with a decimal point is a whole number": {
			spec: `{minMember: 4.0}`,
			want: gang.Group{MinMember: 4},
		},
		"every field that Kubeflow and KubeRay write is read or passed over": {
			spec: `{minMember: 3, queue: research, priorityClassName: high, minResources: {cpu: "3", nvidia.com/gpu: 24},
				networkTopology: {mode: hard, highestTierAllowed: 2}, subGroupPolicy: [{name: a, subGroupSize: 4}]}`,
			want: gang.Group{
				MinMember: 3, PriorityClassName: "high",
				Wish:         gang.Wish{Required: gang.Level{Tier: 2, Source: "spec.networkTopology.highestTierAllowed 2"}},
				SubGroups:    []gang.SubGroup{{Name: "a", Size: 4, Selector: labels.Everything()}},
				MinResources: v1.ResourceList{"cpu": resource.MustParse("3"), "nvidia.com/gpu": resource.MustParse("24")},
			},
		},
		"quota names in minResources, which Volcano's Job controller writes, are passed over": {
			spec: `{minMember: 2, minResources: {count/pods: "2", pods: "2", cpu: 3500m, requests.cpu: 3500m, limits.cpu: 3500m,
				nvidia.com/gpu: "8", requests.nvidia.com/gpu: "8", hugepages-2Mi: 1Gi, gpus: "1"}}`,
			want: gang.Group{MinMember: 2, MinResources: v1.ResourceList{
				"pods": resource.MustParse("2"), "cpu": resource.MustParse("3500m"),
				"nvidia.com/gpu": resource.MustParse("8"), "hugepages-2Mi": resource.MustParse("1Gi"),
			}},
		},
		"minima per role bind where minMember is their sum": {
			spec: `{minMember: 4, minTaskMember: {master: 1, worker: 3}}`,
			want: gang.Group{MinMember: 4, MinPerRole: map[string]int32{"master": 1, "worker": 3}},
		},
		"minima per role bind where minMember is more than their sum": {
			spec: `{minMember: 6, minTaskMember: {master: 1, worker: 3}}`,
			want: gang.Group{MinMember: 6, MinPerRole: map[string]int32{"master": 1, "worker": 3}},
		},
		"minima per role do not bind where minMember is less than their sum": {
			spec: `{minMember: 2, minTaskMember: {master: 1, worker: 3}}`,
			want: gang.Group{MinMember: 2},
		},
		"minima per role whose sum exceeds 32 bits do not bind": {
			spec: `{minMember: 2, minTaskMember: {a: 2147483647, b: 2147483647}}`,
			want: gang.Group{MinMember: 2},
		},
		"a role with minimum 0 has none": {
			spec: `{minMember: 1, minTaskMember: {master: 1, worker: 0}}`,
			want: gang.Group{MinMember: 1, MinPerRole: map[string]int32{"master": 1}},
		},
		"unknown fields are passed over": {
			spec: `{minMember: 1, colour: {red: true}}`,
			want: gang.Group{MinMember: 1},
		},
		"a negative minMember is named": {
			spec: `{minMember: -1}`,
			want: gang.Group{Invalid: "spec.minMember is -1: it must be at least 0"},
		},
		"a minMember in words is named": {
			spec: `{minMember: eight}`,
			want: gang.Group{Invalid: `spec.minMember is "eight": it must be a whole number`},
		},
		"half a member is named": {
			spec: `{minMember: 1.5}`,
			want: gang.Group{Invalid: "spec.minMember is 1.5: it must be a whole number"},
		},
		"a minMember of more than 32 bits is named": {
			spec: `{minMember: 2147483648}`,
			want: gang.Group{Invalid: "spec.minMember is 2147483648: it must be at most 2147483647"},
		},
		"a list for a number is named and not spelled out": {
			spec: `{minMember: [1, 2]}`,
			want: gang.Group{Invalid: "spec.minMember is a list: it must be a whole number"},
		},
		"a spec that is no object is named": {
			spec: `[]`,
			want: gang.Group{Invalid: "spec is a list: it must be an object"},
		},
		"a negative minimum of a role is named with its role": {
			spec: `{minMember: 1, minTaskMember: {worker: -3}}`,
			want: gang.Group{MinMember: 1, Invalid: "spec.minTaskMember.worker is -3: it must be at least 0"},
		},
		"roles that are no object are named": {
			spec: `{minMember: 1, minTaskMember: 3}`,
			want: gang.Group{MinMember: 1, Invalid: "spec.minTaskMember is 3: it must be an object"},
		},
		"a quantity that is none is named, and the sound ones are kept": {
			spec: `{minMember: 1, minResources: {cpu: lots, memory: 1Gi}}`,
			want: gang.Group{
				MinMember: 1, MinResources: v1.ResourceList{"memory": resource.MustParse("1Gi")},
				Invalid: `spec.minResources.cpu is "lots": it must be a quantity`,
			},
		},
		"a negative quantity is named": {
			spec: `{minMember: 1, minResources: {nvidia.com/gpu: "-8"}}`,
			want: gang.Group{MinMember: 1, Invalid: `spec.minResources.nvidia.com/gpu is "-8": it must be at least 0`},
		},
		"a quantity that would keep the parser busy for minutes is named": {
			spec: `{minMember: 1, minResources: {cpu: "1e-999999999"}}`,
			want: gang.Group{MinMember: 1, Invalid: `spec.minResources.cpu is "1e-999999999": it must be a quantity`},
		},
		"a priority class that is no string is named": {
			spec: `{minMember: 1, priorityClassName: 1000}`,
			want: gang.Group{MinMember: 1, Invalid: "spec.priorityClassName is 1000: it must be a string"},
		},
		"of two wrong fields the first in the order of reading is named": {
			spec: `{minMember: -1, priorityClassName: 1000, minTaskMember: {b: -1, a: -2}}`,
			want: gang.Group{Invalid: "spec.minMember is -1: it must be at least 0"},
		},
		"a value without end is clipped": {
			spec: `{minMember: "0123456789012345678901234567890123456789012345678901234567890123456789"}`,
			want: gang.Group{Invalid: `spec.minMember is "012345678901234567890123456789012345678…: it must be a whole number`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Key = gang.Key{Dialect: "volcano", Namespace: "ns", Name: "train"}
			got := New().Translate(objecttest.PodGroup(t, test.spec, ""))
			objecttest.AssertGroup(t, test.want, *got)
		})
	}
}

func TestTranslateKeepsWhoTheObjectIs(t *testing.T) {
	object := objecttest.PodGroup(t, `{minMember: 1}`, "")
	object.SetUID("u1")
	object.SetGeneration(7)
	object.SetResourceVersion("42")
	object.SetAnnotations(map[string]string{"a": "b"})
	object.SetOwnerReferences([]metav1.OwnerReference{{Kind: "Job", Name: "train"}})
	got := New().Translate(object)
	assert.EqualValues(t, "u1", got.UID)
	assert.EqualValues(t, 7, got.Generation)
	assert.Equal(t, "42", got.ResourceVersion)
	assert.Equal(t, map[string]string{"a": "b"}, got.Annotations)
	assert.Equal(t, "Job", got.Owners[0].Kind)
}

func TestAPodNamesItsGroupAndRole(t *testing.T) {
	for name, test := range map[string]struct {
		pod         metav1.ObjectMeta
		group, role string
	}{
		"a plain pod names none": {},
		"the annotation names the group": {
			pod:   metav1.ObjectMeta{Annotations: map[string]string{"scheduling.k8s.io/group-name": "train"}},
			group: "train",
		},
		"a label of that name does not": {
			pod: metav1.ObjectMeta{Labels: map[string]string{"scheduling.k8s.io/group-name": "train"}},
		},
		"Volcano's key for controllers does not": {
			pod: metav1.ObjectMeta{Annotations: map[string]string{"scheduling.volcano.sh/group-name": "train"}},
		},
		"the annotation names the role": {
			pod:  metav1.ObjectMeta{Annotations: map[string]string{"volcano.sh/task-spec": "head"}},
			role: "head",
		},
		"the label names the role where the annotation does not": {
			pod:  metav1.ObjectMeta{Labels: map[string]string{"volcano.sh/task-spec": "worker"}},
			role: "worker",
		},
		"the annotation goes before the label": {
			pod: metav1.ObjectMeta{
				Annotations: map[string]string{"volcano.sh/task-spec": "head"},
				Labels:      map[string]string{"volcano.sh/task-spec": "worker"},
			},
			role: "head",
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &v1.Pod{ObjectMeta: test.pod}
			assert.Equal(t, test.group, New().GroupName(pod))
			assert.Equal(t, test.role, New().Role(pod))
		})
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add([]byte(`{"spec":{"minMember":3,"minResources":{"cpu":"1"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		object := &unstructured.Unstructured{}
		if json.Unmarshal(data, &object.Object) != nil {
			t.Skip("no JSON object")
		}
		objecttest.AssertTranslates(t, New(), object)
		objecttest.AssertStatus(t, New(), object, gang.Progress{Pending: 1, Waiting: incomplete}, noon)
	})
}

func TestAnyJSONTranslates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object := objecttest.AnyPodGroup(t, "minMember", "minTaskMember", "minTaskMember.a", "minResources", "minResources.cpu", "priorityClassName",
			"networkTopology", "networkTopology.mode", "networkTopology.highestTierAllowed", "networkTopology.highestTierName", "subGroupPolicy")
		objecttest.AssertTranslates(t, New(), object)
		objecttest.AssertStatus(t, New(), object, objecttest.AnyProgress(t), noon)
	})
}
