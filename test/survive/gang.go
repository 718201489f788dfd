package survive

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

// roleKey is the annotation by which Volcano tells roles apart.
const roleKey = "volcano.sh/task-spec"

// Gang is a gang, and all that must exist for it.
type Gang struct {
	Name    string
	Dialect string
	// Minimum is how many members must run together, MinPerRole how many of a role.
	Minimum    int
	MinPerRole map[string]int
	// Required and Preferred are node labels, "" for none.
	Required, Preferred string
	Pods                []*v1.Pod
	Claims              []*v1.PersistentVolumeClaim
	Volumes             []*v1.PersistentVolume
	// Traits are what is particular about it, in words.
	Traits []string
}

func roleOf(pod *v1.Pod) string { return pod.Labels[roleLabel] }

// String says which gang it is, for messages.
func (g *Gang) String() string {
	requests := map[string]int{}
	for _, pod := range g.Pods {
		r := pod.Spec.Containers[0].Resources.Requests
		requests[fmt.Sprintf("%s gpu %s cpu %s memory", r.Name(controlplane.ResourceGPU, "").String(), r.Cpu(), r.Memory())]++
	}
	return fmt.Sprintf("gang %s (%s, %d of %d members %v, roles %v, %s)",
		g.Name, g.Dialect, g.Minimum, len(g.Pods), requests, g.MinPerRole, strings.Join(g.Traits, ", "))
}

// Groups are the resources of PodGroups by dialect.
var Groups = map[string]schema.GroupVersionResource{
	oracle.Native:       {Group: "scheduling.k8s.io", Version: "v1beta1", Resource: "podgroups"},
	oracle.Volcano:      {Group: "scheduling.volcano.sh", Version: "v1beta1", Resource: "podgroups"},
	oracle.Coscheduling: {Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"},
}

// PodGroup is the gang's, of the resource that [Groups] has for its dialect.
func (g *Gang) PodGroup(namespace string) *unstructured.Unstructured {
	spec := map[string]any{"minMember": int64(g.Minimum)}
	if g.Dialect == oracle.Native {
		spec = map[string]any{"schedulingPolicy": map[string]any{"gang": map[string]any{"minCount": int64(g.Minimum)}}}
	}
	if len(g.MinPerRole) > 0 {
		perRole := map[string]any{}
		for role, minimum := range g.MinPerRole {
			perRole[role] = int64(minimum)
		}
		spec["minTaskMember"] = perRole
	}
	annotations := map[string]any{}
	if g.Required != "" {
		annotations[oracle.RequiredAnnotation] = g.Required
	}
	if g.Preferred != "" {
		annotations["phalanx.dev/preferred-topology"] = g.Preferred
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": Groups[g.Dialect].GroupVersion().String(), "kind": "PodGroup", "spec": spec,
		"metadata": map[string]any{"name": g.Name, "namespace": namespace, "annotations": annotations},
	}}
}

// IsIndependent is true if no member's place depends on where the others stand, other than by the room that they take, and
// each may go where the others of its role may.
func (g *Gang) IsIndependent() bool {
	for i, pod := range g.Pods {
		if len(hostPorts(pod)) > 0 || len(spreads(pod)) > 0 {
			return false
		}
		for _, term := range slices.Concat(attractions(pod), repulsions(pod)) {
			if slices.ContainsFunc(g.Pods, func(other *v1.Pod) bool { return picks(pod, term.LabelSelector, other) }) {
				return false
			}
		}
		for _, volume := range pod.Spec.Volumes {
			if !slices.ContainsFunc(g.Pods[(i+1)%len(g.Pods)].Spec.Volumes, func(v v1.Volume) bool { return reflect.DeepEqual(v, volume) }) {
				return false // a claim of its own
			}
		}
	}
	return true
}

// gang draws a gang of one or two classes of members.
func (d dice) gang(w *World, namespace, name string) *Gang {
	g := &Gang{Name: name, Dialect: oneOf(d, oracle.Native, oracle.Volcano, oracle.Coscheduling)}
	team := oneOf(d, teams...)
	for c, classes := 0, d.between(1, 2); c < classes; c++ {
		role := []string{"worker", "master"}[c]
		template := NewPod(namespace, "", d.requests(), map[string]string{gangLabel: name, roleLabel: role, teamLabel: team})
		d.choosy(g, template)
		for range d.between(1, maxMembers/classes) {
			pod := template.DeepCopy()
			pod.Name = fmt.Sprintf("%s-%d", name, len(g.Pods))
			g.Pods = append(g.Pods, pod)
		}
	}
	if len(g.Pods) == 1 {
		pod := g.Pods[0].DeepCopy()
		pod.Name = name + "-1"
		g.Pods = append(g.Pods, pod)
	}
	if d.is(20) {
		g.say("teams of their own")
		for _, pod := range g.Pods {
			pod.Labels[teamLabel] = oneOf(d, teams...)
		}
	}
	d.minima(g)
	d.wishes(g)
	d.volumes(g, w, namespace)
	if d.is(50) {
		d.bond(g)
	}
	for _, pod := range g.Pods {
		g.Join(pod)
	}
	return g
}

// Join makes a pod a member, in the words of the gang's dialect.
func (g *Gang) Join(pod *v1.Pod) {
	switch g.Dialect {
	case oracle.Native:
		pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &g.Name}
	case oracle.Volcano:
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, oracle.VolcanoAnnotation, g.Name)
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, roleKey, roleOf(pod))
	case oracle.Coscheduling:
		pod.Labels[oracle.CoschedulingLabel] = g.Name
	}
}

func (d dice) requests() v1.ResourceList {
	requests := v1.ResourceList{
		v1.ResourceCPU:    *resource.NewMilliQuantity(int64(d.between(1, 12))*500, resource.DecimalSI),
		v1.ResourceMemory: *resource.NewQuantity(int64(d.between(1, 24))<<30, resource.BinarySI),
	}
	if d.is(65) {
		maps.Copy(requests, GPUs(oneOf[int64](d, 1, 1, 2, 4, 8)))
	}
	return requests
}

// choosy makes a class of members ask for some nodes and stand others' taints.
func (d dice) choosy(g *Gang, pod *v1.Pod) {
	if d.is(15) {
		g.say("selector")
		pod.Spec.NodeSelector = map[string]string{poolKey: oneOf(d, pools...)}
	}
	if d.is(25) {
		g.say("node affinity")
		expression := oneOf(d,
			v1.NodeSelectorRequirement{Key: ZoneKey, Operator: v1.NodeSelectorOpIn, Values: []string{"z0", "z2"}},
			v1.NodeSelectorRequirement{Key: poolKey, Operator: v1.NodeSelectorOpNotIn, Values: []string{"a"}},
			v1.NodeSelectorRequirement{Key: generationKey, Operator: v1.NodeSelectorOpGt, Values: []string{"1"}},
			v1.NodeSelectorRequirement{Key: PowerKey, Operator: v1.NodeSelectorOpExists})
		pod.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{
			NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{expression}}}}}}
	}
	if d.is(35) {
		g.say("tolerations")
		pod.Spec.Tolerations = []v1.Toleration{oneOf(d,
			v1.Toleration{Key: "dedicated", Operator: v1.TolerationOpExists},
			v1.Toleration{Key: "dedicated", Operator: v1.TolerationOpEqual, Value: oneOf(d, teams...), Effect: v1.TaintEffectNoSchedule},
			v1.Toleration{Key: v1.TaintNodeUnschedulable, Operator: v1.TolerationOpExists})}
	}
}

func (d dice) minima(g *Gang) {
	g.Minimum = len(g.Pods)
	if d.is(25) {
		g.Minimum = d.between(1, len(g.Pods))
	}
	if g.Dialect != oracle.Volcano || d.is(50) {
		return
	}
	g.say("roles")
	g.MinPerRole = map[string]int{}
	sum := 0
	for _, pod := range g.Pods {
		if sum < g.Minimum {
			g.MinPerRole[roleOf(pod)]++
			sum++
		}
	}
}

func (d dice) wishes(g *Gang) {
	levels := []string{ZoneKey, BlockKey, RackKey, RackKey, PowerKey, v1.LabelHostname}
	if d.is(45) {
		g.Required = oneOf(d, levels...)
		g.say("in one " + g.Required)
	}
	if d.is(20) {
		g.Preferred = oneOf(d, ZoneKey, BlockKey, RackKey)
		g.say("better in one " + g.Preferred)
	}
}

// bond ties members of one role, or of all of them, to each other or to residents.
func (d dice) bond(g *Gang) {
	first, last := roleOf(g.Pods[0]), roleOf(g.Pods[len(g.Pods)-1])
	carriers := slices.Clone(g.Pods)
	if d.is(50) {
		carriers = slices.DeleteFunc(carriers, func(pod *v1.Pod) bool { return roleOf(pod) != last })
	}
	if d.is(15) {
		g.say("half of them")
		carriers = carriers[len(carriers)/2:]
	}
	key := oneOf(d, ZoneKey, RackKey, v1.LabelHostname)
	kind := oneOf(d, "host port", "apart", "together", "beside the other role", "beside an app", "away from an app", "spread", "spread")
	if kind == "beside the other role" { // who means himself is no test of that
		carriers = slices.DeleteFunc(carriers, func(pod *v1.Pod) bool { return roleOf(pod) == first })
	}
	g.say(fmt.Sprintf("%s (%s)", kind, key))
	skew, policy := int32(d.between(1, 2)), oneOf(d, v1.NodeInclusionPolicyIgnore, v1.NodeInclusionPolicyHonor)
	for _, pod := range carriers {
		pod.Labels[bondLabel] = g.Name
		switch kind {
		case "host port":
			pod.Spec.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: ports[0], HostPort: ports[0]}}
		case "apart":
			repel(pod, key, map[string]string{bondLabel: g.Name})
		case "together":
			attract(pod, key, map[string]string{bondLabel: g.Name})
		case "beside the other role":
			attract(pod, key, map[string]string{gangLabel: g.Name, roleLabel: first})
		case "beside an app":
			attract(pod, key, map[string]string{appLabel: apps[0]})
		case "away from an app":
			repel(pod, key, map[string]string{appLabel: apps[0]})
		case "spread": // each role by itself
			pod.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{
				MaxSkew: skew, TopologyKey: key, WhenUnsatisfiable: v1.DoNotSchedule, NodeTaintsPolicy: ptr.To(policy),
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{bondLabel: g.Name, roleLabel: roleOf(pod)}},
			}}
		}
	}
}

func affinityOf(pod *v1.Pod) *v1.Affinity {
	if pod.Spec.Affinity == nil {
		pod.Spec.Affinity = &v1.Affinity{}
	}
	return pod.Spec.Affinity
}

func attract(pod *v1.Pod, key string, labels map[string]string) {
	affinityOf(pod).PodAffinity = &v1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{termFor(key, labels)}}
}

func repel(pod *v1.Pod, key string, labels map[string]string) {
	affinityOf(pod).PodAntiAffinity = &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{termFor(key, labels)}}
}

func termFor(key string, labels map[string]string) v1.PodAffinityTerm {
	return v1.PodAffinityTerm{LabelSelector: &metav1.LabelSelector{MatchLabels: labels}, TopologyKey: key}
}

func (g *Gang) say(trait string) {
	if !slices.Contains(g.Traits, trait) {
		g.Traits = append(g.Traits, trait)
	}
}
