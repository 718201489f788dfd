package fabric_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
)

// draw writes a tree on one line, domains in brackets with their names before them.
func draw(t *fabric.Tree) string {
	var b strings.Builder
	var walk func(depth, domain int)
	walk = func(depth, domain int) {
		d := t.Domain(depth, domain)
		b.WriteString(d.Name + "[")
		for i := d.FirstChild; i < d.LastChild; i++ {
			if i > d.FirstChild {
				b.WriteString(" ")
			}
			if depth == t.Depth() {
				b.WriteString(t.Node(i))
			} else {
				walk(depth+1, i)
			}
		}
		b.WriteString("]")
	}
	walk(0, 0)
	return b.String()
}

func TestTheOrderOfNodes(t *testing.T) {
	type at = []string
	for name, test := range map[string]struct {
		levels []string
		nodes  map[string]at
		want   string
	}{
		"no nodes":                             {[]string{"block", "rack"}, nil, "cluster[]"},
		"no levels":                            {nil, map[string]at{"b": nil, "a": nil}, "cluster[a b]"},
		"numbers in names count as numbers":    {[]string{"rack"}, map[string]at{"n2": {"r10"}, "n10": {"r9"}, "n9": {"r9"}}, "cluster[r9[n9 n10] r10[n2]]"},
		"a rack's name is unique in its block": {[]string{"block", "rack"}, map[string]at{"n1": {"b1", "r1"}, "n2": {"b2", "r1"}, "n3": {"b1", "r1"}}, "cluster[b1[r1[n1 n3]] b2[r1[n2]]]"},
		"a node without a domain is its own domain, after the others": {
			[]string{"block", "rack"}, map[string]at{"a": {"b1", ""}, "b": {"b1", ""}, "c": {"b1", "r1"}}, "cluster[b1[r1[c] a[a] b[b]]]",
		},
		"below a level without a domain a name joins nobody": {
			[]string{"block", "rack"}, map[string]at{"a": {"", "r1"}, "b": {"", "r1"}, "c": {"b1", "r1"}}, "cluster[b1[r1[c]] a[r1[a]] b[r1[b]]]",
		},
		"missing names are like empty ones, more than the levels are nothing": {
			[]string{"rack"}, map[string]at{"a": nil, "b": {""}, "c": {"r1", "x"}, "d": {"r1"}}, "cluster[r1[c d] a[a] b[b]]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := fabric.New(test.levels...)
			for name, domains := range test.nodes {
				f.Set(fabric.Node{Name: name, Domains: domains})
			}
			assert.Equal(t, test.want, draw(f.Tree()))
			assert.Equal(t, len(test.nodes), f.Len())
		})
	}
}

func TestATreeFindsItsWay(t *testing.T) {
	f := fabric.New("block", "rack")
	for i := range 8 {
		f.Set(fabric.Node{Name: fmt.Sprint("n", i), Domains: []string{fmt.Sprint("b", i/4), fmt.Sprint("r", i/2%2)}})
	}
	tree := f.Tree()

	for node := range tree.Len() {
		number, ok := f.Number(tree.Node(node))
		assert.True(t, ok)
		assert.Equal(t, node, number)
		for depth := range tree.Depth() + 1 {
			d := tree.Domain(depth, tree.Of(depth, node))
			assert.True(t, d.First <= node && node < d.Last)
			if depth > 0 {
				assert.Equal(t, tree.Of(depth-1, node), d.Parent)
			}
		}
	}
	assert.Equal(t, []string{"b1", "r0"}, tree.Path(2, tree.Of(2, 5)))
	assert.Empty(t, tree.Path(0, 0))
	assert.Equal(t, "cluster block rack node", strings.Join([]string{tree.LevelName(0), tree.LevelName(1), tree.LevelName(2), tree.LevelName(3)}, " "))
	_, ok := f.Number("n8")
	assert.False(t, ok)
}

func TestSlotsOfANode(t *testing.T) {
	f := fabric.New()
	gpu, cpu := f.Resource("gpu"), f.Resource("cpu")
	assert.Equal(t, gpu, f.Resource("gpu"))
	assert.Equal(t, "cpu", f.ResourceName(cpu))
	ask := func(gpus, cpus int64) fabric.Request {
		return fabric.Request{{Resource: gpu, Quantity: gpus}, {Resource: cpu, Quantity: cpus}}
	}
	for name, test := range map[string]struct {
		free    []int64
		request fabric.Request
		want    int32
	}{
		"as many as the scarcest resource holds": {[]int64{8, 5}, ask(2, 1), 4},
		"none where one resource is missing":     {[]int64{8}, ask(1, 1), 0},
		"none on less than nothing":              {[]int64{-8, 8}, ask(1, 1), 0},
		"what is not asked for may be overdrawn": {[]int64{-8, 8}, ask(0, 1), 8},
		"who asks for nothing always fits":       {[]int64{0, 0}, nil, fabric.MaxSlots},
		"more than can be counted":               {[]int64{math.MaxInt64, math.MaxInt64}, ask(1, 1), fabric.MaxSlots},
		"the largest quantity":                   {[]int64{math.MaxInt64, math.MaxInt64}, ask(math.MaxInt64, 1), 1},
		"the smallest one":                       {[]int64{1, 1}, ask(math.MinInt64, 1), 1},
	} {
		t.Run(name, func(t *testing.T) {
			f.Set(fabric.Node{Name: "n", Free: test.free})
			assert.Equal(t, []int32{test.want}, f.Slots(test.request))
		})
	}
}

func TestOldTablesAreForgotten(t *testing.T) {
	f := fabric.New()
	gpu := f.Resource("gpu")
	f.Set(fabric.Node{Name: "n", Free: []int64{1000}})
	for range 2 {
		for ask := range int64(300) {
			require.Equal(t, []int32{int32(1000 / (ask + 1))}, f.Slots(fabric.Request{{Resource: gpu, Quantity: ask + 1}}))
		}
	}
}

// operate does something to a fabric, and keeps the nodes that it must have then.
func operate(t *rapid.T, f *fabric.Fabric, nodes map[string]fabric.Node, requests []fabric.Request) {
	name := fmt.Sprint("n", rapid.IntRange(0, 12).Draw(t, "node"))
	switch rapid.SampledFrom([]string{"set", "set", "change", "change", "change", "remove", "read"}).Draw(t, "operation") {
	case "set":
		n := fabric.Node{Name: name, Free: []int64{rapid.Int64Range(-1, 9).Draw(t, "free")}, IsWhole: rapid.Bool().Draw(t, "whole")}
		n.Domains = rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "c2", "c10", name}), 0, 3).Draw(t, "domains")
		nodes[name] = n
		f.Set(n)
	case "change":
		if n, ok := nodes[name]; ok {
			n.Free, n.IsWhole = []int64{rapid.Int64Range(-1, 9).Draw(t, "free")}, rapid.Bool().Draw(t, "whole")
			nodes[name] = n
			f.Set(n)
		}
	case "remove":
		delete(nodes, name)
		f.Remove(name)
	case "read":
		f.Slots(rapid.SampledFrom(requests).Draw(t, "request"))
	}
}

// checkUpkeep does many things to a fabric. It must then be the same as one built at once.
func checkUpkeep(t *rapid.T) {
	levels := []string{"block", "rack"}[:rapid.IntRange(0, 2).Draw(t, "levels")]
	f, fresh := fabric.New(levels...), fabric.New(levels...)
	requests := []fabric.Request{nil}
	for quantity := range int64(3) {
		requests = append(requests, fabric.Request{{Resource: f.Resource("gpu"), Quantity: quantity + 1}})
	}
	nodes := map[string]fabric.Node{}
	for range rapid.IntRange(0, 60).Draw(t, "operations") {
		operate(t, f, nodes, requests)
	}
	for _, n := range nodes {
		fresh.Set(n)
	}
	require.Equal(t, fresh.Tree(), f.Tree())
	require.Equal(t, fresh.Wholes(), f.Wholes())
	require.Equal(t, len(nodes), f.Len())
	for _, request := range requests {
		require.Equal(t, fresh.Slots(request), f.Slots(request))
	}
	for i := range f.Tree().Len() {
		require.Equal(t, nodes[f.Tree().Node(i)].Free[0], f.Free(i, 0))
	}
}

func TestAFabricKeptUpIsTheSameAsAFreshOne(t *testing.T) { rapid.Check(t, checkUpkeep) }

func FuzzUpkeep(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkUpkeep)) }

func TestATreeNeverChanges(t *testing.T) {
	f := fabric.New("rack")
	f.Set(fabric.Node{Name: "n1", Domains: []string{"r1"}})
	tree := f.Tree()
	before := draw(tree)
	f.Set(fabric.Node{Name: "n1", Domains: []string{"r1"}, Free: []int64{1}})
	assert.Same(t, tree, f.Tree(), "what a node has free is none of the tree's business")
	f.Set(fabric.Node{Name: "n0", Domains: []string{"r1"}})
	f.Remove("n1")
	assert.NotSame(t, tree, f.Tree())
	assert.Equal(t, before, draw(tree))
	assert.Equal(t, "cluster[r1[n0]]", draw(f.Tree()))
}
