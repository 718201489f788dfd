package volcano

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/objecttest"
)

func TestNetworkTopology(t *testing.T) {
	tier2 := gang.Level{Tier: 2, Source: "spec.networkTopology.highestTierAllowed 2"}
	rack := gang.Level{TierName: "rack", Source: `spec.networkTopology.highestTierName "rack"`}
	for name, test := range map[string]struct {
		topology string
		want     gang.Wish
	}{
		"hard requires the highest tier":                            {`{mode: hard, highestTierAllowed: 2}`, gang.Wish{Required: tier2}},
		"soft prefers it":                                           {`{mode: soft, highestTierAllowed: 2}`, gang.Wish{Preferred: tier2}},
		"an absent mode is hard":                                    {`{highestTierAllowed: 2}`, gang.Wish{Required: tier2}},
		"so is an empty one":                                        {`{mode: "", highestTierAllowed: 2}`, gang.Wish{Required: tier2}},
		"a tier may be named":                                       {`{mode: hard, highestTierName: rack}`, gang.Wish{Required: rack}},
		"or be preferred by name":                                   {`{mode: soft, highestTierName: rack}`, gang.Wish{Preferred: rack}},
		"hard without a tier asks for no level":                     {`{mode: hard}`, gang.Wish{}},
		"so does soft":                                              {`{mode: soft}`, gang.Wish{}},
		"and an empty tier name":                                    {`{mode: hard, highestTierName: ""}`, gang.Wish{}},
		"a null topology wishes nothing":                            {`null`, gang.Wish{}},
		"an empty topology, which the CRD fills in, wishes nothing": {`{}`, gang.Wish{}},
		"fields of a later Volcano are passed over":                 {`{mode: hard, highestTierAllowed: 2, later: [1]}`, gang.Wish{Required: tier2}},
	} {
		t.Run(name, func(t *testing.T) {
			got := New().Translate(objecttest.PodGroup(t, `{networkTopology: `+test.topology+`}`, ""))
			assert.Empty(t, got.Invalid)
			assert.Equal(t, test.want, got.Wish)
		})
	}
}

func TestAWrongTopologyIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		spec, want string
	}{
		"a tier of 0": {
			`{networkTopology: {highestTierAllowed: 0}}`,
			"spec.networkTopology.highestTierAllowed is 0: it must be at least 1",
		},
		"a tier in words": {
			`{networkTopology: {highestTierAllowed: rack}}`,
			`spec.networkTopology.highestTierAllowed is "rack": it must be a whole number`,
		},
		"a tier name that is none": {
			`{networkTopology: {highestTierName: a rack}}`,
			`spec.networkTopology.highestTierName is "a rack": it must be a tier's name`,
		},
		"a tier name that is a number": {
			`{networkTopology: {highestTierName: 2}}`,
			`spec.networkTopology.highestTierName is 2: it must be a string`,
		},
		"a tier and a tier name": {
			`{networkTopology: {highestTierAllowed: 2, highestTierName: rack}}`,
			"spec.networkTopology has both highestTierAllowed and highestTierName: it must have one of them",
		},
		"a mode that is none": {
			`{networkTopology: {mode: firm, highestTierAllowed: 2}}`,
			`spec.networkTopology.mode is "firm": it must be "hard" or "soft"`,
		},
		"a topology that is no object": {
			`{networkTopology: hard}`,
			`spec.networkTopology is "hard": it must be an object`,
		},
		"policies that are no list": {
			`{subGroupPolicy: {name: a}}`,
			"spec.subGroupPolicy is an object: it must be a list",
		},
		"a policy that is no object": {
			`{subGroupPolicy: [{name: a}, b]}`,
			`spec.subGroupPolicy[1] is "b": it must be an object`,
		},
		"two policies of one name": {
			`{subGroupPolicy: [{name: a}, {name: b}, {name: a}]}`,
			`spec.subGroupPolicy[2].name is "a": it must be another name than those before it`,
		},
		"a sub-group of nobody": {
			`{subGroupPolicy: [{name: a, subGroupSize: 0}]}`,
			"spec.subGroupPolicy[0].subGroupSize is 0: it must be at least 1",
		},
		"fewer sub-groups than none": {
			`{subGroupPolicy: [{name: a, minSubGroups: -1}]}`,
			"spec.subGroupPolicy[0].minSubGroups is -1: it must be at least 0",
		},
		"a topology inside a policy": {
			`{subGroupPolicy: [{name: a, networkTopology: {highestTierAllowed: 1, highestTierName: rack}}]}`,
			"spec.subGroupPolicy[0].networkTopology has both highestTierAllowed and highestTierName: it must have one of them",
		},
		"a label that is none": {
			`{subGroupPolicy: [{name: a, labelSelector: {matchLabels: {z: x y, role: a b}}}]}`,
			`spec.subGroupPolicy[0].labelSelector.matchLabels.role is "a b": it must be a label's value, and its key a label's key`,
		},
		"an expression that is none": {
			`{subGroupPolicy: [{name: a, labelSelector: {matchExpressions: [{key: role, operator: Near, values: [a]}]}}]}`,
			`spec.subGroupPolicy[0].labelSelector.matchExpressions[0] (key "role", operator "Near", 1 values) is no expression of a label selector`,
		},
		"a label key that is none": {
			`{subGroupPolicy: [{name: a, matchLabelKeys: [a, ""]}]}`,
			`spec.subGroupPolicy[0].matchLabelKeys[1] is "": it must be a string that is not empty`,
		},
		"an annotation, though a field overrules it": {
			`{networkTopology: {highestTierAllowed: 2}}, metadata: {annotations: {kai.scheduler/topology-required-placement: ""}}`,
			`annotation kai.scheduler/topology-required-placement is "": it must be a level's name or a node label key`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, New().Translate(objecttest.Parse(t, `{spec: `+test.spec+`}`)).Invalid)
		})
	}
}

func TestSubGroupPolicies(t *testing.T) {
	got := New().Translate(objecttest.PodGroup(t, `{networkTopology: {highestTierAllowed: 3}, subGroupPolicy: [
		{name: worker, subGroupSize: 4, minSubGroups: 2, networkTopology: {mode: hard, highestTierAllowed: 1},
			labelSelector: {matchLabels: {volcano.sh/task-spec: worker}, matchExpressions: [{key: old, operator: DoesNotExist}]},
			matchLabelKeys: [volcano.sh/partition-id]},
		{name: rest}]}`, ""))
	assert.Empty(t, got.Invalid)
	assert.Equal(t, gang.Wish{Required: gang.Level{Tier: 3, Source: "spec.networkTopology.highestTierAllowed 3"}}, got.Wish)
	worker, rest := got.SubGroups[0], got.SubGroups[1]
	assert.Equal(t, "worker", worker.Name)
	assert.Equal(t, [2]int32{4, 2}, [2]int32{worker.Size, worker.Minimum})
	assert.Equal(t, gang.Level{Tier: 1, Source: "spec.subGroupPolicy[0].networkTopology.highestTierAllowed 1"}, worker.Wish.Required)
	assert.Equal(t, [2]int32{1, 0}, [2]int32{rest.Size, rest.Minimum}, "the type's defaults")
	assert.Zero(t, rest.Wish)

	for name, test := range map[string]struct {
		labels map[string]string
		rule   int
		key    string
	}{
		"a worker with a partition is of the partition": {map[string]string{"volcano.sh/task-spec": "worker", "volcano.sh/partition-id": "1"}, 0, "1"},
		"one without is of the rest":                    {map[string]string{"volcano.sh/task-spec": "worker"}, 1, ""},
		"so is one that an expression turns away": {map[string]string{
			"volcano.sh/task-spec": "worker", "volcano.sh/partition-id": "1", "old": "",
		}, 1, ""},
		"and any other pod, since a policy without a selector picks all": {nil, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rule, key, ok := gang.SubGroupOf(got.SubGroups, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: test.labels}}, "")
			assert.True(t, ok)
			assert.Equal(t, test.rule, rule)
			assert.Equal(t, test.key, key)
		})
	}
}

func TestAnnotationsAndFieldsHaveAnOrder(t *testing.T) {
	for name, test := range map[string]struct {
		object string
		want   gang.Wish
	}{
		"ours on the PodGroup goes before its field": {
			`{metadata: {annotations: {phalanx.dev/required-topology: rack}}, spec: {networkTopology: {highestTierAllowed: 2}}}`,
			gang.Wish{Required: gang.Level{Name: "rack", Source: `annotation phalanx.dev/required-topology "rack"`}},
		},
		"its field goes before Kueue's": {
			`{metadata: {annotations: {kueue.x-k8s.io/podset-required-topology: rack}}, spec: {networkTopology: {highestTierAllowed: 2}}}`,
			gang.Wish{Required: gang.Level{Tier: 2, Source: "spec.networkTopology.highestTierAllowed 2"}},
		},
		"a field that asks for no level leaves the word to KAI's": {
			`{metadata: {annotations: {kai.scheduler/topology-preferred-placement: rack}}, spec: {networkTopology: {mode: soft}}}`,
			gang.Wish{Preferred: gang.Level{Name: "rack", Source: `annotation kai.scheduler/topology-preferred-placement "rack"`}},
		},
		"KubeRay's labels are read on a PodGroup, too": {
			`{metadata: {labels: {volcano.sh/network-topology-highest-tier-allowed: "1"}}}`,
			gang.Wish{Required: gang.Level{Tier: 1, Source: `label volcano.sh/network-topology-highest-tier-allowed "1"`}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := New().Translate(objecttest.Parse(t, test.object))
			assert.Empty(t, got.Invalid)
			assert.Equal(t, test.want, got.Wish)
		})
	}
}
