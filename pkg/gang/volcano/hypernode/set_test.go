package hypernode

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
)

func TestWhoResolvesSaysWhatIsCurrent(t *testing.T) {
	s, nodes := NewSet(), map[string]map[string]string{"n1": {"rack": "1"}, "n2": nil}
	add := func(name, spec string) { require.NoError(t, s.Add(hyperNode(t, name, spec))) }
	add("a", `{tier: 1, members: [{type: Node, selector: {regexMatch: {pattern: "^n1"}}}]}`)
	require.Equal(t, []string{"a"}, s.Current().Path("n1", nil), "nobody resolves: it is made when asked for")

	add("b", `{tier: 2, `+exact("HyperNode", "a")+`}`)
	add("c", `{}`)
	require.Equal(t, []Problem{{"c", types.UID("uid-of-c"), "spec.tier is missing"}}, s.Resolve(maps.All(nodes)))
	resolved := s.Current()
	require.Equal(t, []string{"b", "a"}, resolved.Path("n1", nil))
	require.Equal(t, []string{"", ""}, resolved.Path("n2", nil))
	require.Equal(t, []string{"b", "a"}, resolved.Path("n10", nil), "a node that came later")
	resolved.nodes = newIndex()
	require.Equal(t, []string{"b", "a"}, resolved.Path("n1", nil), "it was looked up before, and is not again")

	add("r", `{tier: 1, members: [{type: Node, selector: {labelMatch: {matchLabels: {rack: "2"}}}}]}`)
	require.Same(t, resolved, s.Current(), "it waits for who resolves")
	s.Resolve(maps.All(nodes))
	require.Equal(t, []string{"b", "a"}, s.Current().Path("n1", map[string]string{"rack": "1"}))
	require.Equal(t, []string{"", ""}, s.Current().Path("n2", nil))
	require.Equal(t, []string{"r", "r"}, s.Current().Path("n2", map[string]string{"rack": "2"}), "it has other labels than it had")
}

func TestSet(t *testing.T) {
	s := NewSet()
	hasChanged := func() bool {
		select {
		case <-s.Changed():
			return true
		default:
			return false
		}
	}
	require.Nil(t, s.Current())
	require.False(t, hasChanged())
	broken := hyperNode(t, "a", `{}`)
	require.NoError(t, s.Add(broken))
	require.True(t, hasChanged())
	require.Nil(t, s.Current(), "without a tier it is none")

	sound := hyperNode(t, "a", `{tier: 1, `+exact("Node", "n1")+`}`)
	require.NoError(t, s.Update(sound))
	require.True(t, hasChanged())
	first := s.Current()
	require.Equal(t, []string{"a"}, first.Path("n1", nil))

	counted := sound.DeepCopy()
	counted.Object["status"] = map[string]any{"nodeCount": int64(1)}
	require.NoError(t, s.Update(counted))
	require.NoError(t, s.Replace([]any{counted.DeepCopy()}, "7"))
	require.False(t, hasChanged(), "a status is no change")
	require.Same(t, first, s.Current())

	require.NoError(t, s.Replace([]any{sound, hyperNode(t, "b", `{tier: 2, `+exact("HyperNode", "a")+`}`)}, "8"))
	require.True(t, hasChanged())
	require.Equal(t, []string{"a"}, first.Path("n1", nil), "a tree never changes")
	require.Equal(t, []string{"b", "a"}, s.Current().Path("n1", nil))
	require.NoError(t, s.Delete(sound))
	require.True(t, hasChanged())
	require.Len(t, s.Current().Tiers(), 1)
	require.NoError(t, s.Delete(sound))
	require.False(t, hasChanged(), "it is gone already")
	require.NoError(t, s.Replace(nil, ""))
	require.True(t, hasChanged())
	require.Nil(t, s.Current())

	require.Error(t, s.Add("text"))
	require.Error(t, s.Delete("text"))
	require.Error(t, s.Replace([]any{"text"}, ""))
	require.NoError(t, s.Resync())
}

func TestManyHyperNodesOnManyNodes(t *testing.T) {
	const count = 10_000
	selectors := map[string]func(i int) string{
		"by exact name": func(i int) string { return fmt.Sprintf(`{exactMatch: {name: node-%d}}`, i) },
		"by a pattern":  func(i int) string { return fmt.Sprintf(`{regexMatch: {pattern: "^node-%d$"}}`, i) },
		"by labels":     func(i int) string { return fmt.Sprintf(`{labelMatch: {matchLabels: {rack: r%d}}}`, i) },
	}
	for name, selector := range selectors {
		t.Run(name, func(t *testing.T) {
			var all []*HyperNode
			for i := range count {
				all = append(all, Parse(hyperNode(t, fmt.Sprint("h", i), `{tier: 1, members: [{type: Node, selector: `+selector(i)+`}]}`)))
			}
			start := time.Now()
			of := NewTree(all)
			nodes := map[string]map[string]string{}
			for i := range count {
				nodes[fmt.Sprint("node-", i)] = map[string]string{"rack": fmt.Sprint("r", i), "zone": "z"}
			}
			placed := 0
			for node, labels := range nodes {
				if of.Path(node, labels)[0] != "" {
					placed++
				}
			}
			require.Equal(t, count, placed)
			t.Logf("resolved in %s", time.Since(start))
			require.Less(t, time.Since(start), 5*time.Second, "a hundredth of it on a quiet machine")
		})
	}
}
