package gang

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
	core "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// trying is the state of a member that is looked at in a try.
func trying(t *try) *framework.CycleState {
	whole, member := framework.NewCycleState(), framework.NewCycleState()
	if t != nil {
		whole.Write(tryKey, t)
	}
	member.SetPodGroupSchedulingCycle(whole)
	return member
}

func onNode(name string) *try { return &try{plan: plan{"p": {node: name}}} }

func TestPlannedMembersGoToTheirNodeOnly(t *testing.T) {
	g, p := &Gang{}, podWith("p", nil)
	for name, c := range map[string]struct {
		state fwk.CycleState
		pod   *v1.Pod
		code  fwk.Code
		nodes sets.Set[string]
		here  fwk.Code // of a look at node n1
		there fwk.Code // of a look at node n2
	}{
		"a planned member":                  {trying(onNode("n1")), p, fwk.Success, sets.New("n1"), fwk.Success, fwk.UnschedulableAndUnresolvable},
		"a member that the plan leaves out": {trying(onNode("n1")), podWith("late", nil), fwk.UnschedulableAndUnresolvable, nil, fwk.Success, fwk.Success},
		"a try without a plan":              {trying(&try{}), p, fwk.Skip, nil, fwk.Success, fwk.Success},
		"a state that knows of no try":      {trying(nil), p, fwk.Skip, nil, fwk.Success, fwk.Success},
		"a pod of no gang":                  {framework.NewCycleState(), p, fwk.Skip, nil, fwk.Success, fwk.Success},
	} {
		t.Run(name, func(t *testing.T) {
			result, status := g.PreFilter(t.Context(), c.state, c.pod, nil)
			require.Equal(t, c.code, status.Code())
			if c.nodes != nil {
				require.Equal(t, c.nodes, result.NodeNames)
			} else {
				require.Nil(t, result)
			}
			require.Equal(t, c.here, g.Filter(t.Context(), c.state, c.pod, nodeWith("n1", v1.ResourceList{}, nil)).Code())
			require.Equal(t, c.there, g.Filter(t.Context(), c.state, c.pod, nodeWith("n2", v1.ResourceList{}, nil)).Code())
		})
	}
}

func TestMembersShareNoSignature(t *testing.T) {
	g := &Gang{}
	_, status := g.SignPod(t.Context(), gangMember(0))
	require.False(t, status.IsSuccess(), "the core must not reuse what it found for another member")
	fragments, status := g.SignPod(t.Context(), podWith("single", nil))
	require.True(t, status.IsSuccess())
	require.Empty(t, fragments)
}

// note is something that a plugin leaves in a state.
type note struct{ copies *int }

func (n note) Clone() fwk.StateData {
	*n.copies++
	return n
}

// judgement is what the filters leave behind for a class.
func judgement(copies *int) *recorder {
	r := &recorder{CycleState: framework.NewCycleState()}
	r.Write("a plugin's", note{copies})
	r.SetSkipFilterPlugins(sets.New("NodePorts"))
	return r
}

func TestWhatTheFiltersLeftIsHandedToEachMember(t *testing.T) {
	copies := 0
	r := judgement(&copies)
	_, err := r.Read("a plugin's")
	require.NoError(t, err, "plugins read what they wrote")
	for range 2 {
		state := framework.NewCycleState()
		r.handTo(state)
		_, err := state.Read("a plugin's")
		require.NoError(t, err)
		require.Equal(t, sets.New("NodePorts"), state.GetSkipFilterPlugins())
	}
	require.Equal(t, 2, copies, "each has a copy of its own")
}

func TestJudgedMembersAreAnsweredAtOnce(t *testing.T) {
	copies := 0
	judged := &try{plan: plan{"p": {"n1", judgement(&copies)}}}
	for name, c := range map[string]struct {
		state        fwk.CycleState
		uid          types.UID
		hasExtenders bool
		host         string
	}{
		"a judged member":                      {trying(judged), "p", false, "n1"},
		"a member that the plan leaves out":    {trying(judged), "q", false, "found by the core"},
		"a planned member that was not judged": {trying(onNode("n1")), "p", false, "found by the core"},
		"a try without a plan":                 {trying(&try{}), "p", false, "found by the core"},
		"a state that knows of no try":         {trying(nil), "p", false, "found by the core"},
		"a pod of no gang":                     {framework.NewCycleState(), "p", false, "found by the core"},
		"where extenders have a say":           {trying(judged), "p", true, "found by the core"},
	} {
		t.Run(name, func(t *testing.T) {
			next := func(context.Context, framework.Framework, fwk.CycleState, *framework.QueuedPodInfo) (core.ScheduleResult, error) {
				return core.ScheduleResult{SuggestedHost: "found by the core"}, nil
			}
			pod := &framework.QueuedPodInfo{PodInfo: &framework.PodInfo{Pod: podWith(string(c.uid), nil)}}
			result, err := quickly(next, c.hasExtenders)(t.Context(), nil, c.state, pod)
			require.NoError(t, err)
			require.Equal(t, c.host, result.SuggestedHost)
		})
	}
}

func TestPodsThatPluginsPrepareSomethingForAreNotQuick(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1.Pod)
		want   bool
	}{
		"a plain pod":            {func(*v1.Pod) {}, true},
		"scratch space":          {mounting(v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}), true},
		"a config map":           {mounting(v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{}}), true},
		"a claim":                {claiming("data"), false},
		"a claim made for a pod": {mounting(v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{}}), false},
		"a volume of a driver":   {mounting(v1.VolumeSource{CSI: &v1.CSIVolumeSource{}}), false},
		"a device":               {func(p *v1.Pod) { p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "nic"}} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, isQuick(podWith("p", nil, c.change)))
		})
	}
}
