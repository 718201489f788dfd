package gang_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

func TestRank(t *testing.T) {
	const group = 1 << 31
	for name, test := range map[string]struct {
		pod    metav1.ObjectMeta
		want   int
		isNone bool
	}{
		"the completion index of an indexed Job": {
			pod:  metav1.ObjectMeta{Name: "train-7-x2k9p", Labels: texts{"batch.kubernetes.io/job-completion-index": "7"}},
			want: 7,
		},
		"as an annotation, too": {
			pod:  metav1.ObjectMeta{Annotations: texts{"batch.kubernetes.io/job-completion-index": "7"}},
			want: 7,
		},
		"the pod index of a StatefulSet": {pod: metav1.ObjectMeta{Labels: texts{"apps.kubernetes.io/pod-index": "3"}}, want: 3},
		"the replica index of Kubeflow":  {pod: metav1.ObjectMeta{Labels: texts{"training.kubeflow.org/replica-index": "5"}}, want: 5},
		"the index in Kueue's pod group": {pod: metav1.ObjectMeta{Labels: texts{"kueue.x-k8s.io/pod-group-pod-index": "5"}}, want: 5},
		"the worker index of a LeaderWorkerSet comes after its group's": {
			pod: metav1.ObjectMeta{Labels: texts{
				"leaderworkerset.sigs.k8s.io/group-index": "1", "leaderworkerset.sigs.k8s.io/worker-index": "2",
				"apps.kubernetes.io/pod-index": "9",
			}},
			want: group + 2,
		},
		"the replica of a Ray worker group": {pod: metav1.ObjectMeta{Labels: texts{"ray.io/worker-group-replica-index": "4"}}, want: 4},
		"the host of a Ray replica comes after the replica": {
			pod:  metav1.ObjectMeta{Labels: texts{"ray.io/worker-group-replica-index": "1", "ray.io/replica-host-index": "3"}},
			want: group + 3,
		},
		"the completion index in a JobSet comes after the index of the Job": {
			pod:  metav1.ObjectMeta{Labels: texts{"jobset.sigs.k8s.io/job-index": "1", "batch.kubernetes.io/job-completion-index": "3"}},
			want: group + 3,
		},
		"the index over all Jobs of a JobSet goes before that in one replicated Job": {
			pod: metav1.ObjectMeta{Labels: texts{
				"jobset.sigs.k8s.io/job-index": "1", "jobset.sigs.k8s.io/job-global-index": "2",
				"batch.kubernetes.io/job-completion-index": "0",
			}},
			want: 2 * group,
		},
		"the number at the end of the name":               {pod: metav1.ObjectMeta{Name: "web-12"}, want: 12},
		"with zeros before it":                            {pod: metav1.ObjectMeta{Name: "web-012"}, want: 12},
		"a name that is a number":                         {pod: metav1.ObjectMeta{Name: "12"}, want: 12},
		"the end of a random suffix is none":              {pod: metav1.ObjectMeta{Name: "web-x2k92"}, isNone: true},
		"a name without a number has none":                {pod: metav1.ObjectMeta{Name: "launcher"}, isNone: true},
		"nor has one that ends in a dash":                 {pod: metav1.ObjectMeta{Name: "web-"}, isNone: true},
		"nor has no name":                                 {isNone: true},
		"a number of more than 31 bits is none":           {pod: metav1.ObjectMeta{Name: "web-2147483648"}, isNone: true},
		"a label with a negative number is none":          {pod: metav1.ObjectMeta{Name: "web-1", Labels: texts{"apps.kubernetes.io/pod-index": "-1"}}, isNone: true},
		"a label in words is none, whatever the name is":  {pod: metav1.ObjectMeta{Name: "web-1", Labels: texts{"apps.kubernetes.io/pod-index": "one"}}, isNone: true},
		"an absurd group is none, whatever the member is": {pod: metav1.ObjectMeta{Labels: texts{"ray.io/worker-group-replica-index": "99999999999999999999", "ray.io/replica-host-index": "3"}}, isNone: true},
	} {
		t.Run(name, func(t *testing.T) {
			rank, ok := gang.Rank(&v1.Pod{ObjectMeta: test.pod})
			assert.Equal(t, !test.isNone, ok)
			assert.Equal(t, test.want, rank)
		})
	}
}

func FuzzRank(f *testing.F) {
	f.Add([]byte(`{"name":"web-12","labels":{"jobset.sigs.k8s.io/job-index":"2147483647","batch.kubernetes.io/job-completion-index":"2147483647"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		pod := &v1.Pod{}
		if json.Unmarshal(data, &pod.ObjectMeta) != nil {
			t.Skip("no metadata")
		}
		rank, ok := gang.Rank(pod)
		assert.GreaterOrEqual(t, rank, 0)
		assert.True(t, ok || rank == 0)
	})
}
