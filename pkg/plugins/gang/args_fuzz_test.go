package gang

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/internal/arguments"
)

// FuzzArgs reads arguments as kube-scheduler reads a configuration file's: whatever they are, they are refused or they make
// levels that a cluster can have.
func FuzzArgs(f *testing.F) {
	for _, seed := range []string{
		`{"topology":{"preset":"aws"}}`,
		`{"topology":{"preset":"nowhere"}}`,
		`{"scheduleTimeoutSeconds":0}`,
		`{"topology":{"levels":[{"name":"rack","nodeLabel":"example.com/rack"}]}}`,
		`{"topology":{"levels":[{"name":"node","nodeLabel":""}],"preset":"auto"}}`,
		`{"topology":{"levels":[{"name":"a","nodeLabel":"b"},{"name":"a","nodeLabel":"c"}]}}`,
		`{"topology":[]}`,
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
		typed := append([]byte(`{"apiVersion":"kubescheduler.config.k8s.io/v1","kind":"GangArgs",`), encoded[1:]...)
		object, _, err := decoder.Decode(typed, nil, nil)
		if err != nil {
			return
		}
		args, err := arguments.Of[GangArgs](Name, object)
		if err != nil {
			return
		}
		c := cluster.New(args.Topology.clusterLevels())
		c.Update(gpuNodes(8, 4))
		if c.Fabric().Len() != 2 {
			t.Fatalf("a cluster of %d nodes", c.Fabric().Len())
		}
	})
}
