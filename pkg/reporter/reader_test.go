package reporter_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/internal/fake"
)

// world is a driver with its reader, and a clock.
type world struct {
	t      *testing.T
	driver *fake.Driver
	reader *reporter.Reader
	now    time.Time
	unsure bool
}

func open(t *testing.T, d *fake.Driver) *world {
	config := health.Default()
	r, err := reporter.Open(d, &config, reporter.Watchdog{})
	require.NoError(t, err)
	return &world{t: t, driver: d, reader: r, now: time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)}
}

// read makes a round half a minute after the last, with XIDs of GPU 0.
func (w *world) read(xids ...int) gpu.Report {
	w.now = w.now.Add(30 * time.Second)
	report, isUnsure, err := w.reader.Read(w.now, map[string][]int{fake.UUID(0): xids})
	require.NoError(w.t, err)
	require.NoError(w.t, report.Validate())
	w.unsure = isUnsure
	return report
}

// sure makes rounds until nothing needs to be confirmed.
func (w *world) sure() gpu.Report {
	report := w.read()
	if w.unsure {
		report = w.read()
	}
	require.False(w.t, w.unsure)
	return report
}

// quiet makes rounds for an hour.
func (w *world) quiet() gpu.Report {
	report := gpu.Report{}
	for range 120 {
		report = w.read()
	}
	return report
}

// states are those of the GPUs, "ok drain: XID 48 …".
func states(r gpu.Report) string {
	out := make([]string, len(r.GPUs))
	for i, g := range r.GPUs {
		out[i] = g.State.String()
		if len(g.Reasons) > 0 {
			out[i] = fmt.Sprintf("%d %s: %s", g.Index, g.State, strings.Join(g.Reasons, ", "))
		}
	}
	return strings.Join(out, "; ")
}

func but(index, count int, state string) string {
	out := make([]string, count)
	for i := range out {
		out[i] = "ok"
		if i == index {
			out[i] = fmt.Sprintf("%d %s", i, state)
		}
	}
	return strings.Join(out, "; ")
}

func TestKnownSystems(t *testing.T) {
	for name, d := range map[string]*fake.Driver{
		"h100": fake.H100(), "gb200": fake.GB200(), "dgx1-v100": fake.DGX1(), "a100-pcie": fake.A100PCIe(), "l40s": fake.L40S(),
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, d)
			for range 2 {
				report := w.read()
				text, err := report.Encode()
				require.NoError(t, err)
				want, err := os.ReadFile("../gpu/testdata/" + name + ".json")
				require.NoError(t, err)
				assert.Equal(t, string(want), string(text)+"\n")
				assert.False(t, w.unsure)
			}
		})
	}
}

func TestWhatStandsStillIsAskedOnce(t *testing.T) {
	d := fake.H100()
	w := open(t, d)
	for range 10 {
		w.read()
	}
	for call, want := range map[string]int{"Product": 8, "Bus": 8, "NUMA": 8, "Capability": 8, "Closeness": 28, "LinkPeer": 8 * 18, "Memory": 80, "Recovery": 80, "LinksUp": 80} {
		assert.Equal(t, want, d.Calls[call], call)
	}
	require.NoError(t, w.reader.Reopen())
	w.read()
	assert.Equal(t, 16, d.Calls["Product"], "and again when the driver was reloaded")
	assert.Equal(t, 56, d.Calls["Closeness"])
}

func TestNoDriver(t *testing.T) {
	config := health.Default()
	for _, fault := range []reporter.Fault{reporter.NoLibrary, reporter.NotLoaded, reporter.Mismatched, reporter.NoBackend} {
		d := &fake.Driver{Faults: map[string]error{"Init": fault}}
		_, err := reporter.Open(d, &config, reporter.Watchdog{})
		assert.ErrorIs(t, err, fault)
		assert.Equal(t, map[string]int{"Init": 1}, d.Calls, "nothing may be called after it")
	}
}

func TestNoGPUs(t *testing.T) {
	report := open(t, &fake.Driver{VersionText: "570.86.15"}).read()
	assert.Equal(t, gpu.Report{Driver: "570.86.15"}, report)
}

func TestSixteenGPUs(t *testing.T) {
	d := fake.New("535.183.06", "Tesla V100-SXM3-32GB", gpu.Capability{Major: 7}, 32768, fake.Buses("34", "36", "39", "3b", "57", "59", "5c", "5e", "b7", "b9", "bc", "be", "e0", "e2", "e5", "e7")...).
		Place([]int{2, 4, 8}, gpu.OneSwitch, gpu.SeveralSwitches, gpu.SameCPU).Switch(6)
	report := open(t, d).read()
	text, err := report.Encode()
	require.NoError(t, err)
	want, err := os.ReadFile("../gpu/testdata/hgx2-v100.json")
	require.NoError(t, err)
	assert.Equal(t, string(want), string(text)+"\n")
}

func TestMIG(t *testing.T) {
	d := fake.H100()
	d.GPUs[3].IsCut = true
	report := open(t, d).read()
	for i, g := range report.GPUs {
		assert.Equal(t, i == 3, g.IsMIG)
	}
}

func TestMixedModels(t *testing.T) {
	d := fake.A100PCIe()
	for _, g := range d.GPUs[4:] {
		g.Name, g.Version, g.MemoryUse = "NVIDIA L40S (é)", gpu.Capability{Major: 8, Minor: 9}, reporter.Memory{TotalMiB: 46068, FreeMiB: 46068}
		g.Up, g.Peers = nil, nil
	}
	report := open(t, d).read()
	assert.Equal(t, gpu.Links{Kind: gpu.Bridge, Pairs: []gpu.Pair{{A: 0, B: 1, Links: 12}, {A: 2, B: 3, Links: 12}}}, report.Links)
	assert.Equal(t, 12, report.GPUs[3].Links)
	assert.Equal(t, 0, report.GPUs[4].Links)
	assert.Equal(t, "NVIDIA L40S (__)", report.GPUs[4].Product, "a name that a report cannot hold")
	assert.Equal(t, 46068, report.GPUs[7].FreeMiB)
}

func TestAGPUIsLostInTheMiddleOfARound(t *testing.T) {
	for name, fault := range map[string]error{"says so": reporter.GPULost, "knows no reason": reporter.Broken} {
		t.Run("the driver "+name, func(t *testing.T) {
			d := fake.H100()
			w := open(t, d)
			before := w.read()
			d.GPUs[5].Faults = map[string]error{"RemappedRows": fault}
			assert.Equal(t, but(-1, 8, ""), states(w.read()), "not yet")
			assert.True(t, w.unsure)
			after := w.read()
			assert.Equal(t, but(5, 8, "lost: does not answer"), states(after))
			assert.Zero(t, after.GPUs[5].FreeMiB)
			after.GPUs[5] = before.GPUs[5]
			assert.Equal(t, before, after, "all else stays, as do its name and its place")

			d.GPUs[5].Faults = nil
			assert.Equal(t, before, w.quiet(), "it is back")
		})
	}
}

func TestAGPUThatIsNotFoundAnyMore(t *testing.T) {
	d := fake.H100()
	w := open(t, d)
	w.read()
	d.GPUs[2].Faults = map[string]error{"Device": reporter.GPULost}
	assert.Equal(t, but(2, 8, "lost: does not answer"), states(w.sure()))

	lost := d.GPUs[2]
	d.GPUs = append(d.GPUs[:2:2], d.GPUs[3:]...)
	report := w.sure()
	assert.Equal(t, "ok; ok; ok; ok; ok; ok; ok; 7 lost: does not answer", states(report), "the driver has given its index to another")
	assert.Equal(t, lost.ID, report.GPUs[7].UUID)
	assert.Zero(t, report.Missing)
}

func TestAGPUThatNeverSaidItsName(t *testing.T) {
	d := fake.H100()
	d.GPUs[2].Faults = map[string]error{"UUID": reporter.GPULost}
	d.GPUs[4].Fault = reporter.GPULost
	report := open(t, d).sure()
	assert.Equal(t, 2, report.Missing)
	assert.Len(t, report.GPUs, 6)
	assert.Equal(t, 7, report.GPUs[5].Index)
}

func TestAGPUThatWantsAReset(t *testing.T) {
	d := fake.H100()
	w := open(t, d)
	w.read()
	d.GPUs[1].Faults = map[string]error{"Memory": reporter.WantsReset}
	report := w.sure()
	assert.Equal(t, but(1, 8, "drain: driver wants a GPU reset"), states(report))
	assert.Equal(t, gpu.ResetGPU, report.GPUs[1].Recovery)
	d.GPUs[1].Faults = nil
	assert.Equal(t, but(-1, 8, ""), states(w.quiet()))
}

// A driver that can say nothing but who the GPUs are.
func TestNothingIsSupported(t *testing.T) {
	d := fake.H100()
	d.Faults = map[string]error{}
	for _, call := range []string{
		"Version", "Product", "Bus", "NUMA", "Capability", "Closeness", "Memory", "IsMIG", "IsProhibited", "Recovery", "RemappedRows", "RetiredPages", "MemoryErrors",
		"Fabric", "LinksUp", "LinkPeer", "IsSlowed", "PCIe", "BusyPercent", "EnergyMilliJoules",
	} {
		d.Faults[call] = fmt.Errorf("%s: %w", call, reporter.NotSupported)
	}
	want := gpu.Report{}
	for i := range 8 {
		want.GPUs = append(want.GPUs, gpu.GPU{Index: i, UUID: fake.UUID(i), NUMA: -1})
	}
	w := open(t, d)
	for range 3 {
		assert.Equal(t, want, w.read())
		assert.False(t, w.unsure)
	}
}

func TestTheDriverGoesAway(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(d *fake.Driver)
		want  string
	}{
		"before the GPUs are counted": {func(d *fake.Driver) { d.Faults = map[string]error{"Count": reporter.NotLoaded} }, "count of the GPUs: the GPU driver is not loaded"},
		"as a GPU is looked for":      {func(d *fake.Driver) { d.GPUs[3].Faults = map[string]error{"Device": reporter.NotLoaded} }, "GPU 3: Device: the GPU driver is not loaded"},
		"in the middle of a GPU":      {func(d *fake.Driver) { d.GPUs[3].Faults = map[string]error{"Fabric": reporter.Mismatched} }, "GPU 3: Fabric: the GPU driver and its library are of different versions"},
	} {
		t.Run(name, func(t *testing.T) {
			d := fake.H100()
			w := open(t, d)
			before := w.read()
			test.spoil(d)
			_, _, err := w.reader.Read(w.now, nil)
			require.EqualError(t, err, test.want)

			d.Faults, d.GPUs[3].Faults = nil, nil
			require.NoError(t, w.reader.Reopen())
			assert.Equal(t, before, w.read(), "a driver that was reloaded begins anew")
		})
	}
}

func TestXIDsAndWhatMakesUpForThem(t *testing.T) {
	for name, test := range map[string]struct {
		xid  int
		then func(w *world)
		want string
	}{
		"a reset shows in the energy counter": {48, func(w *world) { w.driver.GPUs[0].Energy = 5 }, "ok"},
		"a reset shows in the memory errors":  {48, func(w *world) { w.driver.GPUs[0].ErrorCount = 0 }, "ok"},
		"a reset shows in what the driver wants": {48, func(w *world) {
			w.driver.GPUs[0].Action = gpu.ResetGPU
			w.sure()
			w.driver.GPUs[0].Action = gpu.NoRecovery
		}, "ok"},
		"a reload of the driver":            {79, func(w *world) { require.NoError(w.t, w.reader.Reopen()) }, "ok"},
		"nothing":                           {48, func(*world) {}, "drain: XID 48"},
		"a reset, where a reload is needed": {79, func(w *world) { w.driver.GPUs[0].Energy = 5 }, "lost: XID 79"},
		"nothing, which is enough for what only lets down": {63, func(*world) {}, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			d := fake.H100()
			d.GPUs[0].ErrorCount = 1
			w := open(t, d)
			w.sure()
			assert.Contains(t, states(w.read(test.xid)), fmt.Sprintf("XID %d", test.xid))
			test.then(w)
			w.quiet() // until changes that were many are forgotten
			got := strings.TrimPrefix(strings.Split(states(w.quiet()), ";")[0], "0 ")
			if d.GPUs[0].ErrorCount > 0 {
				got = strings.TrimSuffix(got, ", uncorrectable memory errors")
				got = strings.Replace(got, "degraded: uncorrectable memory errors", "ok", 1)
			}
			assert.Equal(t, test.want, got)
		})
	}
}

func TestWhatEachAnswerMeans(t *testing.T) {
	for name, test := range map[string]struct {
		change func(g *fake.GPU)
		want   string
	}{
		"rows that cannot be replaced":      {func(g *fake.GPU) { g.Rows.HasFailed = true }, "0 drain: memory row remapping failed"},
		"rows that will be":                 {func(g *fake.GPU) { g.Rows.IsPending = true }, "0 degraded: memory row remapping waits for a reset"},
		"pages that will be retired":        {func(g *fake.GPU) { g.Pages.IsPending = true }, "0 degraded: memory page retirement waits for a reset"},
		"too many pages":                    {func(g *fake.GPU) { g.Pages.Count = 61 }, "0 drain: too many memory pages retired"},
		"memory errors":                     {func(g *fake.GPU) { g.ErrorCount = 1 }, "0 degraded: uncorrectable memory errors"},
		"a compute mode that admits nobody": {func(g *fake.GPU) { g.IsClosed = true }, "0 drain: compute mode is prohibited"},
		"a GPU that is hot all the time":    {func(g *fake.GPU) { g.IsHot = true }, "0 degraded: slowed by heat or power"},
		"a slow bus while it is used":       {func(g *fake.GPU) { g.Busy = 100 }, "0 degraded: PCIe below its maximum"},
		"a narrow bus while it is used":     {func(g *fake.GPU) { g.Busy, g.Bus.Generation, g.Bus.Width = 100, 5, 8 }, "0 degraded: PCIe below its maximum"},
		"a slow bus while it is not":        {func(g *fake.GPU) { g.Busy = 49 }, "ok"},
		"a bus at its best":                 {func(g *fake.GPU) { g.Busy, g.Bus.Generation = 100, 5 }, "ok"},
		"a recovery action":                 {func(g *fake.GPU) { g.Action = gpu.RebootNode }, "0 lost: driver wants a node reboot"},
		"an answer that is denied says nothing": {func(g *fake.GPU) {
			g.Rows.HasFailed = true
			g.Faults = map[string]error{"RemappedRows": fmt.Errorf("no permission")}
		}, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			d := fake.H100()
			test.change(d.GPUs[0])
			w := open(t, d)
			for range 20 {
				w.read()
			}
			assert.Equal(t, test.want, strings.Split(states(w.read()), ";")[0])
		})
	}
}

func TestFreeMemoryDoesNotGoBackAndForth(t *testing.T) {
	d := fake.L40S()
	w := open(t, d)
	free := func(mib int) int {
		d.GPUs[0].MemoryUse.FreeMiB = mib
		return w.read().GPUs[0].FreeMiB
	}
	const total = 46068
	sixteenths := func(n int) int { return n * total / 16 }
	assert.Equal(t, sixteenths(10), free(sixteenths(10)+10), "the first answer is as it is")
	assert.Equal(t, sixteenths(9), free(sixteenths(10)-10), "what is used counts at once")
	for range 10 {
		assert.Equal(t, sixteenths(9), free(sixteenths(10)+10), "a little more")
		assert.Equal(t, sixteenths(9), free(sixteenths(10)-10), "and a little less")
	}
	assert.Equal(t, sixteenths(10), free(sixteenths(10)+800), "enough of it counts")
	assert.Equal(t, sixteenths(15), free(total-500), "and all of it does when nobody uses the GPU any more")
}

func TestASmallGPUMayKeepASixteenthToItself(t *testing.T) {
	d := fake.New("550.127.05", "Quadro RTX 4000", gpu.Capability{Major: 7, Minor: 5}, 8192, fake.Buses("04")...)
	w := open(t, d)
	first := w.read().GPUs[0].FreeMiB
	d.GPUs[0].MemoryUse.FreeMiB = 100
	w.read()
	d.GPUs[0].MemoryUse.FreeMiB = 8192 - 500
	assert.Equal(t, first-8192/16, w.read().GPUs[0].FreeMiB, "all is free again, and a sixteenth of it is missed")
}
