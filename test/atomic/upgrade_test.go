package atomic

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
)

const (
	// inFlight is how many gangs wait or run at any time; the nodes hold less than half of them.
	inFlight     = 24
	upgradeNodes = 40
	// slowly is at how many requests a second replicas bind here: few enough for a gang to take some time.
	slowly = 50
	// leaseDuration is how long a lease is waited for that nobody gave back.
	leaseDuration = 15 * time.Second
)

// TestAnUpgradeAndARollbackUnderLoad plays a Deployment's rolling update twice, to another version and back, while gangs come as fast
// as others end: a new replica starts, is ready, and then an old one is told to stop, each in the middle of binding a gang. There is
// no release to upgrade from yet: the other version is this one under another name.
func TestAnUpgradeAndARollbackUnderLoad(t *testing.T) {
	next, err := cluster.BuildSchedulerAs(t.Context(), "v9.9.9", t.TempDir())
	require.NoError(t, err)
	root, err := cluster.Root()
	require.NoError(t, err)
	c, err := cluster.Start(t.Context(), cluster.Options{Options: controlplane.Options{
		Kwok: true, Controllers: true, NativePodGroups: true, AuditPolicyFile: filepath.Join(root, "manifests", "audit", "policy.yaml"),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Stop()) })
	s := emptyScene(t, c, oracle.DefaultGrace)
	s.addNodes(upgradeNodes)
	s.watch()

	roll := &rollout{scene: s, known: map[string]string{}}
	roll.start("")
	roll.start("")
	ctx, stopLoad := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	dialects := dialectsOf(t, c)
	go func() { ended <- s.keepBusy(ctx, dialects) }()
	for _, program := range []string{next, next, "", ""} {
		roll.start(program)
		s.waitForHalfBound()
		roll.stopOne()
	}
	s.waitForBound(s.boundPods() + 1)
	stopLoad()
	require.NoError(t, <-ended)
	s.waitUntilAllRan()
	roll.requireOneBinderAtATime()
}

// rollout is the replicas of a Deployment, the oldest first.
type rollout struct {
	*scene
	replicas []replica
	known    map[string]string // names of replicas by what the API server calls their tokens
}

type replica struct {
	*cluster.Scheduler
	name string
}

func (r *rollout) start(program string) {
	r.t.Helper()
	r.starts++
	name := fmt.Sprintf("replica-%d", r.starts)
	var err error
	r.scheduler, err = r.StartScheduler(r.t.Context(), cluster.SchedulerOptions{Name: name, Program: program, Elect: true, QPS: slowly, V: 2})
	require.NoError(r.t, err)
	r.replicas = append(r.replicas, replica{r.scheduler, name})
	r.known[credential(r.t, filepath.Join(r.DataDir(), "kubeconfigs", name))] = name
}

// stopOne does what a kubelet does to a pod that is deleted: to one of the two oldest, the leader if that is one of them.
func (r *rollout) stopOne() {
	r.t.Helper()
	i := 0
	if reigns := r.reigns(); len(reigns) > 0 && reigns[len(reigns)-1].replica == r.replicas[1].name {
		i = 1
	}
	gone := r.replicas[i]
	r.replicas = slices.Delete(r.replicas, i, i+1)
	begin := time.Now()
	require.NoError(r.t, gone.Stop())
	r.t.Logf("%s ended %s after SIGTERM", gone.name, time.Since(begin).Round(time.Millisecond))
}

// credential is what an audit log calls the token in a kubeconfig.
func credential(t *testing.T, kubeconfig string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(kubeconfig)
	require.NoError(t, err)
	for _, user := range config.AuthInfos {
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(user.Token, ".")[1])
		require.NoError(t, err)
		var claims struct {
			ID string `json:"jti"`
		}
		require.NoError(t, json.Unmarshal(raw, &claims))
		return "JTI=" + claims.ID
	}
	require.Fail(t, "the kubeconfig has no user")
	return ""
}

// keepBusy submits a gang for each that ends, until the context is done.
func (s *scene) keepBusy(ctx context.Context, dialects []string) error {
	random := rand.New(rand.NewPCG(4, 4))
	count := 0
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
		for missing := inFlight - len(s.unfinished()); missing > 0; missing-- {
			if err := s.submitOne(draw(random, count, dialects)); err != nil {
				return false, err
			}
			count++
		}
		return false, nil
	})
	s.t.Logf("%d gangs were submitted", count)
	if wait.Interrupted(err) {
		return nil
	}
	return err
}

// submitOne creates a gang. It finishes what it began though the load ends meanwhile.
func (s *scene) submitOne(g gang) error {
	s.mu.Lock()
	s.gangs = append(s.gangs, g)
	s.mu.Unlock()
	s.judge.SetMinimum(time.Now(), oracle.Gang{Dialect: g.dialect, Namespace: "default", Name: g.name}, g.members)
	if err := s.createGroup(s.t.Context(), g); err != nil {
		return err
	}
	for i := range g.members {
		if _, err := s.Client.CoreV1().Pods("default").Create(s.t.Context(), s.pod(g, i), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// waitForHalfBound returns while a gang is being bound, as far as a watch can tell.
func (s *scene) waitForHalfBound() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for !s.isHalfBound() {
		select {
		case <-s.news:
		case <-ctx.Done():
			require.Fail(s.t, "nobody is seen half bound", "unfinished: %v\n%s", s.unfinished(), s.whatPodsSay())
		}
	}
}

func (s *scene) isHalfBound() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.gangs, func(g gang) bool { return s.boundOf[g.name] > 0 && s.boundOf[g.name] < g.members })
}

// reign is the time in which one replica bound pods, and nobody else.
type reign struct {
	replica     string
	first, last time.Time
	pods        int
	gangs       map[string]int // pods by gang
}

// reigns reads from the audit log who bound when.
func (r *rollout) reigns() []reign {
	r.t.Helper()
	log, err := os.ReadFile(r.AuditLogPath())
	require.NoError(r.t, err)
	var out []reign
	for line := range strings.Lines(string(log)) {
		var event auditv1.Event
		if !strings.HasSuffix(line, "\n") || !strings.Contains(line, `"subresource":"binding"`) {
			continue // or it is being written
		}
		require.NoError(r.t, json.Unmarshal([]byte(line), &event))
		require.NotEqual(r.t, int32(http.StatusConflict), event.ResponseStatus.Code, "%s was bound already", event.ObjectRef.Name)
		if event.ResponseStatus.Code != http.StatusCreated {
			continue
		}
		credentials := event.User.Extra["authentication.kubernetes.io/credential-id"]
		require.Len(r.t, credentials, 1)
		replica, isKnown := r.known[credentials[0]]
		require.True(r.t, isKnown, "a bind by %s", credentials[0])
		at := event.StageTimestamp.Time
		if len(out) == 0 || out[len(out)-1].replica != replica {
			out = append(out, reign{replica: replica, first: at, gangs: map[string]int{}})
		}
		now := &out[len(out)-1]
		now.last = at
		now.pods++
		now.gangs[event.ObjectRef.Name[:strings.LastIndex(event.ObjectRef.Name, "-")]]++
	}
	return out
}

// requireOneBinderAtATime: who has bound pods after another never sees that one bind again; a gang that one began no other had to finish;
// and nobody waited for the end of a lease.
func (r *rollout) requireOneBinderAtATime() {
	r.t.Helper()
	reigns := r.reigns()
	require.Greater(r.t, len(reigns), 2, "replicas that bound pods: the first, and one after each rollout at least")
	seen := sets.New[string]()
	for i, now := range reigns {
		require.False(r.t, seen.Has(now.replica), "%s bound again after another one: %v", now.replica, reigns)
		seen.Insert(now.replica)
		r.t.Logf("%s bound %d pods", now.replica, now.pods)
		for _, g := range r.gangs {
			if bound := now.gangs[g.name]; bound > 0 {
				require.Equal(r.t, g.members, bound, "members of %s that %s bound", g.name, now.replica)
			}
		}
		if i == 0 {
			continue
		}
		gap := now.first.Sub(reigns[i-1].last)
		r.t.Logf("%s after the last bind of %s came the first of %s", gap.Round(time.Millisecond), reigns[i-1].replica, now.replica)
		require.Less(r.t, gap, leaseDuration)
	}
}
