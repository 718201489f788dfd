package native

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/objecttest"
)

func TestTranslate(t *testing.T) {
	for name, test := range map[string]struct {
		spec string
		want gang.Group
	}{
		"a gang's minimum is its minCount": {
			spec: `{schedulingPolicy: {gang: {minCount: 8}}}`,
			want: gang.Group{MinMember: 8},
		},
		"a basic group has none: its pods start alone": {
			spec: `{schedulingPolicy: {basic: {}}}`,
		},
		"priority and priority class are the group's": {
			spec: `{schedulingPolicy: {gang: {minCount: 2}}, priority: -5, priorityClassName: low, preemptionPolicy: Never}`,
			want: gang.Group{MinMember: 2, Priority: ptr.To(int32(-5)), PriorityClassName: "low"},
		},
		"a huge minCount is sound": {
			spec: `{schedulingPolicy: {gang: {minCount: 2147483647}}}`,
			want: gang.Group{MinMember: 2147483647},
		},
		"fields of a later Kubernetes are passed over": {
			spec: `{schedulingPolicy: {gang: {minCount: 2, colour: red}}, later: [1]}`,
			want: gang.Group{MinMember: 2},
		},
		"its topology constraint requires a level": {
			spec: `{schedulingPolicy: {basic: {}}, schedulingConstraints: {topology: [{key: example.com/rack}]}}`,
			want: gang.Group{Wish: gang.Wish{Required: gang.Level{
				Name: "example.com/rack", Source: `spec.schedulingConstraints.topology[0].key "example.com/rack"`,
			}}},
		},
		"an empty list of constraints wishes nothing": {
			spec: `{schedulingPolicy: {basic: {}}, schedulingConstraints: {topology: []}}`,
		},
		"a constraint without a key is named": {
			spec: `{schedulingPolicy: {basic: {}}, schedulingConstraints: {topology: [{}]}}`,
			want: gang.Group{Invalid: "spec.schedulingConstraints.topology[0].key is missing: it must be a node label key"},
		},
		"a constraint with an empty key is named": {
			spec: `{schedulingPolicy: {basic: {}}, schedulingConstraints: {topology: [{key: ""}]}}`,
			want: gang.Group{Invalid: `spec.schedulingConstraints.topology[0].key is "": it must be a level's name or a node label key`},
		},
		"a second constraint is named": {
			spec: `{schedulingPolicy: {basic: {}}, schedulingConstraints: {topology: [{key: ""}, {key: rack}]}}`,
			want: gang.Group{Invalid: `spec.schedulingConstraints.topology[1] is one too many: there must be at most one constraint`},
		},
		"minCount 0 is named": {
			spec: `{schedulingPolicy: {gang: {minCount: 0}}}`,
			want: gang.Group{Invalid: "spec.schedulingPolicy.gang.minCount is 0: it must be at least 1"},
		},
		"a gang without minCount is named": {
			spec: `{schedulingPolicy: {gang: {}}}`,
			want: gang.Group{Invalid: "spec.schedulingPolicy.gang.minCount is missing: it must be at least 1"},
		},
		"two policies are named": {
			spec: `{schedulingPolicy: {gang: {minCount: 2}, basic: {}}}`,
			want: gang.Group{Invalid: "spec.schedulingPolicy has both basic and gang: it must have one of them"},
		},
		"a policy of a later Kubernetes is named": {
			spec: `{schedulingPolicy: {elastic: {minCount: 2}}}`,
			want: gang.Group{Invalid: "spec.schedulingPolicy has neither basic nor gang: it must have one of them"},
		},
		"no policy at all is named": {
			spec: `{}`,
			want: gang.Group{Invalid: "spec.schedulingPolicy has neither basic nor gang: it must have one of them"},
		},
		"a priority in words is named": {
			spec: `{schedulingPolicy: {basic: {}}, priority: high}`,
			want: gang.Group{Invalid: `spec.priority is "high": it must be a whole number`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Key = gang.Key{Dialect: "native", Namespace: "ns", Name: "train"}
			got := New().Translate(objecttest.PodGroup(t, test.spec, ""))
			assert.True(t, got.Native != nil || got.Invalid != "", "a sound group carries its object")
			got.Native = nil
			objecttest.AssertGroup(t, test.want, *got)
		})
	}
}

func TestOurAnnotationGoesBeforeTheConstraint(t *testing.T) {
	got := New().Translate(objecttest.Parse(t, `{metadata: {annotations: {phalanx.dev/required-topology: block}},
		spec: {schedulingPolicy: {basic: {}}, schedulingConstraints: {topology: [{key: rack}]}}}`))
	require.Empty(t, got.Invalid)
	assert.Equal(t, "block", got.Wish.Required.Name)
}

func TestTheObjectItselfGoesIntoTheCore(t *testing.T) {
	got := New().Translate(objecttest.PodGroup(t, `{schedulingPolicy: {gang: {minCount: 2}}, preemptionPolicy: Never,
		schedulingConstraints: {topology: [{key: rack}]}, disruptionMode: {all: {}}, resourceClaims: [{name: a, resourceClaimName: b}]}`, ""))
	require.Empty(t, got.Invalid)
	require.NotNil(t, got.Native)
	assert.EqualValues(t, "Never", *got.Native.Spec.PreemptionPolicy)
	assert.Equal(t, "rack", got.Native.Spec.SchedulingConstraints.Topology[0].Key)
	assert.NotNil(t, got.Native.Spec.DisruptionMode.All)
	assert.Equal(t, "b", *got.Native.Spec.ResourceClaims[0].ResourceClaimName)
	assert.Equal(t, "train", got.InMemory(2, 0, "1").Name)
}

func TestAFieldThatOnlyTheCoreReadsIsNamedWhenItDoesNotFit(t *testing.T) {
	got := New().Translate(objecttest.PodGroup(t, `{schedulingPolicy: {basic: {}}, schedulingConstraints: 7}`, ""))
	assert.Contains(t, got.Invalid, "schedulingConstraints")
	assert.Nil(t, got.Native)
}

func TestAPodNamesItsGroup(t *testing.T) {
	for name, test := range map[string]struct {
		group *v1.PodSchedulingGroup
		want  string
	}{
		"a plain pod names none":          {},
		"an empty reference names none":   {group: &v1.PodSchedulingGroup{}},
		"the reference names it":          {group: &v1.PodSchedulingGroup{PodGroupName: ptr.To("train")}, want: "train"},
		"an in-memory name is no claim":   {group: &v1.PodSchedulingGroup{PodGroupName: ptr.To("volcano:train")}},
		"nor is one of an unknown sender": {group: &v1.PodSchedulingGroup{PodGroupName: ptr.To("x:y")}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &v1.Pod{Spec: v1.PodSpec{SchedulingGroup: test.group}}
			assert.Equal(t, test.want, New().GroupName(pod))
			assert.Empty(t, New().Role(pod))
		})
	}
}

func TestTheStatusIsTheCoresToWriteButForLostMembers(t *testing.T) {
	const spec = `{schedulingPolicy: {gang: {minCount: 4}}}`
	noon := metav1.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	lost := gang.Repair{Phase: gang.Repairing, Missing: 1, Minimum: 4, Kept: 1, Until: noon.Add(5 * time.Minute)}
	const cores = `{type: PodGroupInitiallyScheduled, status: "True", reason: Scheduled}`
	const repairing = `{type: phalanx.dev/UnderRepair, status: "True", reason: MembersLost, lastTransitionTime: "2026-08-01T12:00:00Z",
		message: 1 of 4 members is missing; its place is kept until 2026-08-01T12:05:00Z}`
	for name, c := range map[string]struct {
		before string
		repair gang.Repair
		want   string // "" if there is nothing to write
	}{
		"a gang that lost nobody":      {`{conditions: [` + cores + `]}`, gang.Repair{}, ""},
		"one that lost a member":       {`{conditions: [` + cores + `]}`, lost, `{conditions: [` + cores + `, ` + repairing + `]}`},
		"one of which that is said":    {`{conditions: [` + repairing + `]}`, lost, ""},
		"one whose member is replaced": {`{conditions: [` + repairing + `]}`, gang.Repair{}, `{conditions: [{type: phalanx.dev/UnderRepair, status: "False", reason: Repaired, message: "", lastTransitionTime: "2026-08-01T12:00:00Z"}]}`},
		"one whose places are kept no longer": {`{conditions: [` + repairing + `]}`, gang.Repair{Phase: gang.GivenUp, Missing: 1, Minimum: 4},
			`{conditions: [{type: phalanx.dev/UnderRepair, status: "False", reason: RepairTimeout, message: 1 of 4 members is missing; places are kept no longer, lastTransitionTime: "2026-08-01T12:00:00Z"}]}`},
		"conditions that are none": {`{conditions: [1, theirs]}`, lost, `{conditions: [1, theirs, ` + repairing + `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			object := objecttest.PodGroup(t, spec, c.before)
			got := New().Status(object, gang.Progress{Running: 3, Repair: c.repair}, noon)
			if c.want == "" {
				assert.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			assert.Equal(t, objecttest.PodGroup(t, spec, c.want).Object, got.Object)
		})
	}
}

func TestTheStatusOfAnyObject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objecttest.AssertStatus(t, New(), objecttest.AnyPodGroup(t), objecttest.AnyProgress(t), metav1.Unix(0, 0))
	})
}

func FuzzTranslate(f *testing.F) {
	f.Add([]byte(`{"spec":{"schedulingPolicy":{"gang":{"minCount":3}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		object := &unstructured.Unstructured{}
		if json.Unmarshal(data, &object.Object) != nil {
			t.Skip("no JSON object")
		}
		objecttest.AssertTranslates(t, New(), object)
	})
}

func TestAnyJSONTranslates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objecttest.AssertTranslates(t, New(), objecttest.AnyPodGroup(t, "schedulingPolicy", "schedulingPolicy.gang",
			"schedulingPolicy.gang.minCount", "schedulingPolicy.basic", "priority", "priorityClassName", "disruptionMode",
			"schedulingConstraints", "schedulingConstraints.topology"))
	})
}
