package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// gate closes nodes by name, and counts who was asked about.
type gate struct {
	closed map[string]string
	asked  []string
}

func (g *gate) verdict(info fwk.NodeInfo) string {
	g.asked = append(g.asked, info.Node().Name)
	return g.closed[info.Node().Name]
}

// ask returns what is closed of the nodes, and who was asked about it.
func (g *gate) ask(c *Cluster, epoch uint64) (closed, asked string) {
	g.asked = nil
	e := c.Close(&placement.Exclusions{Reasons: reasons, By: make([]uint8, c.tree.Len())}, "sort", epoch, g.verdict)
	var out []string
	for i, by := range e.By {
		if by != 0 {
			out = append(out, fmt.Sprintf("%s: %s", c.tree.Node(i), e.Reasons[by-1]))
		}
	}
	return strings.Join(out, ", "), strings.Join(g.asked, " ")
}

func TestOnlyNodesThatChangedAreAskedAboutAgain(t *testing.T) {
	infos := []fwk.NodeInfo{infoOf(gpuNode("n1", 8, nil)), infoOf(gpuNode("n2", 8, nil)), infoOf(gpuNode("n3", 8, nil))}
	c, g := New(nil), &gate{closed: map[string]string{"n2": "node(s) had an unhealthy GPU"}}
	c.Update(infos)
	check := func(epoch uint64, wantClosed, wantAsked string, wantHelped bool) {
		t.Helper()
		c.Update(infos)
		before := c.Helped()
		closed, asked := g.ask(c, epoch)
		require.Equal(t, wantClosed, closed)
		require.Equal(t, wantAsked, asked)
		require.Equal(t, wantHelped, c.Helped() != before, "whether anybody was helped")
	}
	check(1, "n2: an unhealthy GPU", "n1 n2 n3", false)
	check(1, "n2: an unhealthy GPU", "", false)

	pod, err := framework.NewPodInfo(gpuPod("p", 1))
	require.NoError(t, err)
	infos[2].AddPodInfo(pod)
	g.closed["n3"] = "node(s) had GPUs that are too far apart"
	check(1, "n2: an unhealthy GPU, n3: GPUs that are too far apart", "n3", false)

	delete(g.closed, "n2")
	check(1, "n2: an unhealthy GPU, n3: GPUs that are too far apart", "", false)
	check(2, "n3: GPUs that are too far apart", "n1 n2 n3", true)
	require.NoError(t, infos[2].RemovePod(klog.Background(), pod.Pod))
	delete(g.closed, "n3")
	check(2, "", "n3", true)

	g.closed["n4"] = "closed"
	infos = append(infos, infoOf(gpuNode("n4", 8, nil)))
	check(2, "n4: closed", "n1 n2 n3 n4", false)
}

func TestWhatIsExcludedAlreadyKeepsItsReason(t *testing.T) {
	c := New(nil)
	c.Update([]fwk.NodeInfo{infoOf(gpuNode("n1", 8, nil)), infoOf(gpuNode("n2", 8, nil))})
	before := &placement.Exclusions{Reasons: reasons, By: []uint8{tainted, admitted}}
	after := c.Close(before, "sort", 0, func(fwk.NodeInfo) string { return "closed" })
	require.Equal(t, []string{"not selected", "unschedulable", "tainted", "closed"}, after.Reasons)
	require.Equal(t, []uint8{tainted, 4}, after.By)
	require.Equal(t, []uint8{tainted, admitted}, before.By, "what is shared stays as it was")

	require.Same(t, before, c.Close(before, "another sort", 0, func(fwk.NodeInfo) string { return "" }), "where nothing is closed there is nothing to copy")
}

func TestClosedNodesHaveMoreReasonsThanCanBeToldApart(t *testing.T) {
	c, infos := New(nil), []fwk.NodeInfo{}
	for i := range 300 {
		infos = append(infos, infoOf(gpuNode(fmt.Sprintf("n%03d", i), 8, nil)))
	}
	c.Update(infos)
	e := c.Close(&placement.Exclusions{Reasons: reasons, By: make([]uint8, 300)}, "sort", 0, func(info fwk.NodeInfo) string { return "because of " + info.Node().Name })
	require.Len(t, e.Reasons, maxReasons)
	for i, by := range e.By {
		require.NotZero(t, by, "node %d", i)
	}
	require.Equal(t, "because of n000", e.Reasons[e.By[0]-1])
}

func TestAJournalForgets(t *testing.T) {
	j, at := &journal{}, position{}
	read := func() (out []int) {
		for i := range j.since(&at, 3) {
			out = append(out, i)
		}
		return out
	}
	require.Equal(t, []int{0, 1, 2}, read(), "who has not looked yet looks at all")
	require.Empty(t, read())
	j.add(1)
	require.Equal(t, []int{1}, read())
	for range 2*maxRemembered + 1 {
		j.add(2)
	}
	require.LessOrEqual(t, cap(j.numbers), 2*maxRemembered)
	require.Equal(t, []int{0, 1, 2}, read(), "and who comes too late")
	j.add(0)
	require.Equal(t, []int{0}, read())
}

func TestWhatWasAskedForLongestAgoIsForgotten(t *testing.T) {
	var m memory[int]
	for i := range maxSorts + 1 {
		value, isNew := m.of(fmt.Sprint(i))
		require.True(t, isNew)
		*value = i
		if i > 0 {
			_, isNew = m.of("0")
			require.False(t, isNew, "it is asked for again and again")
		}
	}
	_, isNew := m.of("1")
	require.True(t, isNew)
	value, isNew := m.of("0")
	require.False(t, isNew)
	require.Equal(t, 0, *value)
	require.Len(t, m.known, maxSorts)
}
