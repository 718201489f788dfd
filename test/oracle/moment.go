package oracle

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// stampUnit is how exact the API server's times are: it cuts off what is less.
const stampUnit = time.Second

// CreatedAt is when a pod was created, to the caller's best knowledge: when the caller learned of it, or, where a watch was
// slow to tell, the end of the second that the API server has stamped on it. Both must go by the same clock.
func CreatedAt(seen time.Time, pod *corev1.Pod) time.Time {
	return notAfter(seen, pod.CreationTimestamp.Time)
}

// BoundAt is when a pod was bound, in the same way. The API server stamps it on the pod's condition PodScheduled.
func BoundAt(seen time.Time, pod *corev1.Pod) time.Time {
	if c := scheduled(pod); c.Status == corev1.ConditionTrue {
		return notAfter(seen, c.LastTransitionTime.Time)
	}
	return seen
}

// scheduled returns the pod's condition PodScheduled, the zero value if it has none.
func scheduled(pod *corev1.Pod) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c
		}
	}
	return corev1.PodCondition{}
}

func notAfter(seen, stamp time.Time) time.Time {
	if end := stamp.Add(stampUnit); !stamp.IsZero() && end.Before(seen) {
		return end
	}
	return seen
}
