package gang

import (
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// index is a pair of labels that number a gang's members: major counts groups of members, minor the members of a group.
// major is "" where there is one group only.
type index struct {
	major, minor string
}

// indexes are the numberings of the field, the one that tells most about a member first: pods of a JobSet carry the index of
// their Job beside the one inside it, and pods of several hosts of a Ray replica that of the replica beside the host's.
var indexes = []index{
	{"jobset.sigs.k8s.io/job-global-index", "batch.kubernetes.io/job-completion-index"},
	{"jobset.sigs.k8s.io/job-index", "batch.kubernetes.io/job-completion-index"},
	{"", "batch.kubernetes.io/job-completion-index"},
	{"ray.io/worker-group-replica-index", "ray.io/replica-host-index"},
	{"", "ray.io/worker-group-replica-index"},
	{"leaderworkerset.sigs.k8s.io/group-index", "leaderworkerset.sigs.k8s.io/worker-index"},
	{"", "leaderworkerset.sigs.k8s.io/worker-index"},
	{"", "training.kubeflow.org/replica-index"},
	{"", "apps.kubernetes.io/pod-index"},
	{"", "kueue.x-k8s.io/pod-group-pod-index"},
}

// stride is between the ranks of two groups of members. An index has at most 31 bits.
const stride = int64(1) << 31

// Rank is a member's place in the order of its gang, or of its role where there are several: neighbours in rank are
// neighbours in the application's communication. Ranks order, they do not count: there may be gaps between them.
//
// It is read off the labels by which controllers number their pods, which may be annotations, too; else it is the number
// at the end of the pod's name, behind a dash: web-12 has rank 12. (A number without the dash is more often a piece of a
// random suffix.) ok is false for a pod without a number, and for one whose number is absurd.
func Rank(pod *v1.Pod) (rank int, ok bool) {
	for _, in := range indexes {
		minor, hasMinor := labelOrAnnotation(pod, in.minor)
		major, hasMajor := labelOrAnnotation(pod, in.major)
		if hasMinor && in.major == "" {
			return number("0", minor)
		}
		if hasMinor && hasMajor {
			return number(major, minor)
		}
	}
	return number("0", pod.Name[strings.LastIndexByte(pod.Name, '-')+1:])
}

func labelOrAnnotation(pod *v1.Pod, key string) (string, bool) {
	if value, ok := pod.Labels[key]; ok {
		return value, true
	}
	value, ok := pod.Annotations[key]
	return value, ok
}

func number(major, minor string) (int, bool) {
	if !isDigits(major) || !isDigits(minor) { // most ends of names are random: errors for them all would take most of the time
		return 0, false
	}
	groups, err := strconv.ParseUint(major, 10, 31)
	if err != nil {
		return 0, false
	}
	members, err := strconv.ParseUint(minor, 10, 31)
	if err != nil {
		return 0, false
	}
	rank := int64(groups)*stride + int64(members)
	return int(rank), int64(int(rank)) == rank
}

func isDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}
