package chaos

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/test/chaos/proxy"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
	"github.com/phalanx-scheduler/phalanx/test/survive"
)

// fault is something that goes wrong while jobs come and go. It is over when play returns.
type fault struct {
	name string
	play func(*stage)
}

// menu is what a round is drawn from.
var menu = []fault{
	{"requests fail and watches break", (*stage).badNetwork},
	{"replies to binds are lost and events are late", (*stage).lostReplies},
	{"the API server crashes", (*stage).crashAPIServer},
	{"etcd freezes", (*stage).freezeEtcd},
	{"the leader is killed in the middle of a bind", (*stage).killLeader},
	{"the leader freezes in the middle of a bind, past its lease", (*stage).freezeLeader},
	{"the leader is cut off, past its lease", (*stage).cutLeaderOff},
	{"a node is registered anew with its pods", (*stage).renewNode},
	{"a node is lost with its pods, which are made anew", (*stage).loseNode},
	{"PodGroups change, go and come back", (*stage).editGroups},
	{"reporters lie, flap and fall silent", (*stage).doubtfulReports},
}

// lasting is how long a fault lasts in earnest, or for who has no patience.
func lasting(earnest, short time.Duration) time.Duration {
	if *isLong {
		return earnest
	}
	return short
}

func (s *stage) badNetwork() {
	s.play(proxy.Plan{
		Shares: map[proxy.Fault]float64{
			proxy.Throttled: 0.03, proxy.Failed: 0.08, proxy.Hung: 0.01, proxy.Reset: 0.02, proxy.Lost: 0.04,
			proxy.Cut: 0.01, proxy.Expired: 0.01, proxy.Late: 0.05, proxy.Twice: 0.1,
		},
		Delay: 300 * time.Millisecond,
	}, lasting(30*time.Second, 5*time.Second))
}

// lostReplies has the scheduler not hear that a pod is bound, neither from the reply nor, for a while, from the watch.
func (s *stage) lostReplies() {
	s.play(proxy.Plan{
		Shares: map[proxy.Fault]float64{proxy.Lost: 0.3, proxy.Late: 1},
		Delay:  300 * time.Millisecond,
		Only:   proxy.IsBind,
	}, lasting(30*time.Second, 3*time.Second))
}

func (s *stage) crashAPIServer() {
	s.during(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.CrashAPIServer(ctx); err != nil {
			s.t.Errorf("crash the API server: %v", err)
		}
		s.pause(lasting(20*time.Second, time.Second))
		if err := s.RestartAPIServer(ctx); err != nil {
			s.t.Fatalf("nothing goes on without an API server: %v", err)
		}
	})
}

func (s *stage) freezeEtcd() {
	s.during(func() {
		if err := s.FreezeEtcd(); err != nil {
			s.t.Errorf("freeze etcd: %v", err)
		}
		s.pause(lasting(30*time.Second, 3*time.Second))
		if err := s.ThawEtcd(); err != nil {
			s.t.Errorf("thaw etcd: %v", err)
		}
	})
}

// atBind does something in the middle of the k-th bind from now on, counted from 1: before it is passed on or when it was answered. It
// says which replica it was that bound, nil if there was none to wait for. Other binds go on meanwhile.
func (s *stage) atBind(k int, isAnswered bool, act func(*replica)) *replica {
	var count atomic.Int32
	return s.onBinds(func(r *replica, is bool) (goOn, happened bool) {
		if is == isAnswered && int(count.Add(1)) == k {
			act(r)
			return true, true
		}
		return true, false
	})
}

// killAtBind kills who binds when k binds from now on were done, or k-1 and the k-th was about to be sent. None that comes after it is
// done, as if it had not been sent.
func (s *stage) killAtBind(k int, isDone bool) *replica {
	var sent, answered atomic.Int32
	return s.onBinds(func(r *replica, isAnswered bool) (goOn, happened bool) {
		if !isAnswered {
			n := int(sent.Add(1))
			if n == k && !isDone {
				s.must(r.scheduler().Kill())
			}
			return n < k || n == k && isDone, n == k && !isDone
		}
		if int(answered.Add(1)) == k && isDone {
			s.must(r.scheduler().Kill())
			return true, true
		}
		return true, false
	})
}

// onBinds asks about each bind until it has happened what was waited for.
func (s *stage) onBinds(ask func(r *replica, isAnswered bool) (goOn, happened bool)) *replica {
	happened := make(chan *replica, 1)
	for _, r := range s.replicas {
		r.proxy.OnBind(func(isAnswered bool) bool {
			if r.scheduler() == nil { // it is not known to be ready yet
				return true
			}
			goOn, isIt := ask(r, isAnswered)
			if isIt {
				happened <- r
			}
			return goOn
		})
	}
	defer func() {
		for _, r := range s.replicas {
			r.proxy.OnBind(nil)
		}
	}()
	select {
	case r := <-happened:
		return r
	case <-time.After(patience):
		s.t.Error("nobody binds anything")
	case <-s.t.Context().Done():
	}
	return nil
}

// someBind draws one in the middle of a gang.
func (s *stage) someBind() int { return 1 + s.random.IntN(5) }

func (s *stage) killLeader() {
	s.killAtBind(s.someBind(), s.random.IntN(2) == 0)
	s.awaitBind()
}

func (s *stage) freezeLeader() {
	var frozen *cluster.Scheduler
	r := s.atBind(s.someBind(), false, func(r *replica) {
		frozen = r.scheduler()
		s.must(frozen.Freeze())
	})
	if r == nil {
		return
	}
	s.pause(leases().takeover())
	s.must(frozen.Thaw())
	s.awaitEnd(frozen, r.name+" slept past its lease")
}

// cutLeaderOff lets nothing through between the leader and the API server until it has given up, and then until its lease is over.
func (s *stage) cutLeaderOff() {
	var cut *cluster.Scheduler
	r := s.atBind(s.someBind(), true, func(r *replica) {
		cut = r.scheduler()
		r.proxy.Play(proxy.Plan{Shares: map[proxy.Fault]float64{proxy.Hung: 1, proxy.Cut: 1}})
	})
	if r == nil {
		return
	}
	s.awaitEnd(cut, r.name+" cannot renew its lease")
	s.pause(leases().duration - leases().renew)
	r.proxy.Play(proxy.Plan{})
}

// awaitEnd waits until a scheduler has ended by itself.
func (s *stage) awaitEnd(scheduler *cluster.Scheduler, why string) {
	select {
	case <-scheduler.Done():
	case <-time.After(patience):
		s.t.Errorf("%s and goes on", why)
	}
}

// awaitBind waits until somebody binds again.
func (s *stage) awaitBind() { s.atBind(1, true, func(*replica) {}) }

func (s *stage) must(err error) {
	if err != nil {
		s.t.Error(err)
	}
}

// busyNode draws a node: one that has pods, if there is one.
func (s *stage) busyNode() (node string) {
	isBusy := map[string]bool{}
	for _, pod := range s.podsNow() {
		isBusy[pod.Spec.NodeName] = isBusy[pod.Spec.NodeName] || pod.Status.Phase != v1.PodSucceeded
	}
	all := nodes(s.ns)
	for _, i := range s.random.Perm(len(all)) {
		if node = all[i].Name; isBusy[node] {
			break
		}
	}
	return node
}

func (s *stage) podsNow() (pods []v1.Pod) {
	s.insist(func(ctx context.Context) error {
		list, err := s.Client.CoreV1().Pods(s.ns).List(ctx, metav1.ListOptions{})
		if err == nil {
			pods = list.Items
		}
		return err
	})
	return pods
}

func (s *stage) deleteNode(name string) {
	s.insist(func(ctx context.Context) error { return s.Client.CoreV1().Nodes().Delete(ctx, name, atOnce) })
}

func (s *stage) createNode(name string) {
	for _, node := range nodes(s.ns) {
		if node.Name == name {
			s.insist(func(ctx context.Context) error {
				_, err := s.Client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
				return err
			})
		}
	}
}

// renewNode deletes a node under its pods and registers it again, as a kubelet does that somebody deleted the node of.
func (s *stage) renewNode() {
	for range 3 {
		node := s.busyNode()
		s.deleteNode(node)
		s.pause(time.Duration(s.random.IntN(700)) * time.Millisecond)
		s.createNode(node)
		// kwok does not look at what was bound to the node while it was away, until it changes.
		for _, name := range s.podsOn(node) {
			s.insist(func(ctx context.Context) error {
				_, err := s.Client.CoreV1().Pods(s.ns).Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"seen":"again"}}}`), metav1.PatchOptions{})
				return err
			})
		}
	}
}

// podsOn are the names of the pods that are bound to a node.
func (s *stage) podsOn(node string) (names []string) {
	for _, pod := range s.podsNow() {
		if pod.Spec.NodeName == node {
			names = append(names, pod.Name)
		}
	}
	return names
}

// loseNode takes a node away with its pods, and those that are bound to it by who does not know that yet, as pod garbage collection does.
// Their owner makes them anew, and the node comes back empty.
func (s *stage) loseNode() {
	node := s.busyNode()
	s.deleteNode(node)
	isLost := map[string]bool{}
	for range 5 {
		for _, name := range s.podsOn(node) {
			isLost[name] = true
			s.insist(func(ctx context.Context) error { return s.Client.CoreV1().Pods(s.ns).Delete(ctx, name, atOnce) })
		}
		s.pause(200 * time.Millisecond)
	}
	s.mu.Lock()
	var anew []*v1.Pod
	for _, g := range s.jobs {
		for _, pod := range g.Pods {
			if isLost[pod.Name] {
				anew = append(anew, pod)
			}
		}
	}
	s.mu.Unlock()
	for _, pod := range anew {
		s.create(pod)
	}
	s.createNode(node)
}

// editGroups raises and lowers what waiting gangs need, as fast as the API server takes it, and has the PodGroups of some go and
// come back. Those of Kubernetes itself are out of it: they cannot be changed, nor go before their pods.
func (s *stage) editGroups() {
	begin, edits := time.Now(), 0
	for time.Since(begin) < lasting(15*time.Second, 3*time.Second) || edits == 0 && time.Since(begin) < patience {
		for _, g := range s.unfinished() {
			if g.Dialect != oracle.Volcano && g.Dialect != oracle.Coscheduling {
				continue
			}
			groups := s.Dynamic.Resource(survive.Groups[g.Dialect]).Namespace(s.ns)
			if s.random.IntN(4) == 0 {
				s.insist(func(ctx context.Context) error { return groups.Delete(ctx, g.Name, metav1.DeleteOptions{}) })
				s.createGroup(g)
			} else {
				minimum := len(g.Pods) - s.random.IntN(2)
				patch := fmt.Appendf(nil, `{"spec":{"minMember":%d}}`, minimum)
				s.insist(func(ctx context.Context) error {
					_, err := groups.Patch(ctx, g.Name, types.MergePatchType, patch, metav1.PatchOptions{})
					return err
				})
			}
			edits++
		}
		s.pause(20 * time.Millisecond)
	}
	if edits == 0 {
		s.t.Error("there was no PodGroup to edit")
	}
}
