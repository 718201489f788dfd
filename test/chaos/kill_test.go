package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/oracle"
	"github.com/phalanx-scheduler/phalanx/test/survive"
)

// TestKilledAtAnyBind kills the scheduler at the k-th bind of a gang, before the request is passed on and after it was answered, for
// all k in earnest and for two who have no patience.
func TestKilledAtAnyBind(t *testing.T) {
	members, kills := int(lasting(8, 2)), 0 // one node each
	s := newStage(t, "killed", 0, 1)
	for k := 1; k <= members; k++ {
		for _, isAnswered := range []bool{true, false} {
			if !*isLong && isAnswered == (k == 1) {
				continue
			}
			g := s.gangOf(fmt.Sprintf("k%d-%t", k, isAnswered), members, 8)
			killed := make(chan *replica, 1)
			go func() {
				killed <- s.atBind(k, isAnswered, func(r *replica) { s.must(r.scheduler().Kill()) })
			}()
			s.submit(g)
			require.NotNil(t, <-killed, "%s was not killed", g)
			kills++
			require.Eventually(t, func() bool { return len(s.unfinished()) == 0 && s.replicas[0].crashes() == kills }, patience, again, "%s has not run", g)
		}
	}
	t.Logf("it was killed %d times", kills)
	s.settle()
}

// gangOf makes a gang whose members want so many GPUs each.
func (s *stage) gangOf(name string, members int, gpus int64) *survive.Gang {
	g := &survive.Gang{Name: name, Dialect: oracle.Volcano, Minimum: members}
	for i := range members {
		pod := survive.NewPod(s.ns, fmt.Sprintf("%s-%d", name, i), survive.GPUs(gpus), map[string]string{jobLabel: name})
		pod.Annotations = map[string]string{controlplane.AnnotationRunFor: time.Second.String()}
		g.Join(pod)
		g.Pods = append(g.Pods, pod)
	}
	return g
}
