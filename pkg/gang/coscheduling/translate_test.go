package coscheduling

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
		"an absent minMember is the type's minimum": {
			spec: `{}`,
			want: gang.Group{MinMember: 1},
		},
		"so is 0": {
			spec: `{minMember: 0}`,
			want: gang.Group{MinMember: 1},
		},
		"minMember, minResources and the timeout are read": {
			spec: `{minMember: 8, minResources: {nvidia.com/gpu: 64, limits.cpu: "4"}, scheduleTimeoutSeconds: 90}`,
			want: gang.Group{
				MinMember: 8, ScheduleTimeout: 90 * time.Second,
				MinResources: v1.ResourceList{"nvidia.com/gpu": resource.MustParse("64")},
			},
		},
		"a timeout of 0 is none": {
			spec: `{minMember: 8, scheduleTimeoutSeconds: 0}`,
			want: gang.Group{MinMember: 8},
		},
		"a null timeout is none": {
			spec: `{minMember: 8, scheduleTimeoutSeconds: null}`,
			want: gang.Group{MinMember: 8},
		},
		"the longest timeout does not overflow": {
			spec: `{minMember: 8, scheduleTimeoutSeconds: 2147483647}`,
			want: gang.Group{MinMember: 8, ScheduleTimeout: 2147483647 * time.Second},
		},
		"a huge minMember is sound": {
			spec: `{minMember: 2147483647}`,
			want: gang.Group{MinMember: 2147483647},
		},
		"Volcano's fields mean nothing here": {
			spec: `{minMember: 2, minTaskMember: {a: -1}, priorityClassName: 7, queue: q}`,
			want: gang.Group{MinMember: 2},
		},
		"a negative minMember is named": {
			spec: `{minMember: -2}`,
			want: gang.Group{MinMember: 1, Invalid: "spec.minMember is -2: it must be at least 0"},
		},
		"a negative timeout is named": {
			spec: `{minMember: 2, scheduleTimeoutSeconds: -1}`,
			want: gang.Group{MinMember: 2, Invalid: "spec.scheduleTimeoutSeconds is -1: it must be at least 0"},
		},
		"a timeout with a unit is named": {
			spec: `{minMember: 2, scheduleTimeoutSeconds: 10s}`,
			want: gang.Group{MinMember: 2, Invalid: `spec.scheduleTimeoutSeconds is "10s": it must be a whole number`},
		},
		"resources that are no object are named": {
			spec: `{minMember: 2, minResources: [cpu]}`,
			want: gang.Group{MinMember: 2, Invalid: "spec.minResources is a list: it must be an object"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Key = gang.Key{Dialect: "coscheduling", Namespace: "ns", Name: "train"}
			objecttest.AssertGroup(t, test.want, *New().Translate(objecttest.PodGroup(t, test.spec, "")))
		})
	}
}

func TestAnnotationsStateTheWish(t *testing.T) {
	for name, test := range map[string]struct {
		annotations string
		want        gang.Wish
		invalid     string
	}{
		"none wishes nothing": {annotations: `{}`},
		"ours goes before Kueue's": {
			annotations: `{phalanx.dev/required-topology: rack, kueue.x-k8s.io/podset-required-topology: block}`,
			want:        gang.Wish{Required: gang.Level{Name: "rack", Source: `annotation phalanx.dev/required-topology "rack"`}},
		},
		"Kueue's is read": {
			annotations: `{kueue.x-k8s.io/podset-preferred-topology: block}`,
			want:        gang.Wish{Preferred: gang.Level{Name: "block", Source: `annotation kueue.x-k8s.io/podset-preferred-topology "block"`}},
		},
		"a wrong one makes the group invalid": {
			annotations: `{phalanx.dev/slice-size: "-1", phalanx.dev/slice-topology: rack}`,
			invalid:     `annotation phalanx.dev/slice-size is "-1": it must be at least 1`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := New().Translate(objecttest.Parse(t, `{metadata: {annotations: `+test.annotations+`}, spec: {minMember: 2}}`))
			assert.Equal(t, test.want, got.Wish)
			assert.Equal(t, test.invalid, got.Invalid)
		})
	}
}

func TestAPodNamesItsGroup(t *testing.T) {
	for name, test := range map[string]struct {
		pod   metav1.ObjectMeta
		group string
	}{
		"a plain pod names none": {},
		"the label names it": {
			pod:   metav1.ObjectMeta{Labels: map[string]string{"scheduling.x-k8s.io/pod-group": "train"}},
			group: "train",
		},
		"an annotation of that name does not": {
			pod: metav1.ObjectMeta{Annotations: map[string]string{"scheduling.x-k8s.io/pod-group": "train"}},
		},
		"the label of very old releases does not": {
			pod: metav1.ObjectMeta{Labels: map[string]string{"pod-group.scheduling.sigs.k8s.io": "train"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &v1.Pod{ObjectMeta: test.pod}
			assert.Equal(t, test.group, New().GroupName(pod))
			assert.Empty(t, New().Role(pod))
		})
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add([]byte(`{"spec":{"minMember":3,"scheduleTimeoutSeconds":60}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		object := &unstructured.Unstructured{}
		if json.Unmarshal(data, &object.Object) != nil {
			t.Skip("no JSON object")
		}
		objecttest.AssertTranslates(t, New(), object)
		objecttest.AssertStatus(t, New(), object, gang.Progress{Pending: 1}, noon)
	})
}

func TestAnyJSONTranslates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object := objecttest.AnyPodGroup(t, "minMember", "minResources", "minResources.cpu", "scheduleTimeoutSeconds")
		objecttest.AssertTranslates(t, New(), object)
		objecttest.AssertStatus(t, New(), object, objecttest.AnyProgress(t), noon)
	})
}
