package gpu

import (
	v1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/offer"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/wish"
)

// Wish is what a pod wishes of its GPUs, Need that and how many it wants: see [WishOf] and [NeedOf]. Both compare with ==, and two
// pods with equal Needs get the same answers from this plugin.
type (
	Wish = wish.Wish
	Need = offer.Need
)

// WishOf returns what a pod and its PodGroup, nil if it has none, wish in annotations. complaint is the one sentence about a
// wrong value.
func WishOf(pod *v1.Pod, group *schedulingv1beta1.PodGroup) (w Wish, complaint string) {
	if group == nil {
		return wish.Of(pod.Annotations, nil)
	}
	return wish.Of(pod.Annotations, group.Annotations)
}

// NeedOf returns what a pod needs. Annotations are not looked at if it asks for no whole GPUs: a launcher may be in a PodGroup
// whose workers have wishes.
func NeedOf(pod *v1.Pod, group *schedulingv1beta1.PodGroup) (need Need, complaint string) {
	need = offer.CountOf(pod)
	if need.IsZero() {
		return Need{}, ""
	}
	need.Wish, complaint = WishOf(pod, group)
	return need, complaint
}

// AsksForAny is true for a pod that asks for whole GPUs.
func AsksForAny(pod *v1.Pod) bool { return !offer.CountOf(pod).IsZero() }

// SaySame is true for pods whose own annotations say the same about GPUs: if they ask for as many, and are of one PodGroup, their
// Needs are equal.
func SaySame(a, b *v1.Pod) bool { return wish.SaySame(a.Annotations, b.Annotations) }

// DependsOnNeighbours is true for a pod that is placed by which GPUs of its node are free, and not only by how many: pods that
// were placed on the node a moment ago do not show yet which they got, and change the answer.
func DependsOnNeighbours(pod *v1.Pod, group *schedulingv1beta1.PodGroup) bool {
	need, _ := NeedOf(pod, group)
	return need.Link.IsRequired && need.Largest > 1
}

// ShowsOthers is true for a pod that shows other GPUs after a change than before it: whom its node turned away may fit there now.
func ShowsOthers(before, after *v1.Pod) bool { return offer.ShowsOthers(before, after) }
