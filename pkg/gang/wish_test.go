package gang_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/objecttest"
)

type texts = map[string]string

// named is a level by its name, as an annotation states it.
func named(key, name string) gang.Level {
	return gang.Level{Name: name, Source: "annotation " + key + ` "` + name + `"`}
}

func TestStatedWish(t *testing.T) {
	const zone = "topology.kubernetes.io/zone"
	for name, test := range map[string]struct {
		annotations, labels texts
		field               gang.Wish
		want                gang.Wish
	}{
		"nothing is wished by no annotation": {},
		"nor by annotations of others": {
			annotations: texts{"phalanx.dev/colour": "red", "kai.scheduler/topology": "cluster", "": "x"},
		},
		"our annotations require and prefer a level": {
			annotations: texts{"phalanx.dev/required-topology": "block", "phalanx.dev/preferred-topology": zone},
			want: gang.Wish{
				Required:  named("phalanx.dev/required-topology", "block"),
				Preferred: named("phalanx.dev/preferred-topology", zone),
			},
		},
		"our annotations ask for slices": {
			annotations: texts{"phalanx.dev/slice-topology": "rack", "phalanx.dev/slice-size": "4"},
			want: gang.Wish{SliceSize: 4, Slice: gang.Level{
				Name: "rack", Source: `annotation phalanx.dev/slice-topology "rack" of phalanx.dev/slice-size "4"`,
			}},
		},
		"the largest slice is sound": {
			annotations: texts{"phalanx.dev/slice-topology": "rack", "phalanx.dev/slice-size": "2147483647"},
			want: gang.Wish{SliceSize: 2147483647, Slice: gang.Level{
				Name: "rack", Source: `annotation phalanx.dev/slice-topology "rack" of phalanx.dev/slice-size "2147483647"`,
			}},
		},
		"Kueue's say all that ours do": {
			annotations: texts{
				"kueue.x-k8s.io/podset-required-topology": zone, "kueue.x-k8s.io/podset-preferred-topology": "rack",
				"kueue.x-k8s.io/podset-slice-required-topology": "rack", "kueue.x-k8s.io/podset-slice-size": "2",
			},
			want: gang.Wish{
				Required:  named("kueue.x-k8s.io/podset-required-topology", zone),
				Preferred: named("kueue.x-k8s.io/podset-preferred-topology", "rack"),
				SliceSize: 2, Slice: gang.Level{
					Name: "rack", Source: `annotation kueue.x-k8s.io/podset-slice-required-topology "rack" of kueue.x-k8s.io/podset-slice-size "2"`,
				},
			},
		},
		"Kueue's unconstrained topology is no wish": {
			annotations: texts{"kueue.x-k8s.io/podset-unconstrained-topology": "true"},
		},
		"KAI's require and prefer": {
			annotations: texts{"kai.scheduler/topology-required-placement": zone, "kai.scheduler/topology-preferred-placement": "rack"},
			want: gang.Wish{
				Required:  named("kai.scheduler/topology-required-placement", zone),
				Preferred: named("kai.scheduler/topology-preferred-placement", "rack"),
			},
		},
		"Volcano's hard mode requires its tier": {
			annotations: texts{"volcano.sh/network-topology-mode": "hard", "volcano.sh/network-topology-highest-tier": "2"},
			want:        gang.Wish{Required: gang.Level{Tier: 2, Source: `annotation volcano.sh/network-topology-highest-tier "2"`}},
		},
		"Volcano's soft mode prefers it": {
			annotations: texts{"volcano.sh/network-topology-mode": "Soft", "volcano.sh/network-topology-highest-tier": "2"},
			want:        gang.Wish{Preferred: gang.Level{Tier: 2, Source: `annotation volcano.sh/network-topology-highest-tier "2"`}},
		},
		"a tier without a mode is hard": {
			annotations: texts{"volcano.sh/network-topology-highest-tier": "1"},
			want:        gang.Wish{Required: gang.Level{Tier: 1, Source: `annotation volcano.sh/network-topology-highest-tier "1"`}},
		},
		"a mode without a tier asks for no level": {
			annotations: texts{"volcano.sh/network-topology-mode": "hard"},
		},
		"KubeRay's labels are understood": {
			labels: texts{"volcano.sh/network-topology-mode": "soft", "volcano.sh/network-topology-highest-tier-allowed": "3"},
			want:   gang.Wish{Preferred: gang.Level{Tier: 3, Source: `label volcano.sh/network-topology-highest-tier-allowed "3"`}},
		},
		"either spelling is, as either": {
			labels:      texts{"volcano.sh/network-topology-highest-tier": "3"},
			annotations: texts{"volcano.sh/network-topology-highest-tier-allowed": "2"},
			want:        gang.Wish{Required: gang.Level{Tier: 3, Source: `label volcano.sh/network-topology-highest-tier "3"`}},
		},
		"the annotation goes before the label": {
			labels:      texts{"volcano.sh/network-topology-highest-tier": "3"},
			annotations: texts{"volcano.sh/network-topology-highest-tier": "2"},
			want:        gang.Wish{Required: gang.Level{Tier: 2, Source: `annotation volcano.sh/network-topology-highest-tier "2"`}},
		},
		"our words are none as labels": {
			labels: texts{"phalanx.dev/required-topology": "rack"},
		},
		"ours go before the dialect's field": {
			annotations: texts{"phalanx.dev/preferred-topology": "rack"},
			field:       gang.Wish{Required: gang.Level{Tier: 2}},
			want:        gang.Wish{Preferred: named("phalanx.dev/preferred-topology", "rack")},
		},
		"the dialect's field goes before Kueue's": {
			annotations: texts{"kueue.x-k8s.io/podset-required-topology": "rack"},
			field:       gang.Wish{Required: gang.Level{Tier: 2}},
			want:        gang.Wish{Required: gang.Level{Tier: 2}},
		},
		"Kueue's go before KAI's, and KAI's before Volcano's": {
			annotations: texts{
				"kueue.x-k8s.io/podset-required-topology": "rack", "kai.scheduler/topology-required-placement": "block",
				"volcano.sh/network-topology-highest-tier": "2",
			},
			want: gang.Wish{Required: named("kueue.x-k8s.io/podset-required-topology", "rack")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, complaint := gang.StatedWish(&metav1.ObjectMeta{Labels: test.labels, Annotations: test.annotations}, test.field)
			assert.Empty(t, complaint)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestAWrongValueIsNamed(t *testing.T) {
	long := strings.Repeat("r", 400)
	for name, test := range map[string]struct {
		annotations, labels texts
		want                string
	}{
		"an empty level": {
			annotations: texts{"phalanx.dev/required-topology": ""},
			want:        `annotation phalanx.dev/required-topology is "": it must be a level's name or a node label key`,
		},
		"a level with a blank": {
			annotations: texts{"kai.scheduler/topology-preferred-placement": "top of rack"},
			want:        `annotation kai.scheduler/topology-preferred-placement is "top of rack": it must be a level's name or a node label key`,
		},
		"a level without end": {
			annotations: texts{"kueue.x-k8s.io/podset-required-topology": long},
			want: `annotation kueue.x-k8s.io/podset-required-topology is "` + long[:39] +
				`…: it must be a level's name or a node label key`,
		},
		"a slice size in words": {
			annotations: texts{"phalanx.dev/slice-size": "abc", "phalanx.dev/slice-topology": "rack"},
			want:        `annotation phalanx.dev/slice-size is "abc": it must be a whole number of at most 2147483647`,
		},
		"a slice size of 0": {
			annotations: texts{"phalanx.dev/slice-size": "0", "phalanx.dev/slice-topology": "rack"},
			want:        `annotation phalanx.dev/slice-size is "0": it must be at least 1`,
		},
		"a negative slice size": {
			annotations: texts{"kueue.x-k8s.io/podset-slice-size": "-4", "kueue.x-k8s.io/podset-slice-required-topology": "rack"},
			want:        `annotation kueue.x-k8s.io/podset-slice-size is "-4": it must be at least 1`,
		},
		"a slice size of more than 32 bits": {
			annotations: texts{"phalanx.dev/slice-size": "2147483648", "phalanx.dev/slice-topology": "rack"},
			want:        `annotation phalanx.dev/slice-size is "2147483648": it must be a whole number of at most 2147483647`,
		},
		"a slice size without a level": {
			annotations: texts{"phalanx.dev/slice-size": "4"},
			want:        `annotation phalanx.dev/slice-size is "4": it needs annotation phalanx.dev/slice-topology beside it`,
		},
		"a slice size with another project's level": {
			annotations: texts{"phalanx.dev/slice-size": "4", "kueue.x-k8s.io/podset-slice-required-topology": "rack"},
			want:        `annotation phalanx.dev/slice-size is "4": it needs annotation phalanx.dev/slice-topology beside it`,
		},
		"a slice level without a size": {
			annotations: texts{"phalanx.dev/slice-topology": "rack"},
			want:        `annotation phalanx.dev/slice-topology is "rack": it needs annotation phalanx.dev/slice-size beside it`,
		},
		"a tier of 0": {
			annotations: texts{"volcano.sh/network-topology-highest-tier": "0"},
			want:        `annotation volcano.sh/network-topology-highest-tier is "0": it must be at least 1`,
		},
		"a tier in words": {
			labels: texts{"volcano.sh/network-topology-highest-tier-allowed": "rack"},
			want:   `label volcano.sh/network-topology-highest-tier-allowed is "rack": it must be a whole number of at most 2147483647`,
		},
		"a mode that is none": {
			labels: texts{"volcano.sh/network-topology-mode": "Medium"},
			want:   `label volcano.sh/network-topology-mode is "Medium": it must be "hard" or "soft"`,
		},
		"one that a sound one overrules": {
			annotations: texts{"phalanx.dev/required-topology": "rack", "kueue.x-k8s.io/podset-required-topology": "a rack"},
			want:        `annotation kueue.x-k8s.io/podset-required-topology is "a rack": it must be a level's name or a node label key`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			wish, complaint := gang.StatedWish(&metav1.ObjectMeta{Labels: test.labels, Annotations: test.annotations}, gang.Wish{})
			assert.Equal(t, test.want, complaint)
			assert.Zero(t, wish)
		})
	}
}

func TestWishesAreTheSameWhereverTheyAreWritten(t *testing.T) {
	read := func(annotations texts) gang.Wish {
		wish, complaint := gang.StatedWish(&metav1.ObjectMeta{Annotations: annotations}, gang.Wish{})
		assert.Empty(t, complaint)
		return wish
	}
	ours := read(texts{"phalanx.dev/required-topology": "rack"})
	kais := read(texts{"kai.scheduler/topology-required-placement": "rack"})
	assert.True(t, ours.Same(kais))
	assert.Empty(t, ours.Against(kais))
	assert.NotZero(t, ours.Compare(kais), "yet one is always the first of them")

	block := read(texts{"phalanx.dev/required-topology": "block"})
	assert.False(t, ours.Same(block))
	assert.Equal(t, `the required level: annotation phalanx.dev/required-topology "rack" against annotation phalanx.dev/required-topology "block"`,
		ours.Against(block))
	preferred := read(texts{"phalanx.dev/required-topology": "rack", "phalanx.dev/preferred-topology": "host"})
	assert.Equal(t, `the preferred level: none against annotation phalanx.dev/preferred-topology "host"`, ours.Against(preferred))
	four := read(texts{"phalanx.dev/slice-topology": "rack", "phalanx.dev/slice-size": "4"})
	eight := read(texts{"phalanx.dev/slice-topology": "rack", "phalanx.dev/slice-size": "8"})
	assert.Equal(t, `the slices: annotation phalanx.dev/slice-topology "rack" of phalanx.dev/slice-size "4" against `+
		`annotation phalanx.dev/slice-topology "rack" of phalanx.dev/slice-size "8"`, four.Against(eight))
}

func TestTheFirstRuleThatPicksAMemberMakesItsSubGroup(t *testing.T) {
	worker, err := labels.Parse("kind=worker")
	assert.NoError(t, err)
	wish := gang.Wish{Required: named("phalanx.dev/required-topology", "rack")}
	rules := []gang.SubGroup{
		{Name: "parts", Selector: worker, MatchLabelKeys: []string{"replica", "stage"}},
		{Name: "ps", Wish: wish},
		{Name: "workers", Selector: worker},
	}
	for name, test := range map[string]struct {
		labels, annotations texts
		role                string
		rule                int
		key                 string
		isNone              bool
	}{
		"by the values of its keys":                    {labels: texts{"kind": "worker", "replica": "1", "stage": "a"}, key: "1,a"},
		"others have other keys":                       {labels: texts{"kind": "worker", "replica": "2", "stage": "a"}, key: "2,a"},
		"one that lacks a key goes to the next rule":   {labels: texts{"kind": "worker", "replica": "2"}, rule: 2},
		"so does one with an empty value":              {labels: texts{"kind": "worker", "replica": "2", "stage": ""}, rule: 2},
		"by its role, if it states the wish itself":    {role: "ps", annotations: texts{"kai.scheduler/topology-required-placement": "rack"}, rule: 1},
		"one of the role that states none is in none":  {role: "ps", isNone: true},
		"one of another role that does is in none":     {role: "x", annotations: texts{"phalanx.dev/required-topology": "rack"}, isNone: true},
		"one that no rule picks is in none, and alone": {labels: texts{"kind": "launcher"}, isNone: true},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: test.labels, Annotations: test.annotations}}
			rule, key, ok := gang.SubGroupOf(rules, pod, test.role)
			assert.Equal(t, !test.isNone, ok)
			assert.Equal(t, test.rule, rule)
			assert.Equal(t, test.key, key)
		})
	}
}

func FuzzStatedWish(f *testing.F) {
	f.Add([]byte(`{"annotations":{"phalanx.dev/slice-size":"4","phalanx.dev/slice-topology":"rack"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		object := &metav1.ObjectMeta{}
		if json.Unmarshal(data, object) != nil {
			t.Skip("no metadata")
		}
		wish, complaint := gang.StatedWish(object, gang.Wish{})
		again, same := gang.StatedWish(object, gang.Wish{})
		assert.Equal(t, wish, again)
		assert.Equal(t, complaint, same)
		assert.Less(t, len(complaint), 500)
		assert.True(t, complaint == "" || wish.IsZero(), "nothing is wished where something is wrong")
		objecttest.AssertWish(t, wish)
	})
}
