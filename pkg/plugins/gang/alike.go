package gang

import (
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// alike tells nodes apart by what filters look at, for one search: of nodes that are alike one that was a dead end speaks for all.
type alike struct {
	kinds map[string]int // by what nodes look like
	of    map[int]int    // by node
}

// looksOf returns the same number for nodes that look alike as they were before the search.
func (s *search) looksOf(node int) int {
	if kind, ok := s.alike.of[node]; ok {
		return kind
	}
	looks := s.looksLike(node)
	kind, ok := s.alike.kinds[looks]
	if !ok {
		kind = len(s.alike.kinds)
		s.alike.kinds[looks] = kind
	}
	s.alike.of[node] = kind
	return kind
}

// looksLike writes down what filters look at. A node with a pod that has more to it than labels looks like no other.
func (s *search) looksLike(number int) string {
	info := s.p.cluster.Info(number)
	node := info.Node()
	labels := maps.Clone(node.Labels)
	delete(labels, v1.LabelHostname)
	looks := []string{
		fmt.Sprint(labels, node.Spec.Taints, node.Spec.Unschedulable), // fmt sorts maps
		fmt.Sprint(s.p.cluster.Unreserved(number)),
	}
	var pods []string
	for _, pod := range info.GetPods() {
		if s.assumed[pod.GetPod().UID] {
			continue
		}
		if hasMoreThanLabels(pod) {
			return fmt.Sprint("node ", number)
		}
		pods = append(pods, fmt.Sprint(pod.GetPod().Namespace, pod.GetPod().Labels))
	}
	slices.Sort(pods)
	return fmt.Sprint(looks, pods)
}

func hasMoreThanLabels(pod fwk.PodInfo) bool {
	spec := &pod.GetPod().Spec
	return len(pod.GetRequiredAffinityTerms())+len(pod.GetRequiredAntiAffinityTerms())+len(spec.ResourceClaims) > 0 ||
		slices.ContainsFunc(spec.Volumes, func(v v1.Volume) bool {
			return v.PersistentVolumeClaim != nil || v.Ephemeral != nil || isDisk(&v.VolumeSource)
		}) ||
		slices.ContainsFunc(spec.Containers, func(c v1.Container) bool {
			return slices.ContainsFunc(c.Ports, func(p v1.ContainerPort) bool { return p.HostPort > 0 })
		})
}
