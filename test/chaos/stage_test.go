package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/test/audit"
	"github.com/phalanx-scheduler/phalanx/test/chaos/history"
	"github.com/phalanx-scheduler/phalanx/test/chaos/proxy"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/survive"
)

const (
	// patience is how long anything may take that the tests wait for.
	patience = 90 * time.Second
	// again is how long a test waits before it asks an API server again that did not answer.
	again = 100 * time.Millisecond
)

var atOnce = *metav1.NewDeleteOptions(0)

// stage is a namespace, nodes, and the replicas of the scheduler, with the recorder running.
type stage struct {
	t *testing.T
	*cluster.Cluster
	ns       string
	begin    time.Time
	record   *history.Recorder
	replicas []*replica
	random   *rand.Rand // of the test's goroutine

	mu      sync.Mutex
	jobs    []*survive.Gang
	windows []window
}

// newStage sets a stage for the test, with so many replicas: none, one that leads at once, or two that elect a leader. It is judged and
// cleared when the test ends.
func newStage(t *testing.T, ns string, seed uint64, replicas int) *stage {
	t.Helper()
	s := &stage{t: t, Cluster: shared, ns: ns, begin: time.Now(), random: rand.New(rand.NewPCG(seed, 1))}
	_, err := s.Client.CoreV1().Namespaces().Create(t.Context(), &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	require.NoError(t, err)
	for _, node := range nodes(ns) {
		_, err := s.Client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	s.record = history.Record(s.Dynamic, survive.Groups["volcano"], survive.Groups["coscheduling"], survive.Groups["native"])
	t.Cleanup(s.clear)
	if replicas > 1 {
		s.hauntLease(seed % 3)
	}
	for i := range replicas {
		s.replicas = append(s.replicas, startReplica(t, fmt.Sprintf("%s-%c", ns, 'a'+i), seed+uint64(i), replicas > 1))
	}
	return s
}

// hauntLease leaves the lease to nobody, or with a leader that is dead, and whose clock was an hour ahead or behind.
func (s *stage) hauntLease(how uint64) {
	api := s.Client.CoordinationV1().Leases(cluster.Namespace)
	lease, err := api.Get(s.t.Context(), cluster.ServiceAccount, metav1.GetOptions{})
	require.NoError(s.t, err)
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = ptr.To("ghost"), ptr.To(int32(leases().duration.Seconds()))
	switch how {
	case 0:
		lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(time.Now().Add(-time.Hour)))
	case 1:
		lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(time.Now().Add(time.Hour)))
	default:
		lease.Spec.HolderIdentity = ptr.To("")
	}
	_, err = api.Update(s.t.Context(), lease, metav1.UpdateOptions{})
	require.NoError(s.t, err)
}

// clear takes away all that the stage has made, but what a person needs to find out why it failed.
func (s *stage) clear() {
	s.record.Stop()
	if s.t.Failed() {
		s.keep()
	}
	ctx := context.Background()
	err := errors.Join(
		s.Client.CoreV1().Pods(s.ns).DeleteCollection(ctx, atOnce, metav1.ListOptions{}),
		s.Client.CoreV1().Nodes().DeleteCollection(ctx, atOnce, metav1.ListOptions{}),
	)
	for _, resource := range survive.Groups {
		err = errors.Join(err, s.Dynamic.Resource(resource).Namespace(s.ns).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	}
	require.NoError(s.t, err)
}

// insist does something until the API server has done it. That it was done before is fine: nobody may have heard of it.
func (s *stage) insist(do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, 5*time.Second)
		err := do(try)
		done()
		if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
			return
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			s.t.Errorf("the API server does not do what it is asked to: %v", err)
			return
		}
	}
}

// submit makes a job's PodGroup and pods.
func (s *stage) submit(g *survive.Gang) {
	s.mu.Lock()
	s.jobs = append(s.jobs, g)
	s.mu.Unlock()
	s.createGroup(g)
	for _, pod := range g.Pods {
		s.create(pod)
	}
}

func (s *stage) createGroup(g *survive.Gang) {
	if g.Dialect == "" {
		return
	}
	s.insist(func(ctx context.Context) error {
		_, err := s.Dynamic.Resource(survive.Groups[g.Dialect]).Namespace(s.ns).Create(ctx, g.PodGroup(s.ns), metav1.CreateOptions{})
		return err
	})
}

func (s *stage) create(pod *v1.Pod) {
	s.insist(func(ctx context.Context) error {
		_, err := s.Client.CoreV1().Pods(s.ns).Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
}

// job draws the next one.
func (s *stage) job(random *rand.Rand) *survive.Gang {
	s.mu.Lock()
	defer s.mu.Unlock()
	return drawJob(random, s.ns, fmt.Sprintf("j%03d", len(s.jobs)))
}

// unfinished are the jobs of which not all pods have succeeded, as the recorder knows.
func (s *stage) unfinished() []*survive.Gang {
	done := map[string]int{}
	for _, pod := range s.record.Latest(history.Pods) {
		if phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase"); phase == string(v1.PodSucceeded) {
			done[pod.GetLabels()[jobLabel]]++
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.jobs), func(g *survive.Gang) bool { return done[g.Name] == len(g.Pods) })
}

// bound is how many members of a job have a node, as the recorder knows.
func (s *stage) bound(g *survive.Gang) (count int) {
	for _, pod := range s.record.Latest(history.Pods) {
		if node, _, _ := unstructured.NestedString(pod.Object, "spec", "nodeName"); node != "" && pod.GetNamespace() == s.ns && pod.GetLabels()[jobLabel] == g.Name {
			count++
		}
	}
	return count
}

// keepBusy submits jobs until the context is done, as many as the cluster has something to do with: more than fit at a time.
func (s *stage) keepBusy(ctx context.Context, random *rand.Rand) {
	const atATime = 10
	for ctx.Err() == nil {
		changed := s.record.Changed()
		if len(s.unfinished()) < atATime {
			s.submit(s.job(random))
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// during notes that the network or the API server fails while something is done.
func (s *stage) during(fault func()) {
	from := time.Now()
	fault()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.windows = append(s.windows, window{from, time.Now()})
}

// play has all replicas' proxies follow a plan for some time.
func (s *stage) play(plan proxy.Plan, howLong time.Duration) {
	s.during(func() {
		for _, r := range s.replicas {
			r.proxy.Play(plan)
		}
		s.pause(howLong)
		for _, r := range s.replicas {
			r.proxy.Play(proxy.Plan{})
		}
	})
}

// elapsed is how long the stage has been set.
func (s *stage) elapsed() time.Duration { return time.Since(s.begin).Round(100 * time.Millisecond) }

// pause lets the fault last.
func (s *stage) pause(howLong time.Duration) {
	select {
	case <-time.After(howLong):
	case <-s.t.Context().Done():
	}
}

// counts are what the proxies did.
func (s *stage) counts() map[proxy.Fault]int {
	sum := map[proxy.Fault]int{}
	for _, r := range s.replicas {
		for fault, n := range r.proxy.Counts() {
			sum[fault] += n
		}
	}
	return sum
}

// settle waits until all jobs have run on the cluster that is left alone, and judges the history.
func (s *stage) settle() {
	s.t.Helper()
	calm := time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		changed := s.record.Changed()
		if len(s.unfinished()) == 0 {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	for _, g := range s.unfinished() {
		s.t.Errorf("%s has not run %s after the last fault", g, time.Since(calm).Round(time.Second))
	}
	s.judge()
	s.t.Logf("%d jobs came, the last ended %s after the faults", len(s.jobs), time.Since(calm).Round(100*time.Millisecond))
}

// judge passes judgement on all that happened since the stage was set.
func (s *stage) judge() {
	s.t.Helper()
	e, err := s.evidence()
	require.NoError(s.t, err)
	wrong, longest, err := e.verdict()
	require.NoError(s.t, err)
	for _, sentence := range wrong {
		s.t.Error(sentence)
	}
	for _, r := range s.replicas {
		for _, line := range panics(s.t, s.LogPath(r.name)) {
			s.t.Errorf("%s: %s", r.name, line)
		}
	}
	s.t.Logf("the longest half start in calm took %s; %d events, %d gaps", longest.Round(time.Millisecond), len(e.events), s.record.Gaps())
}

func (s *stage) evidence() (evidence, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := s.record.CatchUp(ctx); err != nil {
		return evidence{}, fmt.Errorf("the recorder does not catch up: %w", err)
	}
	requests, err := audit.Read(s.AuditLogPath())
	s.mu.Lock()
	defer s.mu.Unlock()
	return evidence{
		events: s.record.Events(), windows: s.windows, now: time.Now(),
		audit: slices.DeleteFunc(requests, func(e auditv1.Event) bool { return e.RequestReceivedTimestamp.Time.Before(s.begin) }),
	}, err
}

// panics are the lines of a log that tell of one.
func panics(t *testing.T, path string) []string {
	t.Helper()
	log, err := os.Open(path)
	require.NoError(t, err)
	defer log.Close()
	var out []string
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "panic") {
			out = append(out, lines.Text())
		}
	}
	require.NoError(t, lines.Err())
	return out
}

// keep leaves what a person needs to find out what happened.
func (s *stage) keep() {
	folder, err := os.MkdirTemp("", "phalanx-chaos-failed-")
	require.NoError(s.t, err)
	record, err := os.Create(filepath.Join(folder, "history.txt"))
	require.NoError(s.t, err)
	defer record.Close()
	require.NoError(s.t, history.Write(record, s.record.Events()))
	paths := []string{s.AuditLogPath(), s.LogPath("kube-apiserver")}
	for _, r := range s.replicas {
		paths = append(paths, s.LogPath(r.name))
	}
	for _, path := range paths {
		if raw, err := os.ReadFile(path); err == nil {
			require.NoError(s.t, os.WriteFile(filepath.Join(folder, filepath.Base(path)), raw, 0o600))
		}
	}
	s.t.Logf("the history and the logs are in %s", folder)
}
