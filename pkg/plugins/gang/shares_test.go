package gang

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// onPort makes a pod want a port of its node, on one address or on all.
func onPort(port int32, address string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, v1.ContainerPort{ContainerPort: port, HostPort: port, HostIP: address})
	}
}

func TestWhatKeepsMembersOffANode(t *testing.T) {
	a, b := map[string]string{"role": "a"}, map[string]string{"role": "b"}
	elsewhere := func(p *v1.Pod) {
		p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].Namespaces = []string{"elsewhere"}
	}
	of := func(namespaces map[string]string) func(*v1.Pod) {
		return func(p *v1.Pod) {
			p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].NamespaceSelector = &metav1.LabelSelector{MatchLabels: namespaces}
		}
	}
	const host = v1.LabelHostname
	for name, c := range map[string]struct {
		pods     [][]*v1.Pod
		onOne    map[string]int // how many of a role fit on one node of 8 GPUs with one of each other role
		isSearch bool           // there is more to it than shares can say
	}{
		"nothing":                       {pods: [][]*v1.Pod{team("a", 4, "1")}, onOne: map[string]int{"a": 8}},
		"a host port":                   {pods: [][]*v1.Pod{team("a", 4, "1", onPort(80, ""))}, onOne: map[string]int{"a": 1}},
		"different host ports":          {pods: [][]*v1.Pod{team("a", 1, "1", onPort(80, "")), team("b", 1, "1", onPort(81, ""))}, onOne: map[string]int{"a": 1, "b": 1}},
		"the same port of two roles":    {pods: [][]*v1.Pod{team("a", 1, "1", onPort(80, "")), team("b", 1, "1", onPort(80, ""))}, onOne: map[string]int{"a": 0, "b": 0}},
		"a port on different addresses": {pods: [][]*v1.Pod{team("a", 1, "1", onPort(80, "10.0.0.1")), team("b", 1, "1", onPort(80, "10.0.0.2"))}, onOne: map[string]int{"a": 1, "b": 1}},
		"a port on one address and on all": {
			pods: [][]*v1.Pod{team("a", 1, "1", onPort(80, "10.0.0.1")), team("b", 1, "1", onPort(80, "0.0.0.0"))}, onOne: map[string]int{"a": 0, "b": 0}},
		"one to a node": {pods: [][]*v1.Pod{team("a", 4, "1", awayIn(host, a))}, onOne: map[string]int{"a": 1}},
		"one of a role beside any of another": {
			pods: [][]*v1.Pod{team("a", 4, "1", awayIn(host, a)), team("b", 4, "1")}, onOne: map[string]int{"a": 1, "b": 7}},
		"a single one that wants none of a role": {
			pods: [][]*v1.Pod{team("a", 1, "1", awayIn(host, b)), team("b", 4, "1")}, onOne: map[string]int{"a": 0, "b": 0}},
		"several that want none of another role": {
			pods: [][]*v1.Pod{team("a", 2, "1", awayIn(host, b)), team("b", 4, "1")}, isSearch: true},
		"one to a rack": {pods: [][]*v1.Pod{team("a", 2, "1", awayIn("rack", a))}, isSearch: true},
		"away from others' pods, in whatever domain": {
			pods: [][]*v1.Pod{team("a", 4, "1", awayIn("rack", map[string]string{"role": "db"}))}, onOne: map[string]int{"a": 8}},
		"away from pods of another namespace": {pods: [][]*v1.Pod{team("a", 4, "1", awayIn(host, a), elsewhere)}, onOne: map[string]int{"a": 8}},
		"away from pods of all namespaces":    {pods: [][]*v1.Pod{team("a", 4, "1", awayIn(host, a), of(nil))}, onOne: map[string]int{"a": 1}},
		"away from pods of namespaces with a label, which this one may have": {
			pods: [][]*v1.Pod{team("a", 4, "1", awayIn(host, a), of(a))}, isSearch: true},
	} {
		t.Run(name, func(t *testing.T) {
			var all []class
			for _, pods := range c.pods {
				all = append(all, classesOf(pods, (&Gang{account: roleByLabel{}}).roleIn(&try{}))...)
			}
			try := &try{classes: all}
			require.Equal(t, !c.isSearch, try.share(nil, nil))
			if c.isSearch {
				return
			}
			clu := cluster.New(nil)
			clu.Update(gpuNodes(8))
			for i := range all {
				for j := range all {
					if j != i {
						clu.Reserve(0, requestOf(clu, &all[j]), 1)
					}
				}
				require.EqualValues(t, c.onOne[all[i].role], clu.Fabric().Slots(requestOf(clu, &all[i]))[0], all[i].role)
				clu.Release()
			}
		})
	}
}

func TestHostnamesTellNodesApart(t *testing.T) {
	named := func(hostnames ...string) (nodes []fwk.NodeInfo) {
		for i, hostname := range hostnames {
			nodes = append(nodes, nodeWith(fmt.Sprint("n", i), v1.ResourceList{}, nil, func(n *v1.Node) {
				if hostname != "" {
					n.Labels = map[string]string{v1.LabelHostname: hostname}
				}
			}))
		}
		return nodes
	}
	for name, c := range map[string]struct {
		nodes []fwk.NodeInfo
		want  bool
	}{
		"the nodes' names":                 {named("n0", "n1"), true},
		"other names":                      {named("n1", "n0", "host"), true},
		"one name twice":                   {named("host", "host"), false},
		"a node without a hostname":        {named("n0", ""), false},
		"a hostname that is a node's name": {named("n1", "n1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, hostnamesDiffer(c.nodes))
			pods := team("a", 2, "1", awayIn(v1.LabelHostname, map[string]string{"role": "a"}))
			try := &try{classes: classesOf(pods, noRole)}
			require.Equal(t, c.want, try.share(nil, c.nodes))
			require.Equal(t, c.want, len(try.classes[0].shares) > 0, "shares are by node")
		})
	}
}

func TestMembersOnOnePortAreRefusedByName(t *testing.T) {
	clu, g := cluster.New(nil), &Gang{}
	clu.Update(gpuNodes(8, 8))
	try := &try{classes: classesOf(podsWith(3, gpus("1"), onPort(8080, "")), noRole)}
	require.True(t, try.share(nil, nil))
	_, why := g.solve(t.Context(), newProblem(klog.Background(), clu, try.classes, 3, nil))
	require.Equal(t, gang.InsufficientResources, why.Reason)
	require.Equal(t, "3 members need 3 host port 8080/TCP, 2 are free on 2 nodes", why.Sentence)
}
