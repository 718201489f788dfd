package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
	"github.com/phalanx-scheduler/phalanx/test/survive"
)

const (
	// memoryLimitMiB is what GOMEMLIMIT of the manifests leaves the scheduler.
	memoryLimitMiB = 3600
	// usual bounds how long a gang of two takes to start on an idle cluster, with room for a machine that does other things.
	usual = 5 * time.Second
	// backlog bounds how long it may take until all those are refused once that came before it: each is one synchronous write of the
	// core's.
	backlog = 10 * time.Minute
)

var (
	hyperNodes  = schema.GroupVersionResource{Group: "topology.volcano.sh", Version: "v1alpha1", Resource: "hypernodes"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
)

// TestHostileObjectsStopNobody has somebody make thousands of objects as odd as the API server takes them, while gangs of others come.
func TestHostileObjectsStopNobody(t *testing.T) {
	count := int(lasting(10_000, 300))
	s := newStage(t, "hostile", 0, 1)
	definition, err := os.ReadFile(filepath.Join("..", "integration", "testdata", "crds", "hypernodes.yaml"))
	require.NoError(t, err)
	require.NoError(t, s.Apply(t.Context(), definition))
	t.Cleanup(func() {
		require.NoError(t, s.Dynamic.Resource(definitions).Delete(context.Background(), hyperNodes.GroupResource().String(), metav1.DeleteOptions{}))
	})
	const theirs = "hostile-theirs"
	_, err = s.Client.CoreV1().Namespaces().Create(t.Context(), &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: theirs}}, metav1.CreateOptions{})
	require.NoError(t, err)

	started := 0
	start := func(when string) time.Duration {
		begin := time.Now()
		g := s.gangOf(fmt.Sprintf("good%d", started), 2, 1)
		started++
		s.submit(g)
		require.Eventually(t, func() bool { return s.bound(g) == 2 }, backlog, 5*time.Millisecond)
		took := time.Since(begin)
		t.Logf("%s: a gang of 2 was bound %s after it was made, the scheduler holds %d MiB", when, took.Round(10*time.Millisecond), s.residentMiB())
		return took
	}
	require.Less(t, start("before"), usual)
	refused, over := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(over)
		refused <- s.annoy(theirs, count)
	}()
	t.Cleanup(func() {
		<-over
		s.deletePods(theirs)
		for _, groups := range survive.Groups {
			require.NoError(t, s.Dynamic.Resource(groups).Namespace(theirs).DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{}))
		}
	})
	for isFirst := true; isFirst || *isLong && len(refused) == 0; isFirst = false {
		start("while they come")
	}
	t.Logf("of %d hostile objects the API server refused %d", count, <-refused)
	start("behind them in the queue")
	require.Less(t, start("once they are there"), usual)
	require.Less(t, s.residentMiB(), memoryLimitMiB)
	s.deletePods(theirs)
	require.Less(t, start("when they go"), usual)
	s.settle()
}

// deletePods deletes thousands of them, which takes the API server longer than one request may last.
func (s *stage) deletePods(namespace string) {
	err := wait.PollUntilContextTimeout(context.Background(), again, backlog, true, func(ctx context.Context) (bool, error) {
		return s.Client.CoreV1().Pods(namespace).DeleteCollection(ctx, atOnce, metav1.ListOptions{}) == nil, nil
	})
	require.NoError(s.t, err)
}

func (s *stage) residentMiB() int {
	usage, err := s.replicas[0].scheduler().Usage()
	require.NoError(s.t, err)
	return usage.NowKiB >> 10
}

// annoy makes so many objects, and returns how many of them the API server refused.
func (s *stage) annoy(namespace string, count int) int {
	var refused atomic.Int32
	var group errgroup.Group
	group.SetLimit(4)
	for i := range count {
		group.Go(func() error {
			if s.t.Context().Err() != nil {
				return nil // the test has failed
			}
			err := s.createOdd(namespace, i, rand.New(rand.NewPCG(uint64(i), 3)))
			if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err) {
				refused.Add(1)
				return nil
			}
			return err
		})
	}
	s.must(group.Wait())
	return int(refused.Load())
}

// oddValues are for annotations of any kind.
var oddValues = []string{"", " ", "-1", "0", "1e999999999", "99999999999999999999", "required:", "preferred:nvlink", "lots", "\x01\xff", "a,b,,c", "{}", "[[[[", "::::",
	"../../etc", "%s%s%n", "rack", "kubernetes.io/hostname", strings.Repeat("x", 4096), strings.Repeat("H100,", 1000), strings.Repeat("(a*)*", 200), "🜁", "required:nvlink"}

// oddKeys are annotations that the scheduler reads.
var oddKeys = []string{"phalanx.dev/required-topology", "phalanx.dev/preferred-topology", "phalanx.dev/slice-size", "phalanx.dev/slice-topology", "phalanx.dev/gpu-memory",
	"phalanx.dev/gpu-product", "phalanx.dev/gpu-compute-capability", "phalanx.dev/gpu-link", oracle.VolcanoAnnotation, "volcano.sh/task-spec", "volcano.sh/network-topology-mode",
	"volcano.sh/network-topology-highest-tier", "kueue.x-k8s.io/podset-required-topology", "kueue.x-k8s.io/podset-slice-size", "kai.scheduler/topology-required-placement"}

func oddAnnotations(random *rand.Rand) map[string]string {
	out := map[string]string{}
	for range 1 + random.IntN(5) {
		out[oddKeys[random.IntN(len(oddKeys))]] = strings.ToValidUTF8(oddValues[random.IntN(len(oddValues))], "?")
	}
	return out
}

// withHyperNodes is how many of the first objects have HyperNodes among them, a tenth. Who may write those may stall the scheduler, as
// docs/reliability.md says: they belong to a cluster's administrator, and no namespace has any.
const withHyperNodes = 1000

func (s *stage) createOdd(namespace string, i int, random *rand.Rand) error {
	ctx, name, kind := context.Background(), fmt.Sprintf("odd-%d", i), random.IntN(10)
	if kind == 0 && i >= withHyperNodes {
		kind = 1
	}
	switch kind {
	case 0: // a node that is none of its members' concern
		members := []any{}
		for range random.IntN(5) {
			selector := []map[string]any{
				{"exactMatch": map[string]any{"name": fmt.Sprintf("odd-%d", random.IntN(500))}},
				{"regexMatch": map[string]any{"pattern": oddValues[1+random.IntN(len(oddValues)-1)]}},
				{"regexMatch": map[string]any{"pattern": ".*"}},
			}[random.IntN(3)]
			members = append(members, map[string]any{"type": []string{"Node", "HyperNode"}[random.IntN(2)], "selector": selector})
		}
		_, err := s.Dynamic.Resource(hyperNodes).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": hyperNodes.GroupVersion().String(), "kind": "HyperNode", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"tier": int64(random.IntN(30)), "members": members},
		}}, metav1.CreateOptions{})
		return err
	case 1, 2, 3: // a gang that is never complete, or asks for nonsense
		dialect := []string{oracle.Volcano, oracle.Coscheduling, oracle.Native}[random.IntN(3)]
		g := (&survive.Gang{Name: name, Dialect: dialect, Minimum: []int{1, 2, 1 << 20, 1<<31 - 1}[random.IntN(4)]}).PodGroup(namespace)
		g.SetAnnotations(oddAnnotations(random))
		_, err := s.Dynamic.Resource(survive.Groups[dialect]).Namespace(namespace).Create(ctx, g, metav1.CreateOptions{})
		return err
	}
	requests := []v1.ResourceList{{}, survive.GPUs(1), survive.GPUs(1 << 40), {v1.ResourceCPU: resource.MustParse("1n")}, {v1.ResourceMemory: resource.MustParse("512Ti")}}[random.IntN(5)]
	pod := survive.NewPod(namespace, name, requests, map[string]string{oracle.CoschedulingLabel: fmt.Sprintf("odd-%d", random.IntN(1000))})
	pod.Annotations = oddAnnotations(random)
	if random.IntN(2) == 0 {
		delete(pod.Labels, oracle.CoschedulingLabel)
	}
	if random.IntN(4) == 0 {
		pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &name}
	}
	if random.IntN(3) == 0 {
		pod.Spec.NodeSelector = map[string]string{"no-such": "node"}
	}
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, controlplane.AnnotationRunFor, "1s") // what starts after all goes again
	_, err := s.Client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}
