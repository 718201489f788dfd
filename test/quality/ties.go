package quality

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// Fewest puts each gang below the fewest spines that hold it, and there below the fewest leaves, and draws lots among all spines
// and leaves that come to the same. It is no rule that anybody would run: it tells what the choice among ties is worth.
type Fewest struct{ Seed uint64 }

func (f Fewest) Name() string { return fmt.Sprint("fewest, lot ", f.Seed) }

func (f Fewest) Place(c *Cluster, g Gang) ([]int, bool) {
	lots := rand.New(rand.NewPCG(f.Seed, uint64(g.ID)))
	var best []Domain
	fewestSpines, fewestLeaves, ties := len(c.Spines)+1, 0, 0
	for set := 1; set < 1<<len(c.Spines); set++ {
		var spines []Domain
		for i, spine := range c.Spines {
			if set>>i&1 == 1 {
				spines = append(spines, spine)
			}
		}
		leaves := fewestLeavesOf(c, g, below(spines, c.Leaves), lots)
		better := cmp.Or(cmp.Compare(len(spines), fewestSpines), cmp.Compare(len(leaves), fewestLeaves))
		switch {
		case len(leaves) == 0 || better > 0:
			continue
		case better < 0:
			fewestSpines, fewestLeaves, ties, best = len(spines), len(leaves), 1, leaves
		default:
			if ties++; lots.IntN(ties) == 0 {
				best = leaves
			}
		}
	}
	var hosts []int
	for _, leaf := range best {
		for h := leaf.First; h < leaf.End; h++ {
			for free := c.Free[h]; free >= g.GPUsPerMember && len(hosts) < g.Members; free -= g.GPUsPerMember {
				hosts = append(hosts, h)
			}
		}
	}
	return hosts, len(hosts) == g.Members
}

// fewestLeavesOf returns leaves that hold the gang, as few as possible: which ones the lots decide. None if all do not.
func fewestLeavesOf(c *Cluster, g Gang, leaves []Domain, lots *rand.Rand) []Domain {
	type sized struct {
		Domain
		slots int
	}
	sorted := make([]sized, 0, len(leaves))
	for _, leaf := range leaves {
		if slots := c.Slots(leaf, g.GPUsPerMember); slots > 0 {
			sorted = append(sorted, sized{leaf, slots})
		}
	}
	slices.SortStableFunc(sorted, func(a, b sized) int { return cmp.Compare(b.slots, a.slots) })
	count, sum := 0, 0
	for count < len(sorted) && sum < g.Members {
		sum += sorted[count].slots
		count++
	}
	if sum < g.Members {
		return nil
	}
	chosen, spare := sorted[:count:count], sum-g.Members
	// Each leaf may be exchanged for a smaller one that nobody has, as long as the sum holds the gang.
	for _, i := range lots.Perm(count) {
		var others []sized
		for _, other := range sorted[count:] {
			if lost := chosen[i].slots - other.slots; lost <= spare && !slices.Contains(chosen, other) {
				others = append(others, other)
			}
		}
		if n := lots.IntN(len(others) + 1); n < len(others) {
			spare -= chosen[i].slots - others[n].slots
			chosen = slices.Clone(chosen)
			chosen[i] = others[n]
		}
	}
	out := make([]Domain, len(chosen))
	for i, s := range chosen {
		out[i] = s.Domain
	}
	return out
}

// Ties replays a mix with as many lots as are asked for, and says what the best of them comes to beside the policies.
func Ties(w io.Writer, hosts []trace.Host, mixes []Mix, loads []float64, copies, lots int) error {
	for _, mix := range mixes {
		for _, load := range loads {
			gangs := Gangs(mix.Jobs, len(hosts)*trace.GPUsPerHost, load, copies, 0)
			spines := func(p Policy) (Score, error) {
				run, err := Replay(hosts, gangs, p)
				if err != nil {
					return Score{}, fmt.Errorf("%s at load %.1f: %w", mix.Name, load, err)
				}
				return run.Score(), nil
			}
			fewest, most, sum := 0.0, 0.0, 0.0
			for lot := range lots {
				s, err := spines(Fewest{Seed: uint64(lot)})
				if err != nil {
					return err
				}
				if s.InFewest != 1 {
					return fmt.Errorf("%s at load %.1f: lot %d leaves gangs out of the fewest domains", mix.Name, load, lot)
				}
				if lot == 0 || s.Spines < fewest {
					fewest = s.Spines
				}
				most, sum = max(most, s.Spines), sum+s.Spines
			}
			kueue, err := spines(Kueue{})
			if err != nil {
				return err
			}
			own, err := spines(&Phalanx{})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(w, "%s, load %.1f: spines per gang, of %d ways to break ties the best %.3f, the mean %.3f, the worst %.3f; Phalanx %.3f; Kueue %.3f, with %.1f %% in the fewest\n",
				mix.Name, load, lots, fewest, sum/float64(lots), most, own.Spines, kueue.Spines, 100*kueue.InFewest)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
