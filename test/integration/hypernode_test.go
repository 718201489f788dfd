package integration

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// The fabric of the test: two leaves below one spine, and one that is below none.
const hyperNodes = `
apiVersion: topology.volcano.sh/v1alpha1
kind: HyperNode
metadata: {name: leaf-a}
spec:
  tier: 1
  tierName: leaf
  members:
  - {type: Node, selector: {exactMatch: {name: NS-a0}}}
  - {type: Node, selector: {exactMatch: {name: NS-a1}}}
  - {type: Node, selector: {exactMatch: {name: NS-a2}}}
---
apiVersion: topology.volcano.sh/v1alpha1
kind: HyperNode
metadata: {name: leaf-c}
spec:
  tier: 1
  tierName: leaf
  members:
  - {type: Node, selector: {labelMatch: {matchLabels: {leaf: c}}}}
---
apiVersion: topology.volcano.sh/v1alpha1
kind: HyperNode
metadata: {name: leaf-b}
spec:
  tier: 1
  tierName: leaf
  members:
  - {type: Node, selector: {regexMatch: {pattern: "^NS-b[0-9]$"}}}
  - {type: Node, selector: {regexMatch: {pattern: "broken("}}}
---
apiVersion: topology.volcano.sh/v1alpha1
kind: HyperNode
metadata: {name: spine}
spec:
  tier: 3
  members:
  - {type: HyperNode, selector: {exactMatch: {name: leaf-a}}}
  - {type: HyperNode, selector: {exactMatch: {name: leaf-b}}}
`

// wider is leaf-b with a node of leaf-c, which then is in both.
const wider = `
apiVersion: topology.volcano.sh/v1alpha1
kind: HyperNode
metadata: {name: leaf-b}
spec:
  tier: 1
  tierName: leaf
  members:
  - {type: Node, selector: {regexMatch: {pattern: "^NS-b[0-9]$"}}}
  - {type: Node, selector: {exactMatch: {name: NS-c0}}}
`

const noLeaf = `GangInvalid: spec.networkTopology.highestTierName "leaf": no node carries such a level; the levels are: node`

// On a cluster of its own, since HyperNodes belong to a whole cluster. The parts follow each other: what a gang leaves free is
// what the next one finds.
func TestHyperNodesAreTheFabric(t *testing.T) {
	t.Parallel()
	c := startCluster(t, cluster.Options{Options: controlplane.Options{Kwok: true, Controllers: true}})
	s, err := c.StartScheduler(t.Context(), cluster.SchedulerOptions{V: 3})
	require.NoError(t, err)
	w := newWorld(t, c, 0)
	for leaf, nodes := range map[string]int{"a": 3, "b": 4, "c": 2} {
		for i := range nodes {
			w.addNodes(1, func(n *v1.Node) { n.Name, n.Labels["leaf"] = fmt.Sprintf("%s-%s%d", w.ns, leaf, i), leaf })
		}
	}

	w.tieredGang("early", 4, "hard", "highestTierName", "leaf")
	w.eventually(sayingAboutAll(w, "early", noLeaf))
	definition, err := os.ReadFile(filepath.Join("testdata", "crds", "hypernodes.yaml"))
	require.NoError(t, err)
	w.apply(string(definition))
	w.apply(hyperNodes)
	w.waitRunning("early", 4)
	require.Equal(t, map[string]int{"b": 4}, w.leaves("early"), "no other leaf holds it")
	w.waitHyperNodeEvents("leaf-b", `spec.members[1].selector.regexMatch.pattern is "broken(": it must be a regular expression (missing closing ))`)
	w.finish("early")

	w.tieredGang("broad", 5, "hard", "highestTierAllowed", int64(1))
	w.eventually(sayingAboutAll(w, "broad", "TopologyTooNarrow: no leaf has 5 slots of 8 nvidia.com/gpu; the best, leaf leaf-b in spine, has 4"))
	testTiers(t, w)
	require.Zero(t, w.bound(t.Context(), "broad"))
	w.apply(wider)
	w.waitRunning("broad", 5)
	require.Equal(t, map[string]int{"b": 4, "c": 1}, w.leaves("broad"))
	w.waitHyperNodeEvents("leaf-c", fmt.Sprintf("node %q is in %q already", w.ns+"-c0", "leaf-b"))
	w.waitHyperNodeEvents("spine")

	w.tieredGang("late", 4, "hard", "highestTierName", "leaf")
	w.eventually(sayingAboutAll(w, "late", "TopologyTooNarrow: no leaf has 4 slots of 8 nvidia.com/gpu; the best, leaf leaf-a in spine, has 3"))
	require.NoError(t, c.Dynamic.Resource(definitions).Delete(t.Context(), "hypernodes.topology.volcano.sh", metav1.DeleteOptions{}))
	w.eventually(sayingAboutAll(w, "late", noLeaf))
	require.NoError(t, inspect(s))
}

// testTiers places gangs on an empty fabric, one after the other.
func testTiers(t *testing.T, w *world) {
	for _, c := range []struct {
		name    string
		members int
		mode    string
		tier    int64
		want    map[string]int // by leaf; nil for anywhere
	}{
		{"soft-falls-back", 5, "soft", 1, nil},
		{"beyond-the-highest-is-the-highest", 7, "hard", 9, map[string]int{"a": 3, "b": 4}},
		{"a-gap-is-the-tier-below", 2, "hard", 2, map[string]int{"c": 2}},
	} {
		w.tieredGang(c.name, c.members, c.mode, "highestTierAllowed", c.tier)
		w.waitRunning(c.name, c.members)
		if c.want != nil {
			require.Equal(t, c.want, w.leaves(c.name), c.name)
		}
		w.finish(c.name)
	}
}

// tieredGang creates a Volcano PodGroup with a wish of the network, and its members, each of which takes a node.
func (w *world) tieredGang(name string, members int, mode, field string, value any) {
	w.t.Helper()
	w.podGroup(volcanoGroups, name, map[string]any{
		"minMember": int64(members), "networkTopology": map[string]any{"mode": mode, field: value},
	})
	w.members(volcano, name, 0, members, 8)
}

// finish lets a gang end, and waits for it.
func (w *world) finish(name string) {
	w.t.Helper()
	w.complete(name)
	w.eventually(func(ctx context.Context) string {
		for _, p := range w.pods(ctx, name) {
			if p.Status.Phase != v1.PodSucceeded {
				return "the end of " + p.Name
			}
		}
		return ""
	})
}

// apply applies manifests that call the test's namespace NS.
func (w *world) apply(manifests string) {
	w.t.Helper()
	require.NoError(w.t, w.Apply(w.t.Context(), []byte(strings.ReplaceAll(manifests, "NS", w.ns))))
}

// leaves counts the bound pods with the prefix by the letter of their nodes.
func (w *world) leaves(prefix string) map[string]int {
	counts := map[string]int{}
	for node, pods := range w.nodesOf(prefix) {
		counts[strings.TrimPrefix(node, w.ns+"-")[:1]] += pods
	}
	return counts
}

// waitHyperNodeEvents waits until the events HyperNodeInvalid about a HyperNode are these.
func (w *world) waitHyperNodeEvents(name string, want ...string) {
	w.t.Helper()
	w.eventually(func(ctx context.Context) string {
		list, err := w.Client.CoreV1().Events(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=HyperNode,involvedObject.name=" + name})
		if err != nil {
			return err.Error()
		}
		notes := map[string]bool{}
		for _, e := range list.Items {
			notes[e.Reason+": "+e.Message] = true
		}
		for _, note := range want {
			if !notes["HyperNodeInvalid: "+note] {
				return fmt.Sprintf("the event %q about %s, there are %q", note, name, slices.Sorted(maps.Keys(notes)))
			}
		}
		if len(list.Items) != len(want) {
			return fmt.Sprintf("%d events about %s, there are %q", len(want), name, slices.Sorted(maps.Keys(notes)))
		}
		return ""
	})
}
