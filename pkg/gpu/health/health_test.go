package health_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
)

// rows is the table of classes as it was decided: XIDs that are in none are of class other.
const rows = `
application 8 11 13 25 31 32 39-41 43 45 60 68-72 75-77 80 82-86 88 89 96-105 126-135 139
ignore      37 38 44 66 67 92 93 106 107 121 137 141 152 153 157 160 161
degraded    63 94
reset       46 48 62 64 74 95 110 119 120 136 140 143 155 156 158
node        54 78 79 142 151
disputed    109
reread      154
`

// eachRow calls for each XID of the table.
func eachRow(t *testing.T, do func(class health.Class, xid int)) {
	for row := range strings.SplitSeq(strings.TrimSpace(rows), "\n") {
		fields := strings.Fields(row)
		for _, field := range fields[1:] {
			var first, last int
			if n, _ := fmt.Sscanf(field, "%d-%d", &first, &last); n == 1 {
				last = first
			}
			require.Positive(t, first)
			for xid := first; xid <= last; xid++ {
				do(health.Class(fields[0]), xid)
			}
		}
	}
}

// What one XID alone does, and what it takes until the GPU is well again.
func TestEveryXID(t *testing.T) {
	type life struct {
		then, afterAReset, afterAReload gpu.State
		wanted                          gpu.State // where the driver wants a reset
	}
	lives := map[health.Class]life{
		health.Application: {wanted: gpu.OK},
		health.Ignore:      {wanted: gpu.OK},
		health.Degrading:   {then: gpu.Degraded, wanted: gpu.Degraded},
		health.Reset:       {then: gpu.Drain, wanted: gpu.Drain},
		health.Node:        {then: gpu.Lost, afterAReset: gpu.Lost, wanted: gpu.Lost},
		health.Disputed:    {wanted: gpu.Drain},
		health.Reread:      {wanted: gpu.Drain},
	}
	config := health.Default()
	count := 0
	check := func(class health.Class, xid int) {
		t.Run(fmt.Sprintf("XID %d is of class %s", xid, class), func(t *testing.T) {
			count++
			assert.Equal(t, class, config.Class(xid))
			want := lives[class]

			m, now := health.New(&config), epoch
			v := m.Observe(now, health.Observation{XIDs: []int{xid}})
			assert.Equal(t, want.then, v.State)
			assert.False(t, v.IsUnsure, "an XID needs no second read")
			if want.then != gpu.OK {
				assert.Equal(t, []string{fmt.Sprintf("XID %d", xid)}, v.Reasons)
			}
			now = now.Add(24 * time.Hour)
			quiet := m.Observe(now, health.Observation{}).State
			if class == health.Degrading {
				assert.Equal(t, gpu.OK, quiet)
			} else {
				assert.Equal(t, want.then, quiet, "that it is quiet is not enough")
			}
			now = now.Add(time.Minute)
			assert.Equal(t, want.afterAReset, m.Observe(now, health.Observation{Renewed: health.WasReset}).State)
			assert.Equal(t, want.afterAReload, m.Observe(now, health.Observation{Renewed: health.WasReloaded}).State)

			m = health.New(&config)
			v = m.Observe(epoch, health.Observation{XIDs: []int{xid}, HasRecovery: true, Recovery: gpu.ResetGPU})
			assert.Equal(t, want.wanted, v.State, "where the driver wants a reset")
		})
	}
	eachRow(t, check)
	assert.Len(t, config.XIDs, count, "the table has no others")
	check(health.Degrading, 147)
	check(health.Degrading, 999)
}

var epoch = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)

// step is a read, so long after the one before, and what is known then.
type step struct {
	after time.Duration
	health.Observation
	want string
}

func draw(v health.Verdict) string {
	out := v.State.String()
	if len(v.Reasons) > 0 {
		out += ": " + strings.Join(v.Reasons, ", ")
	}
	if v.IsUnsure {
		out += "; unsure"
	}
	return out
}

const second, minute = time.Second, time.Minute

func TestStates(t *testing.T) {
	type o = health.Observation
	clean := o{
		Gone: health.No, HasRecovery: true, RemapFailed: health.No, RemapPending: health.No, HasMemoryErrors: health.No, FabricPending: health.No,
		FabricFailed: health.No, LinksDown: health.No, Prohibited: health.No, Slowed: health.No,
	}
	with := func(change func(o *o)) o { out := clean; change(&out); return out }
	gone := o{Gone: health.Yes}
	heard := func(xids ...int) o { return with(func(o *o) { o.XIDs = xids }) }
	renewed := func(r health.Renewal) o { return with(func(o *o) { o.Renewed = r }) }
	wants := func(r gpu.Recovery) o { return with(func(o *o) { o.Recovery = r }) }
	failed := with(func(o *o) { o.RemapFailed = health.Yes })

	for name, steps := range map[string][]step{
		"nothing is wrong":              {{0, clean, "ok"}, {minute, clean, "ok"}},
		"a GPU that says nothing is ok": {{0, o{}, "ok"}, {minute, o{}, "ok"}},
		"a polled finding is in force once the next read confirms it": {
			{0, failed, "ok; unsure"}, {second, failed, "drain: memory row remapping failed"},
		},
		"and forgotten if the next read does not": {
			{0, failed, "ok; unsure"}, {second, clean, "ok"}, {second, failed, "ok; unsure"},
		},
		"a read that fails confirms nothing, and forgets nothing": {
			{0, failed, "ok; unsure"}, {second, o{}, "ok; unsure"}, {second, failed, "drain: memory row remapping failed"},
		},
		"better only after a clean period": {
			{0, failed, "ok; unsure"}, {second, failed, "drain: memory row remapping failed"},
			{minute, clean, "drain: memory row remapping failed"}, {5*minute - second, clean, "drain: memory row remapping failed"}, {second, clean, "ok"},
		},
		"a clean period that is broken begins anew": {
			{0, failed, "ok; unsure"}, {second, failed, "drain: memory row remapping failed"}, {minute, clean, "drain: memory row remapping failed"},
			{4 * minute, failed, "drain: memory row remapping failed"}, {minute, clean, "drain: memory row remapping failed"},
			{4 * minute, clean, "drain: memory row remapping failed"}, {minute, clean, "ok"},
		},
		"reads that fail do not make a clean period": {
			{0, failed, "ok; unsure"}, {second, failed, "drain: memory row remapping failed"}, {time.Hour, o{}, "drain: memory row remapping failed"},
			{minute, clean, "drain: memory row remapping failed"}, {5 * minute, o{}, "ok"},
		},
		"an XID that wants a reset drains until there was one": {
			{0, heard(48), "drain: XID 48"}, {24 * time.Hour, clean, "drain: XID 48"}, {minute, renewed(health.WasReset), "ok"},
		},
		"a reset alone is not enough either": {
			{0, heard(48), "drain: XID 48"}, {minute, renewed(health.WasReset), "drain: XID 48"}, {4 * minute, clean, "ok"},
		},
		"a reset before the XID does not count": {
			{0, heard(48), "drain: XID 48"}, {minute, renewed(health.WasReset), "drain: XID 48"}, {minute, heard(48), "drain: XID 48"},
			{time.Hour, clean, "drain: XID 48"}, {minute, renewed(health.WasRebooted), "ok"},
		},
		"of a reset and an XID since the last read, the XID came last": {
			{0, with(func(o *o) { o.XIDs, o.Renewed = []int{48}, health.WasReset }), "drain: XID 48"}, {time.Hour, clean, "drain: XID 48"},
		},
		"a GPU that is lost needs more than a reset": {
			{0, heard(79), "lost: XID 79"}, {10 * minute, renewed(health.WasReset), "lost: XID 79"}, {minute, renewed(health.WasRebooted), "ok"},
		},
		"worse comes on top, and goes before": {
			{0, heard(63), "degraded: XID 63"}, {minute, heard(48), "drain: XID 48, XID 63"}, {minute, heard(79), "lost: XID 79, XID 48, XID 63"},
			{minute, heard(63), "lost: XID 79, XID 48, XID 63"}, {3 * minute, renewed(health.WasReloaded), "lost: XID 79, XID 63"},
			{minute, clean, "degraded: changes too often, XID 63"}, {minute, clean, "degraded: changes too often"}, {59 * minute, clean, "ok"},
		},
		"what an application did is not the GPU's fault": {{0, heard(13, 31, 43, 45, 68), "ok"}},
		"a GPU that does not answer is lost": {
			{0, clean, "ok"}, {minute, gone, "ok; unsure"}, {second, gone, "lost: does not answer"}, {minute, clean, "lost: does not answer"},
			{5 * minute, clean, "ok"},
		},
		"one that does not answer keeps what it had": {
			{0, heard(48), "drain: XID 48"}, {minute, gone, "drain: XID 48; unsure"}, {second, gone, "lost: does not answer, XID 48"},
			{minute, renewed(health.WasReset), "lost: does not answer, XID 48"}, {5 * minute, clean, "ok"},
		},
		"the driver wants a reset, and gets it": {
			{0, wants(gpu.ResetGPU), "ok; unsure"}, {second, wants(gpu.ResetGPU), "drain: driver wants a GPU reset"},
			{minute, clean, "drain: driver wants a GPU reset"}, {5 * minute, clean, "ok"},
		},
		"the driver wants a reboot": {
			{0, wants(gpu.RebootNode), "ok; unsure"}, {second, wants(gpu.RebootNode), "lost: driver wants a node reboot"},
		},
		"the driver wants a drain": {
			{0, wants(gpu.DrainPeers), "ok; unsure"}, {second, wants(gpu.DrainPeers), "drain: driver wants a drain of its peers"},
		},
		"the driver wants both": {
			{0, wants(gpu.DrainAndReset), "ok; unsure"}, {second, wants(gpu.DrainAndReset), "drain: driver wants a drain and a reset"},
		},
		"the driver wants what nobody knows yet": {{0, wants(9), "ok; unsure"}, {second, wants(9), "drain: driver wants action 9"}},
		"the driver wants more than before": {
			{0, wants(gpu.ResetGPU), "ok; unsure"}, {second, wants(gpu.ResetGPU), "drain: driver wants a GPU reset"},
			{minute, wants(gpu.RebootNode), "drain: driver wants a GPU reset; unsure"},
			{second, wants(gpu.RebootNode), "lost: driver wants a node reboot, driver wants a GPU reset"},
			{5 * minute, wants(gpu.RebootNode), "lost: driver wants a node reboot"},
		},
		"an XID says that the recovery action has changed": {
			{0, with(func(o *o) { o.XIDs, o.Recovery = []int{154}, gpu.ResetGPU }), "drain: driver wants a GPU reset"},
		},
		"to nothing, and that is waited for": {
			{0, with(func(o *o) { o.XIDs, o.Recovery = []int{154}, gpu.ResetGPU }), "drain: driver wants a GPU reset"},
			{minute, heard(154), "drain: driver wants a GPU reset"}, {5 * minute, clean, "ok"},
		},
		"a disputed XID with a recovery action": {
			{0, with(func(o *o) { o.XIDs, o.Recovery = []int{109}, gpu.ResetGPU }), "drain: driver wants a GPU reset, XID 109"},
		},
		"a disputed XID without one":               {{0, heard(109), "ok"}},
		"a disputed XID where the driver has none": {{0, o{XIDs: []int{109}}, "ok"}},
		"an XID that nobody knows":                 {{0, heard(147), "degraded: XID 147"}, {5 * minute, clean, "ok"}},
		"a driver that was reloaded and looks no more": {
			{0, wants(gpu.ResetGPU), "ok; unsure"}, {second, wants(gpu.ResetGPU), "drain: driver wants a GPU reset"},
			{minute, o{Renewed: health.WasReloaded}, "drain: driver wants a GPU reset"}, {5 * minute, o{}, "ok"},
		},
		"a driver that was reloaded and finds it again": {
			{0, failed, "ok; unsure"}, {second, failed, "drain: memory row remapping failed"},
			{minute, with(func(o *o) { o.RemapFailed, o.Renewed = health.Yes, health.WasReloaded }), "drain: memory row remapping failed"},
			{10 * minute, failed, "drain: memory row remapping failed"},
		},
		"a clock that runs backwards stands still": {
			{0, heard(63), "degraded: XID 63"}, {-time.Hour, clean, "degraded: XID 63"}, {time.Hour + 4*minute, clean, "degraded: XID 63"}, {minute, clean, "ok"},
		},
		"all that can be polled, the worst first, and no more than a report holds": {
			{0, everything(), "ok; unsure"},
			{second, everything(), "lost: driver wants a node reboot, compute mode is prohibited, memory row remapping failed, too many memory pages retired, " +
				"NVLinks are down, fabric failed, fabric is being set up, memory page retirement waits for a reset"},
		},
		"more than three changes within an hour": {
			{0, heard(63), "degraded: XID 63"}, {5 * minute, clean, "ok"}, {5 * minute, heard(63), "degraded: XID 63"},
			{5 * minute, clean, "degraded: changes too often"}, {30 * minute, clean, "degraded: changes too often"},
			{minute, heard(48), "drain: XID 48, changes too often"}, {20 * minute, renewed(health.WasReset), "degraded: changes too often"},
			{9*minute - second, clean, "degraded: changes too often"}, {second, clean, "ok"},
		},
		"three changes within an hour": {
			{0, heard(63), "degraded: XID 63"}, {5 * minute, clean, "ok"}, {5 * minute, heard(63), "degraded: XID 63"}, {50 * minute, clean, "ok"},
		},
		"a change for the worse is never held back": {
			{0, heard(63), "degraded: XID 63"}, {5 * minute, clean, "ok"}, {5 * minute, heard(63), "degraded: XID 63"},
			{minute, heard(79), "lost: XID 79, changes too often, XID 63"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := health.Default()
			m, now := health.New(&config), epoch
			for i, s := range steps {
				now = now.Add(s.after)
				require.Equal(t, s.want, draw(m.Observe(now, s.Observation)), "step %d", i)
			}
		})
	}
}

// everything is all that a GPU that answers can complain of.
func everything() health.Observation {
	return health.Observation{
		Gone: health.No, HasRecovery: true, Recovery: gpu.RebootNode, RemapFailed: health.Yes, RemapPending: health.Yes, RetirementPending: health.Yes,
		RetiredPages: 61, HasMemoryErrors: health.Yes, FabricPending: health.Yes, FabricFailed: health.Yes, LinksDown: health.Yes, Prohibited: health.Yes,
	}
}

func TestEachFlag(t *testing.T) {
	for name, test := range map[string]struct {
		health.Observation
		want string
	}{
		"rows that cannot be replaced":          {health.Observation{RemapFailed: health.Yes}, "drain: memory row remapping failed"},
		"rows that will be at the next reset":   {health.Observation{RemapPending: health.Yes}, "degraded: memory row remapping waits for a reset"},
		"pages that will be at the next reset":  {health.Observation{RetirementPending: health.Yes}, "degraded: memory page retirement waits for a reset"},
		"as many pages as may be":               {health.Observation{RetirementPending: health.No, RetiredPages: 60}, "ok"},
		"more pages than may be":                {health.Observation{RetirementPending: health.No, RetiredPages: 61}, "drain: too many memory pages retired"},
		"pages of a GPU that retires none":      {health.Observation{RetiredPages: 61}, "ok"},
		"memory errors":                         {health.Observation{HasMemoryErrors: health.Yes}, "degraded: uncorrectable memory errors"},
		"a fabric that is not ready":            {health.Observation{FabricPending: health.Yes}, "degraded: fabric is being set up"},
		"a fabric that will not be":             {health.Observation{FabricFailed: health.Yes}, "degraded: fabric failed"},
		"NVLinks that are down":                 {health.Observation{LinksDown: health.Yes}, "degraded: NVLinks are down"},
		"a compute mode that admits no program": {health.Observation{Prohibited: health.Yes}, "drain: compute mode is prohibited"},
	} {
		t.Run(name, func(t *testing.T) {
			config := health.Default()
			m := health.New(&config)
			m.Observe(epoch, test.Observation)
			assert.Equal(t, test.want, draw(m.Observe(epoch.Add(second), test.Observation)))
		})
	}
}

func TestWhatComesAndGoes(t *testing.T) {
	for name, test := range map[string]struct {
		seen string // a letter per read, 30 s apart: s slowed, n narrow, b both, . neither, ? unknown
		want string
	}{
		"slowed all the time":               {"ssssss", "degraded: slowed by heat or power"},
		"too short to tell":                 {"sssss", "ok"},
		"slowed half the time":              {"s.s.s.s.", "degraded: slowed by heat or power"},
		"slowed now and then":               {"s..s..s..s..", "ok"},
		"slowed long ago":                   {"ssssss................................", "ok"},
		"not slowed for less than a period": {"ssssssssss.....", "degraded: slowed by heat or power"},
		"too narrow all the time":           {"nnnnnn", "degraded: PCIe below its maximum"},
		"too narrow whenever it is used":    {"n?n?n?n?n?n?n?", "degraded: PCIe below its maximum"},
		"too narrow, and never used since":  {"nnnnnn????????????????????????", "degraded: PCIe below its maximum"},
		"seldom used":                       {"n?????????n?????????n", "ok"},
		"both":                              {"bbbbbb", "degraded: PCIe below its maximum, slowed by heat or power"},
	} {
		t.Run(name, func(t *testing.T) {
			config := health.Default()
			m, now, v := health.New(&config), epoch, health.Verdict{}
			for _, letter := range test.seen {
				claim := func(yes string) health.Claim {
					if letter == '?' {
						return health.Unknown
					}
					return health.Is(strings.ContainsRune(yes, letter))
				}
				o := health.Observation{Slowed: claim("sb"), Narrow: claim("nb")}
				if v = m.Observe(now, o); v.IsUnsure {
					v = m.Observe(now, o)
				}
				now = now.Add(30 * second)
			}
			assert.Equal(t, test.want, draw(v))
		})
	}
}

func TestDefaultIsValid(t *testing.T) {
	config := health.Default()
	assert.NoError(t, config.Validate())
}

func TestWhatAConfigurationMayNotSay(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *health.Config)
		want   string
	}{
		"a class that is none":           {func(c *health.Config) { c.XIDs[48] = "bad" }, `xids[48] is "bad": it must be one of ["application" "ignore" "degraded" "reset" "node" "disputed" "reread"]`},
		"an XID below 1":                 {func(c *health.Config) { c.XIDs[0] = health.Reset }, "xids is 0: it must be at least 1"},
		"no class for other XIDs":        {func(c *health.Config) { c.OtherXIDs = "" }, `otherXIDs is "": it must be one of`},
		"no clean period":                {func(c *health.Config) { c.CleanPeriod = 0 }, "cleanPeriod is 0s: it must be above 0 and at most 168h0m0s"},
		"a latch for ever":               {func(c *health.Config) { c.LatchPeriod = 1000 * time.Hour }, "latchPeriod is 1000h0m0s: it must be above 0 and at most 168h0m0s"},
		"no change at all":               {func(c *health.Config) { c.MaxChanges = 0 }, "maxChanges is 0: it must be from 1 to 100"},
		"more samples than are kept":     {func(c *health.Config) { c.MinSamples = 129 }, "minSamples is 129: it must be from 1 to 128"},
		"more than all the time":         {func(c *health.Config) { c.SlowPercent = 101 }, "slowPercent is 101: it must be from 1 to 100"},
		"no page that may be retired":    {func(c *health.Config) { c.MaxRetiredPages = 0 }, "maxRetiredPages is 0: it must be from 1 to 1000"},
		"several wrong values, all told": {func(c *health.Config) { c.SamplePeriod, c.ChangePeriod = -1, -1 }, "changePeriod is -1ns: it must be above 0 and at most 168h0m0s\nsamplePeriod is -1ns"},
	} {
		t.Run(name, func(t *testing.T) {
			config := health.Default()
			test.change(&config)
			assert.ErrorContains(t, config.Validate(), test.want)
		})
	}
}

// drawObservation makes any observation.
func drawObservation(t *rapid.T) health.Observation {
	claim := rapid.SampledFrom([]health.Claim{health.Unknown, health.No, health.No, health.Yes})
	return health.Observation{
		Gone: claim.Draw(t, "gone"), XIDs: rapid.SliceOfN(rapid.IntRange(0, 200), 0, 3).Draw(t, "xids"),
		Renewed: health.Renewal(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3}).Draw(t, "renewed")), HasRecovery: rapid.Bool().Draw(t, "hasRecovery"),
		Recovery: gpu.Recovery(rapid.SampledFrom([]int{0, 0, 1, 2, 7}).Draw(t, "recovery")), RemapFailed: claim.Draw(t, "remap"), LinksDown: claim.Draw(t, "links"),
		Slowed: claim.Draw(t, "slowed"), Narrow: claim.Draw(t, "narrow"), RetirementPending: claim.Draw(t, "retirement"), RetiredPages: rapid.IntRange(0, 99).Draw(t, "pages"),
	}
}

// Whatever happens: a report takes the verdict, a GPU that is ok has no reasons and any other one has, and after a reboot and a
// quiet day it is well.
func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := health.Default()
		m, now := health.New(&config), epoch
		for range rapid.IntRange(1, 60).Draw(t, "reads") {
			now = now.Add(time.Duration(rapid.IntRange(-60, 600).Draw(t, "seconds")) * time.Second)
			v := m.Observe(now, drawObservation(t))
			require.Equal(t, v.State == gpu.OK, len(v.Reasons) == 0, "%v", v)
			r := gpu.Report{GPUs: []gpu.GPU{{UUID: "GPU-00000000-0000-0000-0000-000000000000", State: v.State, Reasons: slices.Clone(v.Reasons)}}}
			require.NoError(t, r.Validate())
		}
		m.Observe(now, health.Observation{Renewed: health.WasRebooted})
		quiet := health.Observation{Gone: health.No, HasRecovery: true, RemapFailed: health.No, LinksDown: health.No, Slowed: health.No, Narrow: health.No, RetirementPending: health.No}
		v := health.Verdict{}
		for range 48 * 60 {
			now = now.Add(time.Minute)
			v = m.Observe(now, quiet)
		}
		require.Equal(t, health.Verdict{}, v)
	})
}
