package chaos

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/oracle"
	"github.com/phalanx-scheduler/phalanx/test/survive"
)

// TestKilledAtAnyBind kills the scheduler when k members of a gang are bound and no more, and has the next one find it so.
func TestKilledAtAnyBind(t *testing.T) {
	members, kills := int(lasting(8, 2)), 0 // one node each
	s := newStage(t, "killed", 0, 1)
	for k := 1; k <= members; k++ {
		for _, isDone := range []bool{true, false} {
			if !*isLong && isDone != (k == 1) { // these two leave one member bound
				continue
			}
			g := s.gangOf(fmt.Sprintf("k%d-%t", k, isDone), members, 8)
			killed := make(chan *replica, 1)
			go func() { killed <- s.killAtBind(k, isDone) }()
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
	return newJob(s.ns, &survive.Gang{Name: name, Dialect: oracle.Volcano, Minimum: members}, members, gpus, time.Second)
}
