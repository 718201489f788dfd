package gang

import (
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestMembersAreInTheOrderOfTheirRanks(t *testing.T) {
	for name, c := range map[string]struct{ have, want []string }{
		"by number, not by letter":           {[]string{"web-10", "web-9", "web-0"}, []string{"web-0", "web-9", "web-10"}},
		"those without a rank last, by name": {[]string{"web-b", "web-7", "web-a", "web-1"}, []string{"web-1", "web-7", "web-a", "web-b"}},
		"of equal ranks by name":             {[]string{"b-1", "a-1", "c-0"}, []string{"c-0", "a-1", "b-1"}},
		"nobody":                             {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var pods []*v1.Pod
			for _, name := range c.have {
				pods = append(pods, podWith(name, nil))
			}
			byRank(pods)
			var got []string
			for _, pod := range pods {
				got = append(got, pod.Name)
			}
			require.Equal(t, c.want, got)
		})
	}
}

// picky is a pod that says something about all that isAlike compares.
func picky() *v1.Pod {
	return podWith("p", gpus("4"), func(p *v1.Pod) {
		p.Spec.Containers[0].Resources.Limits = gpus("4")
		p.Spec.Containers[0].Ports = []v1.ContainerPort{{Name: "http", ContainerPort: 80}, {ContainerPort: 443, HostPort: 443, Protocol: v1.ProtocolTCP}}
		p.Spec.InitContainers = []v1.Container{{Name: "sidecar", RestartPolicy: ptr.To(v1.ContainerRestartPolicyAlways), Resources: v1.ResourceRequirements{Requests: list("cpu", "1")}}}
		p.Spec.Overhead = list("cpu", "100m")
		p.Spec.NodeSelector = map[string]string{"pool": "a"}
		p.Spec.Resources = &v1.ResourceRequirements{Requests: list("cpu", "8")}
		p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{}}
		p.Spec.Tolerations = []v1.Toleration{{Key: "maintenance", Operator: v1.TolerationOpExists}}
		p.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "rack", WhenUnsatisfiable: v1.DoNotSchedule}}
		p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "nic", ResourceClaimTemplateName: ptr.To("nic")}}
		p.Spec.Priority = ptr.To[int32](5)
	})
}

func TestMembersAreAlikeIfNothingAboutTheirNodesDiffers(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1.Pod)
		want   bool
	}{
		"equal pods":                        {func(*v1.Pod) {}, true},
		"another name":                      {func(p *v1.Pod) { p.Name = "q" }, true},
		"another label":                     {func(p *v1.Pod) { p.Labels = map[string]string{"index": "7"} }, true},
		"another image":                     {func(p *v1.Pod) { p.Spec.Containers[0].Image = "other" }, true},
		"a request written differently":     {func(p *v1.Pod) { p.Spec.Overhead = list("cpu", "0.1") }, true},
		"another container port":            {func(p *v1.Pod) { p.Spec.Containers[0].Ports[0].ContainerPort = 81 }, true},
		"another node":                      {func(p *v1.Pod) { p.Spec.NodeName = "n1" }, false},
		"another wish about GPUs":           {func(p *v1.Pod) { p.Annotations = map[string]string{"phalanx.dev/gpu-memory": "40Gi"} }, false},
		"another annotation":                {func(p *v1.Pod) { p.Annotations = map[string]string{"example.com/x": "y"} }, true},
		"another priority":                  {func(p *v1.Pod) { p.Spec.Priority = ptr.To[int32](6) }, false},
		"no priority":                       {func(p *v1.Pod) { p.Spec.Priority = nil }, false},
		"another request":                   {func(p *v1.Pod) { p.Spec.Containers[0].Resources.Requests = gpus("3") }, false},
		"a request more":                    {func(p *v1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("1") }, false},
		"another resource":                  {func(p *v1.Pod) { p.Spec.Containers[0].Resources.Requests = list("amd.com/gpu", "4") }, false},
		"another limit":                     {func(p *v1.Pod) { p.Spec.Containers[0].Resources.Limits = gpus("3") }, false},
		"another host port":                 {func(p *v1.Pod) { p.Spec.Containers[0].Ports[1].HostPort = 444 }, false},
		"another protocol of a host port":   {func(p *v1.Pod) { p.Spec.Containers[0].Ports[1].Protocol = v1.ProtocolUDP }, false},
		"a port less":                       {func(p *v1.Pod) { p.Spec.Containers[0].Ports = p.Spec.Containers[0].Ports[:1] }, false},
		"a container more":                  {func(p *v1.Pod) { p.Spec.Containers = append(p.Spec.Containers, v1.Container{Name: "d"}) }, false},
		"another init container's request":  {func(p *v1.Pod) { p.Spec.InitContainers[0].Resources.Requests = list("cpu", "2") }, false},
		"an init container that is no more": {func(p *v1.Pod) { p.Spec.InitContainers[0].RestartPolicy = nil }, false},
		"another overhead":                  {func(p *v1.Pod) { p.Spec.Overhead = list("cpu", "200m") }, false},
		"another node selector":             {func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{"pool": "b"} }, false},
		"other resources of the pod":        {func(p *v1.Pod) { p.Spec.Resources = &v1.ResourceRequirements{Requests: list("cpu", "9")} }, false},
		"no resources of the pod":           {func(p *v1.Pod) { p.Spec.Resources = nil }, false},
		"another affinity":                  {func(p *v1.Pod) { p.Spec.Affinity = &v1.Affinity{PodAffinity: &v1.PodAffinity{}} }, false},
		"another toleration":                {func(p *v1.Pod) { p.Spec.Tolerations[0].Key = "dedicated" }, false},
		"no toleration":                     {func(p *v1.Pod) { p.Spec.Tolerations = nil }, false},
		"another spread":                    {func(p *v1.Pod) { p.Spec.TopologySpreadConstraints[0].MaxSkew = 2 }, false},
		"no spread":                         {func(p *v1.Pod) { p.Spec.TopologySpreadConstraints = nil }, false},
		"another device":                    {func(p *v1.Pod) { p.Spec.ResourceClaims[0].ResourceClaimTemplateName = ptr.To("gpu") }, false},
		"no device":                         {func(p *v1.Pod) { p.Spec.ResourceClaims = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := picky(), picky()
			c.change(b)
			require.Equal(t, c.want, isAlike(a, b))
			require.Equal(t, c.want, isAlike(b, a))
		})
	}
}

// claiming makes a pod mount these claims.
func claiming(names ...string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		for _, name := range names {
			p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: name, VolumeSource: v1.VolumeSource{
				PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
		}
	}
}

func mounting(source v1.VolumeSource) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: "v", VolumeSource: source}) }
}

func TestPodsMountTheSame(t *testing.T) {
	nothing := func(*v1.Pod) {}
	scratch := mounting(v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}})
	ephemeral := mounting(v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{}})
	for name, c := range map[string]struct {
		a, b func(*v1.Pod)
		want bool
	}{
		"no volumes":               {nothing, nothing, true},
		"scratch space":            {scratch, scratch, true},
		"one claim":                {claiming("data"), claiming("data"), true},
		"claims of their own":      {claiming("data-0"), claiming("data-1"), false},
		"one claim more":           {claiming("data"), claiming("data", "models"), false},
		"a claim and none":         {claiming("data"), scratch, false},
		"claims made for each pod": {ephemeral, ephemeral, false},
		"a disk of which a node mounts one": {
			mounting(v1.VolumeSource{RBD: &v1.RBDVolumeSource{}}), mounting(v1.VolumeSource{RBD: &v1.RBDVolumeSource{}}), false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := podWith("a", nil, c.a), podWith("b", nil, c.b)
			require.Equal(t, c.want, sameClaims(a, b))
			require.Equal(t, c.want, sameClaims(b, a))
		})
	}
}

func beside(label, value string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Affinity = &v1.Affinity{PodAffinity: &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{
			{TopologyKey: "rack", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{label: value}}}}}}
	}
}

func apartFrom(label, value string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		beside(label, value)(p)
		p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution}}
	}
}

func TestAMemberMayMeanAnotherClass(t *testing.T) {
	pods := append(podsWith(1, gpus("8"), beside("role", "ps")), podsWith(2, gpus("1"))...)
	require.False(t, dependsOnSiblings(classesOf(pods, noRole), nil))
	pods[2].Labels = map[string]string{"role": "ps"}
	require.True(t, dependsOnSiblings(classesOf(pods, noRole), nil))
}

func TestMembersDependOnEachOther(t *testing.T) {
	term := []v1.PodAffinityTerm{{TopologyKey: v1.LabelHostname, LabelSelector: &metav1.LabelSelector{}}}
	spread := func(when v1.UnsatisfiableConstraintAction) func(*v1.Pod) {
		return func(p *v1.Pod) {
			p.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "rack", WhenUnsatisfiable: when}}
		}
	}
	for name, c := range map[string]struct {
		change func(*v1.Pod)
		want   bool
	}{
		"plain members":    {func(*v1.Pod) {}, false},
		"node affinity":    {func(p *v1.Pod) { p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{}} }, false},
		"a shared claim":   {claiming("data"), false},
		"a wish to spread": {spread(v1.ScheduleAnyway), false},
		"a wish to be apart": {func(p *v1.Pod) {
			p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{
				PreferredDuringSchedulingIgnoredDuringExecution: []v1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: term[0]}}}}
		}, false},
		"a port of the pod's own": {func(p *v1.Pod) { p.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 80}} }, false},
		"affinity": {func(p *v1.Pod) {
			p.Spec.Affinity = &v1.Affinity{PodAffinity: &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term}}
		}, true},
		"anti-affinity, which shares may say": {func(p *v1.Pod) {
			p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term}}
		}, false},
		"affinity to pods of others":      {beside("app", "db"), false},
		"anti-affinity to pods of others": {apartFrom("app", "db"), false},
		"affinity to one's like":          {func(p *v1.Pod) { p.Labels = map[string]string{"job": "a"}; beside("job", "a")(p) }, true},
		"spread":                          {spread(v1.DoNotSchedule), true},
		"a host port, which shares say":   {func(p *v1.Pod) { p.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 80, HostPort: 80}} }, false},
		"a device":                        {func(p *v1.Pod) { p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "nic"}} }, true},
		"claims of their own":             {func(p *v1.Pod) { claiming("data-" + p.Name)(p) }, true},
		"a claim made for a pod":          {mounting(v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{}}), true},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, dependsOnSiblings(classesOf(podsWith(3, gpus("1"), c.change), noRole), nil))
			if c.want { // one that differs from all others is enough
				pods := podsWith(3, gpus("1"))
				c.change(pods[2])
				require.True(t, dependsOnSiblings(classesOf(pods, noRole), nil))
			}
		})
	}
}
