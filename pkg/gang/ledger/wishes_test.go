package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
)

const (
	requiredKey = "phalanx.dev/required-topology"
	kaisKey     = "kai.scheduler/topology-required-placement"
)

func annotation(key, value string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Annotations[key] = value }
}

func requires(level string) func(*v1.Pod) { return annotation(requiredKey, level) }

// demanded draws what a gang demands of the fabric: "rack", or "ps: rack, worker: block" for sub-groups.
func demanded(t require.TestingT, b *book) string {
	demand, ok := b.Demand(train())
	require.True(t, ok)
	parts := []string{}
	if !demand.Wish.IsZero() {
		parts = append(parts, demand.Wish.Required.Name)
	}
	for _, s := range demand.SubGroups {
		parts = append(parts, s.Name+": "+s.Wish.Required.Name)
	}
	return strings.Join(parts, ", ")
}

func TestMembersStateTheWishOfTheirGang(t *testing.T) {
	for name, c := range map[string]struct {
		members []*v1.Pod
		want    string
	}{
		"none states one": {[]*v1.Pod{member("a"), member("b")}, ""},
		"all state the same": {[]*v1.Pod{
			member("a", requires("rack")), member("b", requires("rack"))}, "rack"},
		"all state the same in different words": {[]*v1.Pod{
			member("a", requires("rack")), member("b", annotation(kaisKey, "rack"))}, "rack"},
		"all roles state the same": {[]*v1.Pod{
			member("a", role("ps"), requires("rack")), member("b", role("worker"), requires("rack"))}, "rack"},
		"each role states its own": {[]*v1.Pod{
			member("a", role("worker"), requires("block")), member("b", role("ps"), requires("rack"))}, "ps: rack, worker: block"},
		"one role states none": {[]*v1.Pod{
			member("a", role("launcher")), member("b", role("worker"), requires("rack"))}, "worker: rack"},
		"one of a role states none": {[]*v1.Pod{
			member("a"), member("b", requires("rack"))}, ": rack"},
		"members that are over are not asked": {[]*v1.Pod{
			member("a", requires("rack")), member("b", requires("block"), on("n"), phase(v1.PodSucceeded))}, "rack"},
		"nor are those that are being deleted": {[]*v1.Pod{
			member("a", requires("rack")), member("c", requires("rack")), member("b", requires("block"), terminating)}, "rack"},
		"but those with a scheduling gate are": {[]*v1.Pod{
			member("a", role("x"), requires("rack")), member("c", role("x"), requires("rack")), member("b", role("y"), requires("block"), withGate)}, "x: rack, y: block"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.group("train", minMember(2))
			b.set(c.members...)
			free(t, b)
			require.Equal(t, c.want, demanded(t, b))
		})
	}
}

func TestThePodGroupsWordGoesBeforeThatOfItsMembers(t *testing.T) {
	b := newBook()
	b.set(member("a", requires("rack")), member("b", requires("block")))
	b.group("train", map[string]any{"minMember": int64(2), "networkTopology": map[string]any{"highestTierAllowed": int64(2)}})
	free(t, b)
	demand, _ := b.Demand(train())
	require.Equal(t, 2, demand.Wish.Required.Tier)
	require.Empty(t, demand.SubGroups)

	b.group("train", map[string]any{"minMember": int64(2), "subGroupPolicy": []any{map[string]any{"name": "part"}}})
	free(t, b)
	demand, _ = b.Demand(train())
	require.Zero(t, demand.Wish)
	require.Equal(t, "part", demand.SubGroups[0].Name)

	b.group("train", minMember(2))
	require.Contains(t, blocked(t, b), "GangInvalid")
}

func TestMembersOfOneRoleThatContradictEachOtherMakeNoGang(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	b.set(member("a", role("worker"), requires("rack")), member("b", role("worker"), requires("rack")))
	free(t, b)
	b.set(member("c", role("worker"), requires("block")))
	waits(t, b, `GangInvalid: its members of role "worker" disagree on the required level: `+
		`annotation phalanx.dev/required-topology "block" against annotation phalanx.dev/required-topology "rack"`)
	b.remove(member("c"))
	free(t, b)
	require.Equal(t, "rack", demanded(t, b))
	b.set(member("b", role("worker"), annotation("phalanx.dev/preferred-topology", "host")))
	waits(t, b, `GangInvalid: its members of role "worker" disagree on the required level: none against annotation phalanx.dev/required-topology "rack"`)
	b.set(member("b", role("ps"), annotation("phalanx.dev/preferred-topology", "host")))
	free(t, b)
}

func TestMembersWithoutRolesDisagreeToo(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	b.set(member("a", requires("rack")), member("b", requires("block")))
	waits(t, b, `GangInvalid: its members disagree on the required level: `+
		`annotation phalanx.dev/required-topology "block" against annotation phalanx.dev/required-topology "rack"`)
	b.set(member("b", requires("block"), on("n"), phase(v1.PodFailed)), member("c", requires("rack")))
	free(t, b)
}

func TestAWrongValueOfAMemberMakesNoGang(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	b.set(member("a"), member("c", requires("")), member("b", annotation("phalanx.dev/slice-size", "abc")))
	waits(t, b, `GangInvalid: pod ns/b: annotation phalanx.dev/slice-size is "abc": it must be a whole number of at most 2147483647`)
	b.set(member("b"))
	waits(t, b, `GangInvalid: pod ns/c: annotation phalanx.dev/required-topology is "": it must be a level's name or a node label key`)
	b.group("train", map[string]any{"minMember": int64(2), "networkTopology": map[string]any{"highestTierAllowed": int64(2)}})
	require.Contains(t, blocked(t, b), "GangInvalid", "whoever wrote it meant something by it")
	b.remove(member("c"))
	free(t, b)
}

func TestAMessageIsShortHoweverLongARoleIs(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	long := role(strings.Repeat("r", 10_000))
	b.set(member("a", long, requires("rack")), member("b", long, requires("block")))
	require.Less(t, len(blocked(t, b)), 500)
}

func TestAMemberKnowsItsSubGroup(t *testing.T) {
	b := newBook()
	b.group("train", minMember(2))
	launcher, worker := member("launcher"), member("worker", requires("rack"))
	b.set(launcher.DeepCopy(), worker.DeepCopy())
	demand, _ := b.Demand(train())
	_, _, ok := gang.SubGroupOf(demand.SubGroups, launcher, b.Role(train(), launcher))
	require.False(t, ok)
	rule, _, ok := gang.SubGroupOf(demand.SubGroups, worker, b.Role(train(), worker))
	require.True(t, ok)
	require.Equal(t, "rack", demand.SubGroups[rule].Wish.Required.Name)
}

// TestWishesAreTheSameAsReadAnew compares a ledger that went through a random history with one that was told the end of it.
func TestWishesAreTheSameAsReadAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, pods := newBook(), map[string]*v1.Pod{}
		b.group("train", minMember(1))
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			p := randomWisher(t)
			if rapid.IntRange(0, 3).Draw(t, "goes") == 0 {
				b.remove(p)
				delete(pods, p.Name)
				continue
			}
			b.set(p.DeepCopy())
			pods[p.Name] = p
		}
		anew := newBook()
		anew.group("train", minMember(1))
		for _, p := range pods {
			anew.set(p.DeepCopy())
		}
		require.Equal(t, anew.Blocked(train()), b.Blocked(train()))
		want, _ := anew.Demand(train())
		got, _ := b.Demand(train())
		require.Equal(t, want.Wish, got.Wish)
		require.Equal(t, want.SubGroups, got.SubGroups)
	})
}

func randomWisher(t *rapid.T) *v1.Pod {
	p := member(fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "pod")), role(rapid.SampledFrom([]string{"", "ps", "worker"}).Draw(t, "role")))
	key := rapid.SampledFrom([]string{requiredKey, kaisKey, "x"}).Draw(t, "key")
	p.Annotations[key] = rapid.SampledFrom([]string{"rack", "rack", "rack", "block", ""}).Draw(t, "level")
	if rapid.Bool().Draw(t, "over") {
		p.Spec.NodeName = "n"
		p.Status.Phase = rapid.SampledFrom([]v1.PodPhase{v1.PodRunning, v1.PodSucceeded, v1.PodFailed}).Draw(t, "phase")
	}
	return p
}
