package gang

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
)

func TestTheRoomiestDomains(t *testing.T) {
	f := fabric.New("block", "rack")
	gpu := f.Resource("nvidia.com/gpu")
	for _, n := range []struct {
		name, block, rack string
		free              int64
	}{
		{"n1", "b1", "r1", 8}, {"n2", "b1", "r1", 4}, {"n3", "b1", "r2", 8}, {"n4", "b2", "r3", 3}, {"n5", "b2", "r3", 8}, {"n6", "", "", 8},
	} {
		f.Set(fabric.Node{Name: n.name, Domains: []string{n.block, n.rack}, Free: []int64{n.free}})
	}
	for name, test := range map[string]struct {
		gpus int64
		want map[string]int64
	}{
		"whole nodes, of which a rack has one":   {8, map[string]int64{"cluster": 4, "block": 2, "rack": 1, "node": 1}},
		"halves, of which one rack has the most": {4, map[string]int64{"cluster": 9, "block": 5, "rack": 3, "node": 2}},
		"single GPUs":                            {1, map[string]int64{"cluster": 39, "block": 20, "rack": 12, "node": 8}},
		"more than any node has":                 {9, map[string]int64{"cluster": 0, "block": 0, "rack": 0, "node": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, roomiest(f, fabric.Request{{Resource: gpu, Quantity: test.gpus}}))
		})
	}
	assert.Equal(t, map[string]int64{"cluster": 0, "node": 0}, roomiest(fabric.New(), nil), "an empty cluster")
}
