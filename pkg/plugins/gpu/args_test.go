package gpu

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/offer"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/internal/arguments"
)

func TestArguments(t *testing.T) {
	number := ptr.To[int32]
	for name, test := range map[string]struct {
		object runtime.Object
		err    string
	}{
		"nothing said":              {nil, ""},
		"an empty object":           {&GPUArgs{}, ""},
		"one weight":                {&GPUArgs{Weights: Weights{Fit: number(100)}}, ""},
		"a namespace":               {&GPUArgs{ReporterNamespace: ptr.To("gpu-system")}, ""},
		"a weight below zero":       {&GPUArgs{Weights: Weights{Fit: number(-1)}}, "weights.fit: Invalid value: -1: must be from 0 to 100"},
		"a weight that is too much": {&GPUArgs{Weights: Weights{WholeDomains: number(101)}}, "weights.wholeDomains: Invalid value: 101: must be from 0 to 100"},
		"no weight at all": {&GPUArgs{Weights: Weights{number(0), number(0), number(0), number(0), number(0), number(0), number(0)}},
			`weights: Invalid value: "0 in all": one of them must be more than 0`},
		"a namespace that is none":  {&GPUArgs{ReporterNamespace: ptr.To("GPUs")}, `reporterNamespace: Invalid value: "GPUs": must be the name of a namespace`},
		"stale at once":             {&GPUArgs{StaleAfterSeconds: number(0)}, "staleAfterSeconds: Invalid value: 0: must be from 1 to 86400"},
		"stale after days":          {&GPUArgs{StaleAfterSeconds: number(86401)}, "staleAfterSeconds: Invalid value: 86401: must be from 1 to 86400"},
		"more than all are stale":   {&GPUArgs{MaxStalePercent: number(101)}, "maxStalePercent: Invalid value: 101: must be from 0 to 100"},
		"another plugin's argument": {&runtime.Unknown{Raw: []byte("{}")}, "its arguments must be of kind GPUArgs in kubescheduler.config.k8s.io/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			args, err := arguments.Of[GPUArgs](Name, test.object)
			if test.err != "" {
				require.EqualError(t, err, "pluginConfig of GPU: "+test.err)
				return
			}
			require.NoError(t, err)
			for _, one := range args.Weights.all() {
				assert.NotNil(t, *one.value, one.name)
			}
		})
	}
}

func TestDefaultWeightsAreWhatTheyAreSaidToBe(t *testing.T) {
	args, err := arguments.Of[GPUArgs](Name, nil)
	require.NoError(t, err)
	number := ptr.To[int32]
	assert.Equal(t, Weights{
		Fit: number(3), WholeNodes: number(4), WholeGroups: number(2), WholeDomains: number(4), Links: number(3), Health: number(4), Freshness: number(1),
	}, args.Weights)
}

func TestArgumentsAreCopiedWhole(t *testing.T) {
	args, err := arguments.Of[GPUArgs](Name, &GPUArgs{ReporterNamespace: ptr.To("a"), StaleAfterSeconds: ptr.To[int32](1), MaxStalePercent: ptr.To[int32](2)})
	require.NoError(t, err)
	copied := args.DeepCopyObject().(*GPUArgs)
	require.Equal(t, args, copied)
	for _, one := range args.Weights.all() {
		**one.value = 99
	}
	*args.ReporterNamespace, *args.StaleAfterSeconds, *args.MaxStalePercent = "b", 3, 4
	again, err := arguments.Of[GPUArgs](Name, &GPUArgs{ReporterNamespace: ptr.To("a"), StaleAfterSeconds: ptr.To[int32](1), MaxStalePercent: ptr.To[int32](2)})
	require.NoError(t, err)
	require.Equal(t, again, copied)
}

func TestWhatProfilesShare(t *testing.T) {
	w := newWorld(t, &GPUArgs{StaleAfterSeconds: ptr.To[int32](60)})
	after, percent := w.fleet.staleness()
	assert.Equal(t, 60.0, after.Seconds())
	assert.Equal(t, 20, percent)
	assert.Equal(t, "phalanx-reporter", w.fleet.ReporterNamespace())

	w.build(t, w.fleet, nil) // says nothing of it
	w.build(t, w.fleet, &GPUArgs{StaleAfterSeconds: ptr.To[int32](60), ReporterNamespace: ptr.To("gpus"), MaxStalePercent: ptr.To[int32](50)})
	after, percent = w.fleet.staleness()
	assert.Equal(t, 60.0, after.Seconds())
	assert.Equal(t, 50, percent)
	assert.Equal(t, "gpus", w.fleet.ReporterNamespace())

	_, err := Factory(w.fleet)(t.Context(), &GPUArgs{StaleAfterSeconds: ptr.To[int32](61)}, stage{world: w})
	assert.EqualError(t, err, "pluginConfig of GPU in profile phalanx: staleAfterSeconds: Invalid value: 61: all profiles share it, and another one says 60")
}

// FuzzArgs reads arguments as kube-scheduler reads a configuration file's: whatever they are, they are refused or they make
// scores that the framework takes.
func FuzzArgs(f *testing.F) {
	for _, seed := range []string{
		`{"weights":{"fit":3,"links":0}}`,
		`{"weights":{"fit":-3}}`,
		`{"weights":{"fit":0,"wholeNodes":0,"wholeGroups":0,"wholeDomains":0,"links":0,"health":0,"freshness":0}}`,
		`{"weights":[]}`,
		`{"reporterNamespace":"","staleAfterSeconds":180,"maxStalePercent":20}`,
		`{"staleAfterSeconds":2147483648}`,
	} {
		f.Add([]byte(seed))
	}
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		f.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder()
	f.Fuzz(func(t *testing.T, raw []byte) {
		encoded, err := yaml.ToJSON(raw)
		if err != nil || len(encoded) < 2 || encoded[0] != '{' {
			return
		}
		typed := append([]byte(`{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"GPUArgs",`), encoded[1:]...)
		object, _, err := decoder.Decode(typed, nil, nil)
		if err != nil {
			return
		}
		args, err := arguments.Of[GPUArgs](Name, object)
		if err != nil {
			return
		}
		best := offer.Merits{Fit: 100, WholeNodes: 100, WholeGroups: 100, WholeDomains: 100, Links: 100, Health: 100, Freshness: 100}
		if score := args.Weights.values().score(best); score != 100 {
			t.Fatalf("the best node scores %d", score)
		}
		if score := args.Weights.values().score(offer.Merits{}); score != 0 {
			t.Fatalf("the worst node scores %d", score)
		}
	})
}
