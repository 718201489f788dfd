package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/chaos/proxy"
)

// roundsPerMenu is how many rounds in a row, from one whose seed it divides, have all faults among them.
const roundsPerMenu = 3

// faultsOf draws what goes wrong in the round of a seed.
func faultsOf(seed uint64) (faults []fault) {
	random := rand.New(rand.NewPCG(seed/roundsPerMenu, 2))
	for i, at := range random.Perm(len(menu)) {
		if uint64(i%roundsPerMenu) == seed%roundsPerMenu {
			faults = append(faults, menu[at])
		}
	}
	return faults
}

// TestChaos plays rounds: SEED=n begins with that one, ROUNDS=n plays so many. Without them it plays the first few, which have all
// faults among them.
func TestChaos(t *testing.T) {
	seed, rounds := number(t, "SEED", 0), number(t, "ROUNDS", roundsPerMenu)
	done := map[proxy.Fault]int{}
	for round := range rounds {
		playRound(t, seed+round, done)
		if t.Failed() {
			return // what comes after would be played on what is broken
		}
	}
	if seed%roundsPerMenu == 0 && rounds >= roundsPerMenu {
		requireAll(t, done)
	}
}

func number(t *testing.T, variable string, unset uint64) uint64 {
	if os.Getenv(variable) == "" {
		return unset
	}
	n, err := strconv.ParseUint(os.Getenv(variable), 10, 64)
	require.NoError(t, err, variable)
	return n
}

// requireAll makes sure that whatever a proxy can do was done.
func requireAll(t *testing.T, done map[proxy.Fault]int) {
	for _, f := range proxy.Faults {
		require.Positive(t, done[f], "%q never happened", f)
	}
	t.Logf("the proxies did: %s", proxy.Describe(done))
}

// playRound plays faults one after the other while jobs come and go.
func playRound(t *testing.T, seed uint64, done map[proxy.Fault]int) {
	t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
		t.Cleanup(func() {
			if t.Failed() {
				how := "go test ./test/chaos -run TestChaos -count 1 -v"
				if *isLong {
					how += " -long -timeout 1h"
				}
				t.Logf("to play it again: SEED=%d ROUNDS=1 %s", seed, how)
			}
		})
		s := newStage(t, fmt.Sprint("chaos-", seed), seed, 2)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var owner sync.WaitGroup
		owner.Go(func() { s.keepBusy(ctx, rand.New(rand.NewPCG(seed, 0))) })
		s.awaitBind()
		for _, f := range faultsOf(seed) {
			t.Logf("%s: %s", s.elapsed(), f.name)
			f.play(s)
		}
		t.Logf("%s: quiet", s.elapsed())
		cancel()
		owner.Wait()
		s.settle()
		for f, n := range s.counts() {
			done[f] += n
		}
	})
}
