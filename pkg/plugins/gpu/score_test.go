package gpu

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// With the default weights.
func TestWhichNodeIsBetter(t *testing.T) {
	h100 := func(name string, held ...int) *framework.NodeInfo {
		n := nodeWith(t, name, "h100")
		if len(held) == 0 {
			return infoOf(n)
		}
		return infoOf(n, on(podWith("on-"+name, len(held)), name, uuids(t, "h100", held...)...))
	}
	pcie := func(name string, held ...int) *framework.NodeInfo {
		return infoOf(nodeWith(t, name, "a100-pcie"), on(podWith("on-"+name, len(held)), name, uuids(t, "a100-pcie", held...)...))
	}
	sick := func(name, system string, changes ...func(r *gpu.Report)) *framework.NodeInfo {
		return infoOf(nodeWith(t, name, system, changes...))
	}
	for name, test := range map[string]struct {
		pod           *v1.Pod
		better, worse *framework.NodeInfo
	}{
		"a broken node, rather than a whole one":                 {podWith("p", 1), h100("n1", 0), h100("n2")},
		"the fullest of the broken ones":                         {podWith("p", 1), h100("n1", 0, 1, 2, 3, 4, 5, 6), h100("n2", 0, 1, 2)},
		"what it fits exactly, rather than what it breaks":       {podWith("p", 4), h100("n1", 0, 1, 2, 3), h100("n2", 4)},
		"where a half is broken, rather than a whole half":       {podWith("p", 1), h100("n1", 0, 1), h100("n2", 0, 1, 2, 3)},
		"where one of a pair is left, rather than pairs":         {podWith("p", 1), pcie("n1", 0, 1, 2), pcie("n2", 0, 1, 2, 3)},
		"where a pair is left, rather than two halves of pairs":  {podWith("p", 2), pcie("n1", 0, 1, 2, 3, 4, 5), pcie("n2", 0, 1, 2, 3, 4, 6)},
		"links that are preferred":                               {podWith("p", 2, gang.GPULinkKey, "preferred:nvlink"), pcie("n1", 0, 2, 3), pcie("n2", 0, 2, 4, 6)},
		"a healthy node, rather than a degraded one":             {podWith("p", 8), h100("n1"), sick("n2", "h100", inState(gpu.Degraded, 0))},
		"a degraded GPU, rather than many":                       {podWith("p", 8), sick("n1", "h100", inState(gpu.Degraded, 0)), sick("n2", "h100", inState(gpu.Degraded, 0, 1, 2, 3))},
		"a broken node with a degraded GPU, rather than a whole": {podWith("p", 1), infoOf(nodeWith(t, "n1", "h100", inState(gpu.Degraded, 7)), on(podWith("a", 2), "n1", uuids(t, "h100", 0, 1)...)), h100("n2")},
		"a node that tells, rather than one that does not":       {podWith("p", 8), h100("n1"), infoOf(nodeWith(t, "n2", ""))},
		"a node without a leak":                                  {podWith("p", 8), h100("n1"), sick("n2", "h100", leak(3))},
		"a node out of any NVLink domain, rather than in one":    {podWith("p", 4), h100("n1", 0, 1, 2, 3), sick("n2", "gb200")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			assert.Greater(t, w.score(t, test.pod, test.better), w.score(t, test.pod, test.worse))
		})
	}
}

func TestABrokenDomainIsFilledFirst(t *testing.T) {
	w := newWorld(t, nil)
	trays := map[string]*v1.Node{}
	for i, clique := range []uint32{1, 1, 2, 2} {
		name := nodeName(i)
		trays[name] = nodeWith(t, name, "gb200", func(r *gpu.Report) { r.Fabric.Clique = clique })
		w.fleet.setNode(name, trays[name])
	}
	ask := podWith("p", 4)
	score := func(name string) int64 { return w.score(t, ask, infoOf(trays[name])) }
	assert.Equal(t, score("n1"), score("n3"), "both domains are whole")

	user := on(podWith("a", 4), "n0")
	w.fleet.setPod(user, true)
	w.fleet.setPod(user, true) // told again
	assert.Greater(t, score("n1"), score("n3"), "the first is broken")

	w.fleet.setNode("n0", trays["n0"].DeepCopy())
	assert.Greater(t, score("n1"), score("n3"), "it still is, whatever else changes of its node")

	moved := nodeWith(t, "n0", "gb200", func(r *gpu.Report) { r.Fabric.Clique = 2 })
	w.fleet.setNode("n0", moved)
	assert.Less(t, score("n1"), score("n3"), "the node is in the second domain now")

	w.fleet.setNode("n0", nil)
	assert.Equal(t, score("n1"), score("n3"), "the node is gone, and its pod not yet")
	w.fleet.setNode("n0", moved)
	assert.Less(t, score("n1"), score("n3"), "the node came back before its pod went")

	w.fleet.setPod(user, false)
	w.fleet.setPod(user, false)
	w.fleet.setPod(on(podWith("b", 0), "n1"), true)
	assert.Equal(t, score("n1"), score("n3"), "nobody uses GPUs of any")
	assert.Empty(t, w.fleet.users)
	assert.Empty(t, w.fleet.domains)
}

func TestWeightsDecide(t *testing.T) {
	only := func(set func(w *Weights)) *GPUArgs {
		args := &GPUArgs{}
		for _, one := range args.Weights.all() {
			*one.value = ptr.To[int32](0)
		}
		set(&args.Weights)
		return args
	}
	whole, broken := infoOf(nodeWith(t, "n1", "h100")), infoOf(nodeWith(t, "n2", ""), on(podWith("a", 1), "n2"))
	ask := podWith("p", 1)
	fill := newWorld(t, only(func(w *Weights) { w.WholeNodes = ptr.To[int32](7) }))
	assert.EqualValues(t, 0, fill.score(t, ask, whole))
	assert.EqualValues(t, 100, fill.score(t, ask, broken))
	trust := newWorld(t, only(func(w *Weights) { w.Freshness = ptr.To[int32](1) }))
	assert.EqualValues(t, 100, trust.score(t, ask, whole))
	assert.EqualValues(t, 50, trust.score(t, ask, broken))
}
