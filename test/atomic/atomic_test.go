// Package atomic proves the promise that everything else rests on: a gang starts whole or not at all, also when the
// scheduler crashes. The judge is package oracle, which sees the watch history alone.
package atomic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

const (
	gangCount = 60
	// overload is how many times the cluster's GPUs all gangs want together.
	overload = 3
	// patience bounds a whole run. A run takes a quarter of it on a quiet machine.
	patience = 4 * time.Minute
	// afterCrash is how long after a restart a gang may be half started still.
	afterCrash = 30 * time.Second
)

// gang is what a test asks for.
type gang struct {
	name    string
	members int
	gpus    int64 // per member
	runFor  time.Duration
	dialect string
}

// draw draws a gang of 2 to 32 members with 1 to 8 GPUs each.
func draw(random *rand.Rand, i int, dialects []string) gang {
	return gang{
		name:    fmt.Sprintf("gang-%d", i),
		members: 2 + random.IntN(31),
		gpus:    []int64{1, 2, 4, 8}[random.IntN(4)],
		runFor:  time.Duration(2+random.IntN(3)) * time.Second,
		dialect: dialects[i%len(dialects)],
	}
}

// workload draws gangs, and the nodes of 8 GPUs that they want overload times.
func workload(random *rand.Rand, dialects []string) (gangs []gang, nodes int) {
	wanted, largest := 0, 0
	for i := range gangCount {
		g := draw(random, i, dialects)
		gangs = append(gangs, g)
		total := g.members * int(g.gpus)
		wanted += total
		largest = max(largest, total)
	}
	return gangs, max(wanted/(8*overload), (largest+7)/8)
}

// scene is a cluster under such a workload, with the judge watching.
type scene struct {
	t *testing.T
	*cluster.Cluster
	judge     *oracle.Judge
	scheduler *cluster.Scheduler
	starts    int

	mu              sync.Mutex
	gangs           []gang
	bound, done     sets.Set[string] // names of pods
	boundOf, doneOf map[string]int   // such pods, per gang
	news            chan struct{}    // holds one token after a change
}

func newScene(t *testing.T, seed uint64, grace time.Duration) *scene {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, seed))
	_, err := controlplane.EnsureBinaries(t.Context(), os.Stderr)
	require.NoError(t, err)
	c, err := cluster.Start(t.Context(), cluster.Options{Options: controlplane.Options{Kwok: true, Controllers: true, NativePodGroups: true}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Stop()) })
	dialects := dialectsOf(t, c)
	gangs, nodes := workload(random, dialects)
	t.Logf("seed %d: %d gangs in the dialects %v, %d nodes with 8 GPUs each", seed, len(gangs), dialects, nodes)
	s := emptyScene(t, c, grace)
	s.gangs = gangs
	s.addNodes(nodes)
	s.watch()
	s.submit(random)
	return s
}

func emptyScene(t *testing.T, c *cluster.Cluster, grace time.Duration) *scene {
	return &scene{t: t, Cluster: c, judge: oracle.New(grace),
		bound: sets.New[string](), boundOf: map[string]int{}, done: sets.New[string](), doneOf: map[string]int{}, news: make(chan struct{}, 1)}
}

func (s *scene) addNodes(count int) {
	var nodes []*v1.Node
	for i := range count {
		n := controlplane.NewNode(controlplane.FakeNode{Name: fmt.Sprintf("node-%d", i), GPUs: 8})
		s.judge.SetNode(time.Now(), n)
		nodes = append(nodes, n)
	}
	require.NoError(s.t, controlplane.CreateNodes(s.t.Context(), s.Client, nodes))
}

// watch feeds the judge and counts what is bound and done.
func (s *scene) watch() {
	factory := informers.NewSharedInformerFactory(s.Client, 0)
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(oracle.Handler(time.Now, s.observe))
	require.NoError(s.t, err)
	factory.StartWithContext(s.t.Context())
	factory.WaitForCacheSyncWithContext(s.t.Context())
}

func (s *scene) observe(at time.Time, kind watch.EventType, pod *v1.Pod) {
	s.judge.Observe(at, kind, pod)
	s.mu.Lock()
	defer s.mu.Unlock()
	if pod.Spec.NodeName != "" && !s.bound.Has(pod.Name) {
		s.bound.Insert(pod.Name)
		s.boundOf[pod.Labels["gang"]]++
	}
	if pod.Status.Phase == v1.PodSucceeded && !s.done.Has(pod.Name) {
		s.done.Insert(pod.Name)
		s.doneOf[pod.Labels["gang"]]++
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *scene) startScheduler() {
	s.t.Helper()
	s.starts++
	var err error
	s.scheduler, err = s.StartScheduler(s.t.Context(), cluster.SchedulerOptions{Name: fmt.Sprintf("scheduler-%d", s.starts), V: 2})
	require.NoError(s.t, err)
}

// submit creates all PodGroups and all pods at once, the pods of all gangs mixed.
func (s *scene) submit(random *rand.Rand) {
	var pods []*v1.Pod
	for _, g := range s.gangs {
		s.judge.SetMinimum(time.Now(), oracle.Gang{Dialect: g.dialect, Namespace: "default", Name: g.name}, g.members)
		for i := range g.members {
			pods = append(pods, s.pod(g, i))
		}
	}
	random.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
	group, ctx := errgroup.WithContext(s.t.Context())
	group.SetLimit(16)
	for _, g := range s.gangs {
		group.Go(func() error { return s.createGroup(ctx, g) })
	}
	require.NoError(s.t, group.Wait())
	group, ctx = errgroup.WithContext(s.t.Context())
	group.SetLimit(16)
	for _, p := range pods {
		group.Go(func() error {
			_, err := s.Client.CoreV1().Pods("default").Create(ctx, p, metav1.CreateOptions{})
			return err
		})
	}
	require.NoError(s.t, group.Wait())
	s.t.Logf("%d pods are submitted", len(pods))
}

var groups = map[string]schema.GroupVersionResource{
	oracle.Volcano:      {Group: "scheduling.volcano.sh", Version: "v1beta1", Resource: "podgroups"},
	oracle.Coscheduling: {Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"},
	oracle.Native:       {Group: "scheduling.k8s.io", Version: "v1beta1", Resource: "podgroups"},
}

// dialectsOf are those that the API server serves: all, but for older releases.
func dialectsOf(t *testing.T, c *cluster.Cluster) []string {
	t.Helper()
	var dialects []string
	for _, d := range []string{oracle.Volcano, oracle.Coscheduling, oracle.Native} {
		isServed, err := c.Serves(groups[d])
		require.NoError(t, err)
		if isServed {
			dialects = append(dialects, d)
		}
	}
	if os.Getenv(controlplane.MinorVariable) == "" {
		require.Len(t, dialects, len(groups))
	}
	return dialects
}

func (s *scene) createGroup(ctx context.Context, g gang) error {
	spec := map[string]any{"minMember": int64(g.members)}
	if g.dialect == oracle.Native {
		spec = map[string]any{"schedulingPolicy": map[string]any{"gang": map[string]any{"minCount": int64(g.members)}}}
	}
	gvr := groups[g.dialect]
	_, err := s.Dynamic.Resource(gvr).Namespace("default").Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": gvr.GroupVersion().String(), "kind": "PodGroup",
		"metadata": map[string]any{"name": g.name, "namespace": "default"}, "spec": spec,
	}}, metav1.CreateOptions{})
	return err
}

func (s *scene) pod(g gang, i int) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%d", g.name, i), Namespace: "default", Labels: map[string]string{"gang": g.name},
			Annotations: map[string]string{controlplane.AnnotationRunFor: g.runFor.String()},
		},
		Spec: v1.PodSpec{
			SchedulerName: "phalanx", RestartPolicy: v1.RestartPolicyNever,
			Containers: []v1.Container{{Name: "main", Image: "registry.k8s.io/pause:3.10", Resources: v1.ResourceRequirements{
				Limits: v1.ResourceList{controlplane.ResourceGPU: *resource.NewQuantity(g.gpus, resource.DecimalSI)},
			}}},
		},
	}
	switch g.dialect {
	case oracle.Volcano:
		p.Annotations[oracle.VolcanoAnnotation] = g.name
	case oracle.Coscheduling:
		p.Labels[oracle.CoschedulingLabel] = g.name
	case oracle.Native:
		p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &g.name}
	}
	return p
}

// unfinished names the gangs of which a member has not succeeded yet.
func (s *scene) unfinished() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, g := range s.gangs {
		if s.doneOf[g.name] < g.members {
			out = append(out, fmt.Sprintf("%s (%d of %d done)", g.name, s.doneOf[g.name], g.members))
		}
	}
	return out
}

// whatPodsSay counts the pods that are not done by phase, node and reason of their wait, for the reader of a failure.
func (s *scene) whatPodsSay() string {
	list, err := s.Client.CoreV1().Pods("default").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	counts := map[string]int{}
	for _, p := range list.Items {
		if p.Status.Phase == v1.PodSucceeded {
			continue
		}
		says := fmt.Sprintf("%s, on a node: %t", p.Status.Phase, p.Spec.NodeName != "")
		for _, c := range p.Status.Conditions {
			if c.Type == v1.PodScheduled && c.Status == v1.ConditionFalse {
				says += ", " + c.Message
			}
		}
		counts[says]++
	}
	return fmt.Sprintf("%v\ncontrol plane: %v\nscheduler: %v", counts, s.Failure(), s.scheduler.Failure())
}

func (s *scene) boundPods() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound.Len()
}

// waitUntilAllRan waits until every member of every gang has succeeded, and passes judgement on the whole history.
func (s *scene) waitUntilAllRan() {
	s.t.Helper()
	err := wait.PollUntilContextTimeout(s.t.Context(), 100*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		return len(s.unfinished()) == 0, nil
	})
	require.NoError(s.t, err, "unfinished: %v\n%s", s.unfinished(), s.whatPodsSay())
	require.Empty(s.t, s.judge.Violations(time.Now()))
	s.t.Logf("the longest half start took %s", s.judge.LongestHalfStart(time.Now()).Round(time.Millisecond))
}

func TestGangsThatCompeteStartWholeAndAllRunInTurn(t *testing.T) {
	s := newScene(t, 1, oracle.DefaultGrace)
	s.startScheduler()
	s.waitUntilAllRan()
	s.requireQuiet()
}

// TestACrashHalfStartsNoGang kills the scheduler at random numbers of bound pods, in the middle of binding gangs, and starts
// it again at once.
func TestACrashHalfStartsNoGang(t *testing.T) {
	const crashes = 20
	s := newScene(t, 2, afterCrash)
	random := rand.New(rand.NewPCG(3, 3))
	total := 0
	for _, g := range s.gangs {
		total += g.members
	}
	// Where to crash, in pods bound so far: anywhere but at the very end.
	var at []int
	for range crashes {
		at = append(at, random.IntN(total*9/10))
	}
	slices.Sort(at)

	s.startScheduler()
	halfStarted := 0
	for _, pods := range at {
		s.waitForBound(pods)
		require.NoError(t, s.scheduler.Kill())
		halfStarted += s.halfStartedNow()
		s.startScheduler()
	}
	t.Logf("%d crashes left %d gangs half started for their successors to complete", crashes, halfStarted)
	s.waitUntilAllRan()
}

func (s *scene) waitForBound(pods int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for s.boundPods() < pods {
		select {
		case <-s.news:
		case <-ctx.Done():
			require.Fail(s.t, "too few pods are bound", "%d of %d; unfinished: %v", s.boundPods(), pods, s.unfinished())
		}
	}
}

// halfStartedNow counts the gangs of which some members have a node but not all.
func (s *scene) halfStartedNow() int {
	list, err := s.Client.CoreV1().Pods("default").List(s.t.Context(), metav1.ListOptions{})
	require.NoError(s.t, err)
	bound := map[string]int{}
	for _, p := range list.Items {
		if p.Spec.NodeName != "" {
			bound[p.Labels["gang"]]++
		}
	}
	count := 0
	for _, g := range s.gangs {
		if b := bound[g.name]; b > 0 && b < g.members {
			count++
		}
	}
	return count
}

// upstreamsErrors are lines that the core logs as errors in every run here, of which none is about a gang: the control plane
// has no aggregation layer, metrics have no allow list, and ADR 3.
var upstreamsErrors = regexp.MustCompile(`requestheader-client-ca-file|manifest file is empty|GangScheduling plugin is not set`)

// requireQuiet looks through the scheduler's log: a gang that waits is no error, and no member has lines of its own for being
// refused, not even at v=2.
func (s *scene) requireQuiet() {
	s.t.Helper()
	raw, err := os.ReadFile(s.scheduler.LogPath())
	require.NoError(s.t, err)
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "E") && !upstreamsErrors.MatchString(line) || strings.Contains(line, "Unable to schedule pod") {
			require.Fail(s.t, "the log is not quiet", line)
		}
	}
	s.t.Logf("%d lines of log at v=2 for %d pods", strings.Count(string(raw), "\n"), s.boundPods())
}
