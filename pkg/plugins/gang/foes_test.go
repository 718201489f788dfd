package gang

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
)

// cast is a handle that knows the pods that run.
type cast struct {
	fwk.Handle
	snapshot fwk.SharedLister
}

func (c cast) SnapshotSharedLister() fwk.SharedLister { return c.snapshot }

// shunning makes a pod run on node n0 that wants no pod with the label beside it, in these namespaces or its own.
func shunning(name, label string, namespaces ...string) *v1.Pod {
	return podWith(name, nil, func(p *v1.Pod) {
		p.Spec.NodeName = "n0"
		p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{{
			TopologyKey: v1.LabelHostname, Namespaces: namespaces,
			LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: label, Operator: metav1.LabelSelectorOpExists}}}}}}}
	})
}

func TestFoesTellMembersApart(t *testing.T) {
	running := []*v1.Pod{shunning("a-0", "noisy"), shunning("a-1", "noisy"), shunning("b", "index", "elsewhere")}
	g := &Gang{handle: cast{snapshot: cache.NewSnapshot(running, []*v1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "n0"}}})}}
	foes := g.foes("ns")
	require.Equal(t, []string{"noisy"}, words(foes))
	require.Equal(t, []string{"index"}, words(g.foes("elsewhere")))

	pods := podsWith(4, gpus("1"), func(p *v1.Pod) { p.Labels = map[string]string{"index": p.Name} })
	require.Len(t, classesOf(pods, noRole, foes...), 1)
	pods[1].Labels["noisy"], pods[3].Labels["noisy"] = "very", "a bit"
	classes := classesOf(pods, noRole, foes...)
	require.Len(t, classes, 2)
	require.Equal(t, []*v1.Pod{pods[1], pods[3]}, classes[1].members)
	require.Len(t, classesOf(pods, noRole), 1, "where nobody minds, labels tell nobody apart")
}

func TestMembersInSlicesAreLookedAtAgainIfFoesTellThemApart(t *testing.T) {
	foes := []labels.Selector{labels.SelectorFromSet(labels.Set{"noisy": "yes"})}
	pods := podsWith(2, gpus("1"))
	planned := &try{plan: plan{"p0": {"n0", &recorder{}}, "p1": {"n1", &recorder{}}}}
	planned.lookAgain(pods, foes)
	require.NotNil(t, planned.plan["p0"].judged, "foes mean neither")
	pods[1].Labels = map[string]string{"noisy": "yes"}
	planned.lookAgain(pods, foes)
	require.Equal(t, plan{"p0": {node: "n0"}, "p1": {node: "n1"}}, planned.plan)
}

func words(selectors []labels.Selector) []string {
	var out []string
	for _, s := range selectors {
		out = append(out, s.String())
	}
	slices.Sort(out)
	return out
}
