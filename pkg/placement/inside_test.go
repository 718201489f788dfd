package placement_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// Two racks, the first too small for four members: who must stay in it is refused by what it has, though the cluster has more.
func TestARefusalCountsWhatIsInside(t *testing.T) {
	const outside, full, inRack = 8, 3, 2 // slots of the second rack, of the first, and of its largest node
	nodes := racksOf([]int{2, 1}, []int{outside})
	for name, test := range map[string]struct {
		world
		kind       placement.Kind
		have, free int64
	}{
		"nothing is missing in the cluster":     {world{}, -1, 0, 0},
		"the rack has too little":               {world{inside: inside{2, 0}}, placement.Insufficient, full, full},
		"its largest node has too little":       {world{inside: inside{2, 0}, required: 3, classes: gangOf(3)}, placement.TooNarrow, inRack, 0},
		"a node has too little":                 {world{inside: inside{3, 0}}, placement.Insufficient, inRack, inRack},
		"the rack is no whole number of slices": {world{inside: inside{2, 0}, slice: placement.Slice{Size: 4}, classes: gangOf(4)}, placement.Insufficient, full, full},
		"members run outside the rack":          {world{inside: inside{2, 0}, beside: []int{2}}, placement.Insufficient, full, full},
		"members run outside, and their rack is required": {
			world{inside: inside{2, 0}, beside: []int{2}, required: 2, classes: gangOf(1)}, placement.TooNarrow, 0, 0,
		},
		"the rack admits nobody": {
			world{inside: inside{2, 0}, classes: []class{{asks: []int{1}, members: 1, minimum: 1, excluded: []bool{true, true, false}}}},
			placement.Excluded, 0, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := test.world
			w.levels, w.nodes = 2, nodes
			if w.classes == nil {
				w.classes = gangOf(4)
			}
			_, refused, _ := solve(t, 0, w)
			if test.kind < 0 {
				require.Nil(t, refused)
				return
			}
			require.NotNil(t, refused)
			assert.Equal(t, test.kind, refused.Kind)
			assert.Equal(t, []int64{test.have, test.free}, []int64{refused.Have, refused.Free})
			nodes := refused.Admitted
			for _, e := range refused.Exclusions {
				nodes += e.Nodes
			}
			assert.Equal(t, len(w.nodes), nodes)
		})
	}
}
