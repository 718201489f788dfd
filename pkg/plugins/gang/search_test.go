package gang

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultbinder"
	plfeature "k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/interpodaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeports"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/queuesort"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	tf "k8s.io/kubernetes/pkg/scheduler/testing/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// nobody is nominated.
type nobody struct{ fwk.PodNominator }

func (nobody) NominatedPodsForNode(string) []fwk.PodInfo { return nil }

// guard is a plugin that reserves no place on some nodes, and counts the places that it has given.
type guard struct {
	refuses map[string]bool
	given   int
}

func (*guard) Name() string { return "Guard" }

func (g *guard) Reserve(_ context.Context, _ fwk.CycleState, _ *v1.Pod, node string) *fwk.Status {
	g.given++
	if g.refuses[node] {
		return fwk.NewStatus(fwk.Unschedulable, "taken")
	}
	return nil
}

func (g *guard) Unreserve(context.Context, fwk.CycleState, *v1.Pod, string) { g.given-- }

// arena is a cluster with the framework's own filters.
type arena struct {
	gang     *Gang
	cluster  *cluster.Cluster
	snapshot *cache.Snapshot
	guard    *guard
}

// arenaOf takes racks, each with the free GPUs of its nodes: they are called r0-n0 and so on.
func arenaOf(t *testing.T, refused []string, racks ...[]int) *arena {
	t.Helper()
	var nodes []*v1.Node
	for r, free := range racks {
		for n, count := range free {
			name := fmt.Sprintf("r%d-n%d", r, n)
			nodes = append(nodes, nodeWith(name, list("cpu", "64", "nvidia.com/gpu", fmt.Sprint(count)), nil, func(node *v1.Node) {
				node.Labels = map[string]string{v1.LabelHostname: name, "example.com/rack": fmt.Sprint("r", r), "power": fmt.Sprint("f", r)}
			}).Node())
		}
	}
	a := &arena{cluster: cluster.New([]cluster.Level{{Name: "rack", NodeLabel: "example.com/rack"}}), snapshot: cache.NewSnapshot(nil, nodes), guard: &guard{refuses: map[string]bool{}}}
	for _, node := range refused {
		a.guard.refuses[node] = true
	}
	with := func(name string, make func(context.Context, runtime.Object, fwk.Handle, plfeature.Features) (fwk.Plugin, error), points ...string) tf.RegisterPluginFunc {
		return tf.RegisterPluginAsExtensions(name, frameworkruntime.FactoryAdapter(plfeature.Features{}, make), points...)
	}
	metrics.Register()
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	framework, err := tf.NewFramework(t.Context(), []tf.RegisterPluginFunc{
		tf.RegisterQueueSortPlugin(queuesort.Name, queuesort.New),
		tf.RegisterBindPlugin(defaultbinder.Name, defaultbinder.New),
		with(noderesources.Name, noderesources.NewFit, "PreFilter", "Filter"),
		with(podtopologyspread.Name, podtopologyspread.New, "PreFilter", "Filter"),
		with(interpodaffinity.Name, interpodaffinity.New, "PreFilter", "Filter"),
		with(nodeports.Name, nodeports.New, "PreFilter", "Filter"),
		tf.RegisterReservePlugin("Guard", func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) { return a.guard, nil }),
	}, "phalanx", frameworkruntime.WithSnapshotSharedLister(a.snapshot), frameworkruntime.WithInformerFactory(factory),
		frameworkruntime.WithPodNominator(nobody{}), frameworkruntime.WithClientSet(fake.NewClientset()))
	require.NoError(t, err)
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	a.gang = &Gang{handle: framework, account: roleByLabel{}}
	return a
}

// search plans members one by one, and returns how many stand on which node, or why none does.
func (a *arena) search(t *testing.T, d ledger.Demand, need int, pods ...*v1.Pod) (on map[string]int, why string) {
	t.Helper()
	nodes, err := a.snapshot.NodeInfos().List()
	require.NoError(t, err)
	a.cluster.Update(nodes)
	role := a.gang.roleIn(&try{})
	try := &try{demand: d, need: need, classes: classesOf(pods, role)}
	if d.Wish.SliceSize == 0 {
		try.classes = classesOf(pods, role, meantAmong(try.classes)...)
	}
	parts := a.gang.partsOf(try, pods, nil)
	p := newProblem(klog.Background(), a.cluster, try.classes, need, nil)
	require.Empty(t, p.wish(d.Wish))
	free := slices.Clone(a.cluster.Fabric().Slots(a.cluster.Request(gpus("1"))))
	placements := a.gang.searched(t.Context(), framework.NewCycleState(), try, p, parts, nil)

	require.Equal(t, free, a.cluster.Fabric().Slots(a.cluster.Request(gpus("1"))), "what was taken is given back")
	require.Zero(t, a.guard.given, "and what was reserved")
	for _, node := range nodes {
		require.Empty(t, node.GetPods(), "and nobody is left in the snapshot")
	}
	if try.refused != (gang.Waiting{}) {
		require.Empty(t, placements)
		return nil, try.refused.String()
	}
	require.Len(t, placements, 1)
	on = map[string]int{}
	for _, to := range try.plan {
		require.NotNil(t, to.judged, "the core need not ask the filters again")
		on[to.node]++
	}
	require.Len(t, placements[0].Nodes, len(on))
	return on, ""
}

func in(selects map[string]string, key string) v1.PodAffinityTerm {
	return v1.PodAffinityTerm{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: selects}}
}

func wearing(key, value string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		p.Labels[key] = value
	}
}

func besideIn(key string, selects map[string]string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Affinity = &v1.Affinity{PodAffinity: &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{in(selects, key)}}}
	}
}

func awayIn(key string, selects map[string]string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{in(selects, key)}}}
	}
}

func spreadOver(key string, skew int32, selects map[string]string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{MaxSkew: skew, TopologyKey: key,
			WhenUnsatisfiable: v1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: selects}}}
	}
}

// team are members of a role that wear its name on a label, with so many GPUs each.
func team(role string, count int, each string, mutations ...func(*v1.Pod)) []*v1.Pod {
	pods := roleMembers(role, count, each)
	for _, pod := range pods {
		for _, mutate := range mutations {
			mutate(pod)
		}
	}
	return pods
}

// rename makes pods others, whose names begin so.
func rename(prefix string, pods []*v1.Pod) []*v1.Pod {
	for _, pod := range pods {
		pod.Name = prefix + pod.Name
		pod.UID = types.UID(pod.Name)
	}
	return pods
}

func TestMembersThatDependOnEachOtherFindPlaces(t *testing.T) {
	a := map[string]string{"role": "a"}
	away := spreadOver("power", 1, map[string]string{"role": "nobody"})
	type where = map[string]int
	for name, c := range map[string]struct {
		racks   [][]int
		refused []string
		demand  ledger.Demand
		need    int
		pods    []*v1.Pod
		want    where
		why     string
	}{
		"together in what is no level, where the first node that has room is a dead end": {
			racks: [][]int{{1}, {2, 1}}, need: 3, pods: team("a", 3, "1", besideIn("power", a)), want: where{"r1-n0": 2, "r1-n1": 1}},
		"evenly over racks": {
			racks: [][]int{{4}, {4}}, need: 4, pods: team("a", 4, "1", spreadOver("example.com/rack", 1, a)), want: where{"r0-n0": 2, "r1-n0": 2}},
		"evenly over racks, one of which is too small": {
			racks: [][]int{{8}, {1}}, need: 4, pods: team("a", 4, "1", spreadOver("example.com/rack", 1, a)),
			why: "Fragmented: 3 members fit together, 1 more must; alone each fits on 2 nodes"},
		"one in each rack": {
			racks: [][]int{{4}, {4}, {4}}, need: 3, pods: team("a", 3, "1", awayIn("example.com/rack", a)), want: where{"r0-n0": 1, "r1-n0": 1, "r2-n0": 1}},
		"the small ones make room for the large one": {
			racks: [][]int{{8}, {2}, {2}}, need: 3,
			pods: append(team("a", 2, "1", awayIn("example.com/rack", a)), team("b", 1, "8")...),
			want: where{"r0-n0": 1, "r1-n0": 1, "r2-n0": 1}},
		"who must stand beside others comes after them": {
			racks: [][]int{{2}, {8}}, need: 3,
			pods: append(team("b", 1, "4", besideIn("example.com/rack", a)), team("a", 2, "1")...),
			want: where{"r1-n0": 3}},
		"some may stay out": {
			racks: [][]int{{1}, {1}}, need: 2, pods: team("a", 4, "1", spreadOver("example.com/rack", 1, a)), want: where{"r0-n0": 1, "r1-n0": 1}},
		"a place that a plugin does not reserve is left to others": {
			racks: [][]int{{1, 4}}, refused: []string{"r0-n0"}, need: 2,
			pods: team("a", 2, "1", spreadOver("example.com/rack", 1, a)), want: where{"r0-n1": 2}},
		"sub-groups in one rack each": {
			racks: [][]int{{1}, {2, 2}}, need: 4,
			demand: ledger.Demand{SubGroups: []gang.SubGroup{
				{Name: "pair", Size: 2, Minimum: 2, Selector: labels.SelectorFromSet(a), MatchLabelKeys: []string{"pair"}, Wish: inOne("rack")},
			}},
			pods: slices.Concat(team("a", 2, "1", wearing("pair", "x"), away), rename("y", team("a", 2, "1", wearing("pair", "y"), away))),
			want: where{"r1-n0": 2, "r1-n1": 2}},
		"slices in one rack each": {
			racks: [][]int{{3}, {3}}, need: 4,
			demand: ledger.Demand{Wish: gang.Wish{SliceSize: 2, Slice: gang.Level{Name: "rack", Source: "annotation"}}},
			pods:   team("a", 4, "1", spreadOver("example.com/rack", 2, a)), want: where{"r0-n0": 2, "r1-n0": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			on, why := arenaOf(t, c.refused, c.racks...).search(t, c.demand, c.need, c.pods...)
			require.Equal(t, c.why, why)
			require.Equal(t, c.want, on)
		})
	}
}

// TestTheSearchGivesUp shows what the bound on the search misses: 14 members of two kinds that must all stand on one power feed,
// of which the first has 12 nodes and the second 14. Which of the 12 are tried is of no consequence, but where each has a label of
// its own the search does not know.
func TestTheSearchGivesUp(t *testing.T) {
	one := func(n int) []int {
		nodes := make([]int, n)
		for i := range nodes {
			nodes[i] = 1
		}
		return nodes
	}
	job := map[string]string{"job": "x"}
	member := []func(*v1.Pod){wearing("job", "x"), besideIn("power", job)}
	pods := append(team("a", 7, "1", member...), team("b", 7, "1", append(member, func(p *v1.Pod) {
		p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("1")
	})...)...)
	search := func(isAlike bool) (map[string]int, string) {
		a := arenaOf(t, nil, one(12), one(14))
		a.cluster = cluster.New(nil)
		nodes, err := a.snapshot.NodeInfos().List()
		require.NoError(t, err)
		for _, node := range nodes {
			if !isAlike {
				node.Node().Labels["serial"] = node.Node().Name
			}
		}
		return a.search(t, ledger.Demand{}, 14, pods...)
	}
	_, why := search(false)
	require.Equal(t, "Fragmented: 12 members fit together, 2 more must; alone each fits on 26 nodes; not every way was tried", why)
	on, why := search(true)
	require.Empty(t, why)
	require.Len(t, on, 14)
}

func TestNodesThatLookAlike(t *testing.T) {
	plain := func(n *v1.Node) { n.Labels = map[string]string{v1.LabelHostname: n.Name, "pool": "a"} }
	daemon := func(node string, mutations ...func(*v1.Pod)) *v1.Pod {
		return podWith("daemon-"+node, list("cpu", "1"), append(mutations, wearing("app", "daemon"))...)
	}
	cpus := list("cpu", "8")
	for name, c := range map[string]struct {
		node func(*v1.Node)
		pods []*v1.Pod
		want bool
	}{
		"but for their names":      {plain, []*v1.Pod{daemon("b")}, true},
		"with another label":       {func(n *v1.Node) { plain(n); n.Labels["pool"] = "b" }, []*v1.Pod{daemon("b")}, false},
		"with a taint":             {func(n *v1.Node) { plain(n); n.Spec.Taints = []v1.Taint{{Key: "x"}} }, []*v1.Pod{daemon("b")}, false},
		"that is cordoned":         {func(n *v1.Node) { plain(n); n.Spec.Unschedulable = true }, []*v1.Pod{daemon("b")}, false},
		"with less room":           {plain, []*v1.Pod{daemon("b", func(p *v1.Pod) { p.Spec.Containers[0].Resources.Requests = list("cpu", "2") })}, false},
		"with another pod":         {plain, []*v1.Pod{daemon("b", func(p *v1.Pod) { p.Namespace = "other" })}, false},
		"with a pod that has more": {plain, []*v1.Pod{daemon("b", onPort(80, ""))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := nodeWith("a", cpus.DeepCopy(), nil, plain)
			b := nodeWith("b", cpus.DeepCopy(), nil, c.node)
			a.AddPodInfo(infoOf(t, daemon("a")))
			for _, pod := range c.pods {
				b.AddPodInfo(infoOf(t, pod))
			}
			clu := cluster.New(nil)
			clu.Update([]fwk.NodeInfo{a, b})
			s := &search{p: &problem{cluster: clu}, alike: alike{kinds: map[string]int{}, of: map[int]int{}}}
			require.Equal(t, c.want, s.looksOf(0) == s.looksOf(1))
		})
	}
}

func infoOf(t *testing.T, pod *v1.Pod) fwk.PodInfo {
	t.Helper()
	info, err := framework.NewPodInfo(pod)
	require.NoError(t, err)
	return info
}
