package hypernode

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/objecttest"
)

// hyperNode makes a HyperNode from the YAML of its spec.
func hyperNode(t require.TestingT, name, spec string) *unstructured.Unstructured {
	return objecttest.Parse(t, fmt.Sprintf("{metadata: {name: %s, uid: uid-of-%s}, spec: %s}", name, name, spec))
}

// tree resolves specs by name.
func tree(t require.TestingT, specs map[string]string) *Tree {
	var all []*HyperNode
	for name, spec := range specs {
		all = append(all, Parse(hyperNode(t, name, spec)))
	}
	return NewTree(all)
}

func exact(kind string, names ...string) string {
	var members []string
	for _, name := range names {
		members = append(members, fmt.Sprintf("{type: %s, selector: {exactMatch: {name: %s}}}", kind, name))
	}
	return "members: [" + strings.Join(members, ", ") + "]"
}

// problems writes what is ignored as "name: sentence".
func problems(tree *Tree, nodes map[string]map[string]string) []string {
	var out []string
	for _, p := range tree.Problems(maps.All(nodes)) {
		out = append(out, p.Name+": "+p.Sentence)
	}
	return out
}

func TestPaths(t *testing.T) {
	whole := map[string]string{
		"t":  `{tier: 3, tierName: spine, ` + exact("HyperNode", "s1", "r3") + `}`,
		"s1": `{tier: 2, ` + exact("HyperNode", "r1", "r2") + `}`,
		"r1": `{tier: 1, tierName: rack, ` + exact("Node", "n1", "n2") + `}`,
		"r2": `{tier: 1, tierName: rack, members: [{type: Node, selector: {regexMatch: {pattern: "^n[34]$"}}}]}`,
		"r3": `{tier: 1, tierName: rack, members: [{type: Node, selector: {labelMatch: {matchLabels: {rack: r3}}}}]}`,
	}
	for name, c := range map[string]struct {
		specs  map[string]string
		node   string
		labels map[string]string
		want   string
	}{
		"by exact name":                          {whole, "n1", nil, "t s1 r1"},
		"by a pattern":                           {whole, "n3", nil, "t s1 r2"},
		"by labels, and over a gap in the tiers": {whole, "n5", map[string]string{"rack": "r3"}, "t r3 r3"},
		"in none":                                {whole, "n7", nil, "- - -"},
		"a node that two select stands in the first":  {whole, "n1", map[string]string{"rack": "r3"}, "t s1 r1"},
		"a pattern may match anywhere, as in Volcano": {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {regexMatch: {pattern: "7"}}}]}`}, "n17x", nil, "a"},
		"in any case":                                     {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {regexMatch: {pattern: "(?i)^N1$"}}}]}`}, "n1", nil, "a"},
		"by a pattern of several names":                   {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {regexMatch: {pattern: "^(n10|n11|n20)$"}}}]}`}, "n20", nil, "a"},
		"a pattern's prefix is not all of it":             {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {regexMatch: {pattern: "^n1(0|1)?$"}}}]}`}, "n12", nil, "-"},
		"by an expression without any label that must be": {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {labelMatch: {matchExpressions: [{key: spare, operator: DoesNotExist}]}}}]}`}, "n1", nil, "a"},
		"an empty label selector selects all":             {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {labelMatch: {}}}]}`}, "n1", nil, "a"},
		"tiers that all select nodes": {map[string]string{
			"r": `{tier: 1, ` + exact("Node", "n1") + `}`, "s": `{tier: 2, ` + exact("Node", "n1", "n2") + `}`,
		}, "n1", nil, "s r"},
		"a node right below a higher tier is its own domain on the lower": {map[string]string{
			"r": `{tier: 1, ` + exact("Node", "n1") + `}`, "s": `{tier: 2, ` + exact("Node", "n2") + `}`,
		}, "n2", nil, "s -"},
		"a holder by pattern": {map[string]string{
			"r1": `{tier: 1, ` + exact("Node", "n1") + `}`,
			"s":  `{tier: 2, members: [{type: HyperNode, selector: {regexMatch: {pattern: "^r"}}}]}`,
		}, "n1", nil, "s r1"},
		"of two holders the lower and then the first counts": {map[string]string{
			"r1": `{tier: 1, ` + exact("Node", "n1") + `}`, "a": `{tier: 3, ` + exact("HyperNode", "r1") + `}`,
			"sb": `{tier: 2, ` + exact("HyperNode", "r1") + `}`, "sa": `{tier: 2, ` + exact("HyperNode", "r1") + `}`,
		}, "n1", nil, "sa sa r1"},
		"a circle is cut where it climbs down": {map[string]string{
			"a": `{tier: 1, ` + exact("Node", "n1") + `}`, "b": `{tier: 2, ` + exact("HyperNode", "a", "c") + `}`,
			"c": `{tier: 3, ` + exact("HyperNode", "b") + `}`,
		}, "n1", nil, "c b a"},
		"itself as a member": {map[string]string{"a": `{tier: 1, members: [{type: HyperNode, selector: {regexMatch: {pattern: a}}}, {type: Node, selector: {exactMatch: {name: n1}}}]}`}, "n1", nil, "a"},
		"a member that does not exist": {map[string]string{
			"r": `{tier: 1, ` + exact("Node", "n1") + `}`, "s": `{tier: 2, ` + exact("HyperNode", "r", "later") + `}`,
		}, "n1", nil, "s r"},
		"a broken member beside a sound one": {map[string]string{
			"r": `{tier: 1, members: [{type: Node, selector: {labelMatch: {matchLabels: {rack: 5}}}}, {type: Node, selector: {exactMatch: {name: n1}}}]}`,
		}, "n1", nil, "r"},
		"and what it would have selected": {map[string]string{
			"r": `{tier: 1, members: [{type: Node, selector: {labelMatch: {matchLabels: {rack: 5}}}}, {type: Node, selector: {exactMatch: {name: n1}}}]}`,
		}, "n2", nil, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			path := tree(t, c.specs).Path(c.node, c.labels)
			for i := range path {
				if path[i] == "" {
					path[i] = "-"
				}
			}
			require.Equal(t, c.want, strings.Join(path, " "))
		})
	}
}

func TestTiers(t *testing.T) {
	for name, c := range map[string]struct {
		specs map[string]string
		want  []Tier
	}{
		"none": {nil, nil},
		"the highest comes first": {map[string]string{"a": `{tier: 1}`, "b": `{tier: 3}`},
			[]Tier{{3, "tier-3"}, {1, "tier-1"}}},
		"by the name on which all agree": {map[string]string{"a": `{tier: 1, tierName: rack}`, "b": `{tier: 1, tierName: rack}`},
			[]Tier{{1, "rack"}}},
		"volcano's own words": {map[string]string{"a": `{tier: 1, tierName: volcano.sh/hypernode}`},
			[]Tier{{1, "volcano.sh/hypernode"}}},
		"not by a name that some lack": {map[string]string{"a": `{tier: 1, tierName: rack}`, "b": `{tier: 1}`},
			[]Tier{{1, "tier-1"}}},
		"a name of two tiers is the lower one's": {map[string]string{"a": `{tier: 1, tierName: rack}`, "b": `{tier: 2, tierName: rack}`},
			[]Tier{{2, "tier-2"}, {1, "rack"}}},
		"nor the name of something else": {map[string]string{"a": `{tier: 1, tierName: tier-2}`, "b": `{tier: 2, tierName: node}`},
			[]Tier{{2, "tier-2"}, {1, "tier-1"}}},
		"what has no tier is none": {map[string]string{"a": `{}`, "b": `{tier: "1"}`, "c": `{tier: -1}`, "d": `null`, "e": `[1]`}, nil},
		"a tier of 0":              {map[string]string{"a": `{tier: 0}`}, []Tier{{0, "tier-0"}}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, tree(t, c.specs).Tiers())
		})
	}
}

func TestDepthOfATier(t *testing.T) {
	of := tree(t, map[string]string{"a": `{tier: 2}`, "b": `{tier: 4, tierName: block}`})
	require.Equal(t, []int{3, 2, 2, 1, 1}, []int{of.Depth(1), of.Depth(2), of.Depth(3), of.Depth(4), of.Depth(9)})
	require.True(t, of.Has("block"))
	require.False(t, of.Has("tier-4"))
	require.False(t, (*Tree)(nil).Has("block"))
}

func TestWhatIsIgnoredIsSaid(t *testing.T) {
	nodes := map[string]map[string]string{"n1": nil, "n2": nil, "n3": nil}
	for name, c := range map[string]struct {
		specs map[string]string
		want  []string
	}{
		"nothing": {map[string]string{"a": `{tier: 1, ` + exact("Node", "n1") + `}`}, nil},
		"what has no tier": {map[string]string{"a": `{}`, "b": `{tier: "1"}`, "c": `{tier: -1}`, "d": `5`}, []string{
			"a: spec.tier is missing", `b: spec.tier is "1": it must be a whole number`, "c: spec.tier is -1: it must be at least 0",
			"d: spec is 5: it must be an object",
		}},
		"a tier's name that cannot be one": {map[string]string{"a": `{tier: 1, tierName: a rack}`}, []string{
			`a: spec.tierName is "a rack": it must be a tier's name`,
		}},
		"a member of no kind": {map[string]string{"a": `{tier: 1, members: [{type: Pod, selector: {exactMatch: {name: n1}}}]}`}, []string{
			`a: spec.members[0].type is "Pod": it must be "Node" or "HyperNode"`,
		}},
		"a selector that has nothing": {map[string]string{"a": `{tier: 1, members: [{type: Node}]}`}, []string{
			"a: spec.members[0].selector has nothing: it must have one of exactMatch, regexMatch, labelMatch",
		}},
		"a selector that has two": {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {exactMatch: {name: n1}, labelMatch: {}}}]}`}, []string{
			"a: spec.members[0].selector has exactMatch and labelMatch: it must have one of exactMatch, regexMatch, labelMatch",
		}},
		"a name of nobody": {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {exactMatch: {}}}]}`}, []string{
			`a: spec.members[0].selector.exactMatch.name is "": it must be a name`,
		}},
		"HyperNodes by labels": {map[string]string{"a": `{tier: 1, members: [{type: HyperNode, selector: {labelMatch: {}}}]}`}, []string{
			"a: spec.members[0].selector has labelMatch, which selects nodes only",
		}},
		"a pattern that does not compile": {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {regexMatch: {pattern: "n("}}}]}`}, []string{
			`a: spec.members[0].selector.regexMatch.pattern is "n(": it must be a regular expression (missing closing ))`,
		}},
		"a pattern of Perl's": {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {regexMatch: {pattern: "n(?!1)"}}}]}`}, []string{
			`a: spec.members[0].selector.regexMatch.pattern is "n(?!1)": it must be a regular expression (invalid or unsupported Perl syntax)`,
		}},
		"a long pattern": {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {regexMatch: {pattern: ` + strings.Repeat("n", 1025) + `}}}]}`}, []string{
			`a: spec.members[0].selector.regexMatch.pattern is "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…: it must be a regular expression of 1 to 1024 bytes`,
		}},
		"a short one that is large": {map[string]string{"a": `{tier: 1, members: [{type: Node, selector: {regexMatch: {pattern: "` + strings.Repeat("a{999}", 9) + `"}}}]}`}, []string{
			`a: spec.members[0].selector.regexMatch.pattern is "a{999}a{999}a{999}a{999}a{999}a{999}a{9…: it must be a simpler regular expression`,
		}},
		"several things at once": {map[string]string{"a": `{tier: 1, members: [{type: Node}, 5, {type: Node}]}`}, []string{
			"a: spec.members[1] is 5: it must be an object (and 3 more)",
		}},
		"a member of a higher tier, and itself": {map[string]string{"a": `{tier: 1, ` + exact("HyperNode", "b", "a") + `}`, "b": `{tier: 2}`}, []string{
			`a: member HyperNode "a" is of tier 1: it must be of a lower one than 1 (and 1 more)`,
		}},
		"a second holder": {map[string]string{
			"a": `{tier: 1}`, "b": `{tier: 2, ` + exact("HyperNode", "a") + `}`, "c": `{tier: 2, ` + exact("HyperNode", "a") + `}`,
		}, []string{`c: member HyperNode "a" is in "b" already`}},
		"but not a holder of the holder": {map[string]string{
			"a": `{tier: 1}`, "b": `{tier: 2, ` + exact("HyperNode", "a") + `}`, "c": `{tier: 3, ` + exact("HyperNode", "a", "b") + `}`,
		}, nil},
		"a node of two": {map[string]string{
			"a": `{tier: 1, ` + exact("Node", "n1", "n2") + `}`, "b": `{tier: 1, ` + exact("Node", "n2", "n3") + `}`,
		}, []string{`b: node "n2" is in "a" already`}},
		"nodes of two": {map[string]string{
			"a": `{tier: 1, ` + exact("Node", "n1", "n2") + `}`, "b": `{tier: 1, members: [{type: Node, selector: {labelMatch: {}}}]}`,
		}, []string{`b: 2 nodes are in others already, "n1" in "a"`}},
		"a node of a holder, and of another one": {map[string]string{
			"a": `{tier: 1, ` + exact("Node", "n1") + `}`, "b": `{tier: 2, ` + exact("HyperNode", "a") + `}`,
			"c": `{tier: 2, ` + exact("Node", "n1") + `}`, "d": `{tier: 3, ` + exact("Node", "n1") + `}`,
		}, []string{`c: node "n1" is in "a" already`}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, problems(tree(t, c.specs), nodes))
		})
	}
}

func TestBounds(t *testing.T) {
	t.Run("tiers", func(t *testing.T) {
		specs := map[string]string{}
		for i := range maxTiers + 1 {
			specs[fmt.Sprint("h", i)] = fmt.Sprintf("{tier: %d}", i)
		}
		of := tree(t, specs)
		require.Len(t, of.Tiers(), maxTiers)
		require.Equal(t, []string{"h16: spec.tier is 16: the lowest 16 tiers count"}, problems(of, nil))
	})
	t.Run("HyperNodes", func(t *testing.T) {
		var all []*HyperNode
		for i := range maxHyperNodes + 2 {
			all = append(all, &HyperNode{Name: fmt.Sprintf("h%05d", i), Tier: 1, hasTier: true})
		}
		require.Equal(t, []string{
			"h10000: there are 10002 HyperNodes, of which the first 10000 by name count",
			"h10001: there are 10002 HyperNodes, of which the first 10000 by name count",
		}, problems(NewTree(all), nil))
	})
	t.Run("patterns alike", func(t *testing.T) {
		pattern, prefix, _ := compile("^rack")
		var all []*HyperNode
		for i := range maxAlike + 1 {
			all = append(all, &HyperNode{Name: fmt.Sprintf("h%05d", i), Tier: 1, hasTier: true, members: []member{{pattern: pattern, prefix: prefix}}})
		}
		require.Equal(t, []string{"h02000: a member is one of more than 2000 that could select the same names"}, problems(NewTree(all), nil))
	})
}

func TestPrefixes(t *testing.T) {
	for pattern, want := range map[string]string{
		"^node-1-": "node-1-", "^node-[0-9]+$": "node-", "^(node)-(1|2)$": "node-", "^node-(0001|0002)$": "node-000", "^((a)b)c$": "abc",
		"node": "", "(?i)^node": "", "^a|^b": "", "^": "", "^(a|bc)": "", "^a?b": "", "^(ab)?c": "", "^a(?i)b": "a", "(?m)^a": "", "^a+": "",
	} {
		_, prefix, complaint := compile(pattern)
		assert.Empty(t, complaint, pattern)
		assert.Equal(t, want, prefix, pattern)
	}
}

func TestTheOrderOfArrivalDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var all []*HyperNode
		for i := range 12 {
			kind := []string{"Node", "HyperNode"}[random.IntN(2)]
			names := []string{fmt.Sprintf("h%d", random.IntN(12)), fmt.Sprintf("h%d", random.IntN(12))}
			all = append(all, Parse(hyperNode(t, fmt.Sprintf("h%d", i), fmt.Sprintf("{tier: %d, %s}", random.IntN(4), exact(kind, names...)))))
		}
		first := NewTree(all)
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		second := NewTree(all)
		nodes := map[string]map[string]string{}
		for i := range 12 {
			nodes[fmt.Sprintf("h%d", i)] = nil
			assertPath(t, first, first.Path(fmt.Sprintf("h%d", i), nil))
			require.Equal(t, first.Path(fmt.Sprintf("h%d", i), nil), second.Path(fmt.Sprintf("h%d", i), nil))
		}
		require.Equal(t, first.Tiers(), second.Tiers())
		require.Equal(t, problems(first, nodes), problems(second, nodes))
	}
}

// assertPath holds a path to what the fabric relies on: there is an entry for each tier, and what is above a domain is one.
func assertPath(t require.TestingT, of *Tree, path []string) {
	require.Len(t, path, len(of.Tiers()))
	isInside := false
	for _, domain := range slices.Backward(path) {
		require.False(t, isInside && domain == "", "%v", path)
		isInside = isInside || domain != ""
	}
}

func FuzzTree(f *testing.F) {
	f.Add([]byte(`{"spec":{"tier":1,"tierName":"rack","members":[{"type":"Node","selector":{"exactMatch":{"name":"n1"}}}]}}`),
		[]byte(`{"metadata":{"name":"b"},"spec":{"tier":2,"members":[{"type":"HyperNode","selector":{"regexMatch":{"pattern":"^b?$"}}}]}}`), "n1")
	f.Add([]byte(`{"metadata":5,"spec":{"tier":1.0,"members":[{"type":"Node","selector":{"labelMatch":{"matchLabels":{"a":"b"}}}},null,{}]}}`),
		[]byte(`{"metadata":{"name":"b"},"spec":[]}`), "")
	f.Fuzz(func(t *testing.T, first, second []byte, node string) {
		var all []*HyperNode
		names := map[string]bool{}
		for _, data := range [][]byte{first, second} {
			u := &unstructured.Unstructured{}
			if json.Unmarshal(data, &u.Object) != nil {
				t.Skip("no JSON object")
			}
			before := u.DeepCopy()
			h := Parse(u)
			require.Equal(t, before, u, "reading must not change the object")
			if !names[h.Name] {
				all = append(all, h)
			}
			names[h.Name] = true
		}
		of := NewTree(all)
		assertPath(t, of, of.Path(node, map[string]string{"a": "b"}))
		for _, p := range of.Problems(maps.All(map[string]map[string]string{node: nil})) {
			require.NotEmpty(t, p.Sentence)
			require.NotContains(t, p.Sentence, "\n")
		}
	})
}
