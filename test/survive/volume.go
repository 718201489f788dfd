package survive

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// volumes gives some gangs a claim that all members share, and some a claim for each member. All are bound.
func (d dice) volumes(g *Gang, w *World, namespace string) {
	if d.is(20) {
		g.say("shared claim")
		reach := d.reach(w, ZoneKey)
		if d.is(40) {
			reach = nil
		}
		g.mount(namespace, g.Name+"-shared", reach, g.Pods...)
	}
	if d.is(12) {
		g.say("claims of their own")
		for _, pod := range g.Pods {
			g.mount(namespace, pod.Name+"-own", d.reach(w, oneOf(d, ZoneKey, ZoneKey, RackKey, v1.LabelHostname)), pod)
		}
	}
}

// reach is the domain of some node.
func (d dice) reach(w *World, key string) *v1.VolumeNodeAffinity {
	return reachOf(oneOf(d, w.Nodes...), key)
}

func reachOf(node *v1.Node, key string) *v1.VolumeNodeAffinity {
	value, ok := node.Labels[key]
	if !ok {
		key, value = v1.LabelHostname, node.Name
	}
	return &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
		MatchExpressions: []v1.NodeSelectorRequirement{{Key: key, Operator: v1.NodeSelectorOpIn, Values: []string{value}}}}}}}
}

// mount makes a volume and the claim that it is bound to, as a provisioner leaves them, and gives it to pods.
func (g *Gang) mount(namespace, claim string, reach *v1.VolumeNodeAffinity, pods ...*v1.Pod) {
	size := v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}
	modes := []v1.PersistentVolumeAccessMode{v1.ReadWriteMany}
	name := fmt.Sprintf("%s-%s", namespace, claim)
	g.Volumes = append(g.Volumes, &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PersistentVolumeSpec{
			Capacity: size, AccessModes: modes, NodeAffinity: reach,
			PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/srv/" + claim}},
			ClaimRef:               &v1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: namespace, Name: claim},
		},
	})
	g.Claims = append(g.Claims, &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: claim, Annotations: map[string]string{"pv.kubernetes.io/bind-completed": "yes"}},
		Spec: v1.PersistentVolumeClaimSpec{
			AccessModes: modes, VolumeName: name, StorageClassName: ptr.To(""), Resources: v1.VolumeResourceRequirements{Requests: size},
		},
	})
	for _, pod := range pods {
		pod.Spec.Volumes = append(pod.Spec.Volumes, v1.Volume{Name: fmt.Sprint("v", len(pod.Spec.Volumes)), VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
	}
}
