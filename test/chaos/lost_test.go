package chaos

import (
	"testing"
	"time"

	"github.com/phalanx-scheduler/phalanx/test/chaos/proxy"
	"github.com/phalanx-scheduler/phalanx/test/survive"
)

// TestALostReplyPromisesNoGPUTwice loses the reply to a bind, and has the watch tell of it late, while another pod waits for the same
// node: the only one.
func TestALostReplyPromisesNoGPUTwice(t *testing.T) {
	s := newStage(t, "lost-reply", 0, 1)
	for _, node := range nodes(s.ns)[1:] {
		s.deleteNode(node.Name)
	}
	r := s.replicas[0]
	lost := make(chan struct{})
	r.proxy.OnBind(func(isAnswered bool) bool {
		select {
		case <-lost:
			return true
		default:
		}
		if isAnswered {
			close(lost)
			return false
		}
		r.proxy.Play(proxy.Plan{Shares: map[proxy.Fault]float64{proxy.Late: 1}, Delay: time.Minute})
		return true
	})
	for _, name := range []string{"a", "b"} {
		s.submit(newJob(s.ns, &survive.Gang{Name: name}, 1, 8, time.Second))
	}
	select {
	case <-lost:
	case <-time.After(patience):
		t.Fatal("nobody binds anything")
	}
	s.pause(3 * time.Second) // in which the place is held, or given to the next one
	r.proxy.Play(proxy.Plan{})
	s.settle()
}
