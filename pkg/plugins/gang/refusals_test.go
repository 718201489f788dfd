package gang

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

func TestARefusalIsRepeatedWhileNothingCouldHelp(t *testing.T) {
	nodes, c := gpuNodes(8, 4), cluster.New(nil)
	asking := func(members int, nodes []fwk.NodeInfo) string {
		c.Update(nodes)
		return newProblem(klog.Background(), c, classesOf(podsWith(members, gpus("8")), noRole), members, nil).fingerprint()
	}
	var r refusals
	key, why := gang.Key{Name: "big"}, gang.Waiting{Reason: gang.InsufficientGPUs, Sentence: "2 members need 16"}
	require.Zero(t, r.of(key, asking(2, nodes)), "nothing is known yet")
	r.remember(key, asking(2, nodes), why)
	require.Equal(t, why, r.of(key, asking(2, nodes)))
	require.Zero(t, r.of(gang.Key{Name: "other"}, asking(2, nodes)), "of another gang nothing is known")
	require.Zero(t, r.of(key, asking(3, nodes)), "it asks for more")

	r.remember(key, asking(2, nodes), why)
	require.Zero(t, r.of(key, asking(2, gpuNodes(8, 8))), "there are other nodes")
}

func TestSubGroupsThatWereRefusedAreNotPlannedAgain(t *testing.T) {
	nodes, c := racksOf(map[string]int{"b1/r1": 2, "b1/r2": 2}), cluster.New(blocksAndRacks)
	c.Update(nodes)
	d := ofRoles(inOne("rack"), "a", "b")
	pods := slices.Concat(roleMembers("a", maxSearched, "1"), roleMembers("b", 3, "8"))
	g := &Gang{account: roleByLabel{}}
	plan := func() *try {
		t := &try{demand: d, need: len(pods), classes: classesOf(pods, noRole)}
		g.planParts(context.Background(), nil, t, newProblem(klog.Background(), c, t.classes, t.need, nil), g.partsOf(t, pods, nil), nil)
		return t
	}
	first := plan()
	require.NotZero(t, first.refused)
	repeated := func() float64 {
		value, err := testutil.GetCounterMetricValue(refusalsRepeated)
		require.NoError(t, err)
		return value
	}
	count := repeated()
	second := plan()
	require.Equal(t, first.refused, second.refused)
	require.True(t, first.isSure && second.isSure)
	require.Equal(t, count+1, repeated())
	d.SubGroups[1].Wish = gang.Wish{}
	plan()
	require.Equal(t, count+1, repeated(), "it wishes for something else")
}

func TestTheMemoryOfRefusalsIsBounded(t *testing.T) {
	var r refusals
	for i := range 3 * maxRefusals {
		r.remember(gang.Key{Name: fmt.Sprint(i)}, "asked", gang.Waiting{Reason: gang.Fragmented})
	}
	require.LessOrEqual(t, len(r.last), maxRefusals)
}
