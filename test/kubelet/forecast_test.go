package kubelet

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
)

// seed is that in the environment variable SEED, or another each time. It decides which pods come and go; what the kubelet draws
// by lot it does not.
func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("SEED")
	if text == "" {
		text = strconv.FormatInt(time.Now().UnixNano()%1e6, 10)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "SEED")
	t.Logf("SEED=%d brings the same pods again", n)
	return n
}

// steps is how many pods come or go in a random sequence.
const steps = 16

func TestPodsGetTheLinksThatWereForetold(t *testing.T) {
	t.Parallel()
	number := seed(t)
	for i, system := range []string{"dgx1-v100", "a100-pcie", "h100"} {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			s := sequence{node: newNode(t, system), Rand: rand.New(rand.NewPCG(number, uint64(i)))}
			forecasts, ok := links.Of(&s.report)
			require.True(t, ok)
			s.forecasts = &forecasts
			for step := range steps {
				s.step(fmt.Sprintf("pod-%d", step))
			}
			t.Logf("%d pods got several GPUs, for %d chance might have decided; %d waited", s.placed, s.open, s.waited)
		})
	}
}

// sequence is a node where pods come and go.
type sequence struct {
	*node
	*rand.Rand
	forecasts *links.Links
	running   []string

	placed, open, waited int
}

// step lets a pod go, or another one come.
func (s *sequence) step(name string) {
	free := s.free()
	if len(free) == 0 || len(s.running) > 0 && s.IntN(3) == 0 {
		s.leave(s.running[s.IntN(len(s.running))])
		return
	}
	count := min(len(free), 1+s.IntN(4))
	foretold, ok := s.forecasts.Forecast(s.set(free), count)
	require.True(s.t, ok)
	require.False(s.t, foretold.MayFail)
	if better := foretold.Least.Kind + 1; better <= links.NVLink {
		s.refuse(name+"-better", count, better)
	}
	if foretold.Least.Kind == links.Apart {
		s.pod(name, count)
	} else {
		s.pod(name, count, requiring(min(foretold.Least.Kind, links.NVLink).String()))
	}
	s.running = append(s.running, name)
	s.compare(s.waitRunning(name, count), foretold)
}

// refuse wants the scheduler to refuse links that are better than the least that a pod might get.
func (s *sequence) refuse(name string, count int, better links.Kind) {
	s.pod(name, count, requiring(better.String()))
	s.waitSaying(name, badlyLinked)
	s.remove(name)
	s.waited++
}

// compare holds what a pod got against what was foretold. What it is worth, the policy says, which knows nothing of forecasts.
func (s *sequence) compare(got []string, foretold links.Forecast) {
	if len(got) < 2 {
		return
	}
	s.placed++
	if foretold.Least != foretold.Most {
		s.open++
	}
	link, score := s.plugin.policy.Link(got), s.plugin.policy.Score(got)
	kinds := []string{links.Apart.String(), links.SameNUMA.String(), links.SameSwitch.String(), links.NVLink.String()}
	quality := links.Quality{Kind: links.Kind(slices.Index(kinds, link)), Score: score}
	require.True(s.t, quality.Compare(foretold.Least) >= 0 && quality.Compare(foretold.Most) <= 0,
		"%v are linked by %s and score %d, foretold was %v", got, link, score, foretold)
}

func (s *sequence) set(uuids []string) (set links.Set) {
	for i, uuid := range s.uuids() {
		if slices.Contains(uuids, uuid) {
			set |= 1 << i
		}
	}
	return set
}

// leave has a pod succeed or be deleted.
func (s *sequence) leave(name string) {
	s.running = slices.DeleteFunc(s.running, func(other string) bool { return other == name })
	if s.IntN(2) == 0 {
		s.finish(name, "main")
		s.waitPod(name, "that has succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
	}
	s.remove(name)
}
