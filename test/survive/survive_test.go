package survive

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

const (
	// gangsPerSeed is how many gangs come one after the other.
	gangsPerSeed = 15
	// departures is how many of a hundred gangs that run go before the next one comes.
	departures = 12
	// patience is how long a gang may take until it runs or says why not.
	patience = 30 * time.Second
	// secondThoughts is how long a gang that was refused may take to find the place that there is: the first try may have
	// seen an older cluster, and what a plan's failure taught is used in the next one.
	secondThoughts = 5 * time.Second
)

// fixedSeeds are played where nothing else is asked for: SEED=n plays that one, with ROUNDS=n so many from there on. In 104 a
// running pod will have some members of a gang beside it, and others of the same spec not.
var fixedSeeds = []uint64{1, 2, 104}

// config tells the scheduler of the levels; power feeds are none of them.
const config = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: phalanx
  pluginConfig:
  - name: Gang
    args:
      topology:
        levels:
        - {name: zone, nodeLabel: ` + ZoneKey + `}
        - {name: block, nodeLabel: ` + BlockKey + `}
        - {name: rack, nodeLabel: ` + RackKey + `}
`

// tally is what became of all gangs.
type tally struct{ ran, dependent, refused int }

func TestPlansSurviveTheFiltersOfKubernetes(t *testing.T) {
	c, err := cluster.Start(t.Context(), cluster.Options{Options: controlplane.Options{NativePodGroups: true}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Stop() })
	s, err := c.StartScheduler(t.Context(), cluster.SchedulerOptions{Config: config})
	require.NoError(t, err)
	var sum tally
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { play(t, c, seed, &sum) })
	}
	t.Logf("%d gangs ran, of %d of them the members depend on each other; %d were refused and fit nowhere; filters turned %s plans away",
		sum.ran, sum.dependent, sum.refused, plansRejected(t, c, s))
	require.Empty(t, complaints(t, s))
}

// seeds are those that the environment asks for.
func seeds(t *testing.T) []uint64 {
	if os.Getenv("SEED") == "" && os.Getenv("ROUNDS") == "" {
		return fixedSeeds
	}
	number := func(variable string) uint64 {
		if os.Getenv(variable) == "" {
			return 1
		}
		n, err := strconv.ParseUint(os.Getenv(variable), 10, 64)
		require.NoError(t, err, variable)
		return n
	}
	var out []uint64
	for seed := number("SEED"); uint64(len(out)) < number("ROUNDS"); seed++ {
		out = append(out, seed)
	}
	return out
}

// play lets the gangs of one seed come one after the other, and some that run go.
func play(t *testing.T, c *cluster.Cluster, seed uint64, sum *tally) {
	stage := &stage{t: t, Cluster: c, ns: fmt.Sprint("seed-", seed)}
	world := Draw(seed, stage.ns, gangsPerSeed)
	stage.set(world)
	defer stage.clear()
	d := dice{rand.New(rand.NewPCG(seed, 1))}
	var running []*Gang
	for _, g := range world.Gangs {
		if stage.try(g, sum) {
			running = append(running, g)
		}
		for _, violation := range stage.facts().Violations(running) {
			t.Errorf("after %s: %s", g, violation)
		}
		if t.Failed() {
			return // what comes after would say the same again
		}
		running = stage.depart(d, running)
	}
}

// depart lets some of the gangs that run go, and returns the others.
func (s *stage) depart(d dice, running []*Gang) []*Gang {
	var stay []*Gang
	for _, g := range running {
		if d.is(departures) {
			s.withdraw(g, s.members(g))
		} else {
			stay = append(stay, g)
		}
	}
	return stay
}

// try submits a gang and waits what becomes of it. One that waits is withdrawn, after it was made sure that it fits nowhere;
// so are members that wait though their gang runs.
func (s *stage) try(g *Gang, sum *tally) (runs bool) {
	s.provide(g)
	before := s.facts()
	s.submit(g)
	isSettled := s.await(g, patience, func(bound, waiting int) bool {
		return bound+waiting == len(g.Pods) && (bound == 0 || bound >= g.Minimum)
	})
	if !isSettled {
		s.t.Errorf("%s neither runs nor says why not", g)
	}
	isBound := func(bound, _ int) bool { return bound >= g.Minimum }
	switch {
	case s.await(g, 0, isBound):
		runs = true
	case !before.Fits(g):
		sum.refused++
	case s.await(g, secondThoughts, isBound):
		runs = true
	default:
		s.miss(g)
	}
	if runs {
		sum.ran++
		if !g.IsIndependent() {
			sum.dependent++
		}
	}
	var left []v1.Pod
	for _, pod := range s.members(g) {
		if pod.Spec.NodeName == "" || !runs {
			left = append(left, pod)
		}
	}
	s.withdraw(g, left)
	return runs
}

// miss is for a gang that waits though there is a place for it.
func (s *stage) miss(g *Gang) { s.t.Errorf("%s fits and waits: %s", g, sentence(&s.members(g)[0])) }

// errorLine is what klog writes at level error.
var errorLine = regexp.MustCompile(`^E\d{4} `)

// known are errors that are none of the scheduler's.
var known = []string{
	"The manifest file is empty",                                       // which there is none of
	"GenericWorkload is enabled, but GangScheduling plugin is not set", // ours does what that one does
	"requestheader-client-ca-file",                                     // this API server is aggregated with no other
	`"Error updating pod" err="pods `,                                  // one that was withdrawn in the middle of a try
}

// complaints are the lines of the scheduler's log that must not be there.
func complaints(t *testing.T, s *cluster.Scheduler) []string {
	t.Helper()
	require.NoError(t, s.Failure())
	log, err := os.Open(s.LogPath())
	require.NoError(t, err)
	defer log.Close()
	var out []string
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		isKnown := slices.ContainsFunc(known, func(words string) bool { return strings.Contains(line, words) })
		if !isKnown && (errorLine.MatchString(line) || strings.Contains(line, "panic") || strings.Contains(line, "forbidden")) {
			out = append(out, line)
		}
	}
	require.NoError(t, lines.Err())
	return out
}
