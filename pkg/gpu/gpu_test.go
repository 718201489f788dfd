package gpu_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

var isUpdate = flag.Bool("update", false, "rewrite the files in testdata")

func encoded(t require.TestingT, r gpu.Report) []byte {
	text, err := r.Encode()
	require.NoError(t, err)
	return text
}

func TestGoldenReports(t *testing.T) {
	for name, system := range systems {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".json")
			text := string(encoded(t, system.report())) + "\n"
			if *isUpdate {
				require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), text, "go test -update rewrites it")
			back, err := gpu.Parse([]byte(strings.TrimSuffix(text, "\n")))
			require.NoError(t, err)
			assert.Equal(t, system.report(), back)
		})
	}
}

// long is the longest report of so many GPUs: each of its own model, in trouble for as many reasons as there may be.
func long(gpus int) gpu.Report {
	r := gpu.Report{Driver: strings.Repeat("9", 64), Boot: uuid(0)[4:], Missing: gpu.MaxGPUs, Fabric: gpu.Fabric{UUID: uuid(0)[4:], Clique: 1<<32 - 1}, Links: gpu.Links{Kind: gpu.Bridge}}
	for i := range gpus {
		r.GPUs = append(r.GPUs, gpu.GPU{
			Index: 255 - gpus + i, UUID: uuid(i), Bus: "00010000:ff:1f.7", NUMA: 1023, Product: fmt.Sprintf("%064d", i), Capability: gpu.Capability{Major: 99, Minor: 99},
			MemoryMiB: 16 << 20, FreeMiB: 16 << 20, IsMIG: true, State: gpu.Degraded, Reasons: slices.Repeat([]string{strings.Repeat("r", gpu.MaxReasonBytes)}, gpu.MaxReasons),
			Recovery: 255, TroubleJoules: 1 << 50, Links: 64, BadLinks: 64,
		})
		row := make([]gpu.Closeness, gpus-1-i)
		for j := range row {
			row[j] = gpu.SameBoard
			if len(r.Links.Pairs) < 128 {
				r.Links.Pairs = append(r.Links.Pairs, gpu.Pair{A: i, B: i + 1 + j, Links: 64})
			}
		}
		if i < gpus-1 {
			r.Near = append(r.Near, row)
		}
	}
	return r
}

func TestTheSizeOfAReport(t *testing.T) {
	sick := systems["h100"].report()
	for i := range sick.GPUs {
		sick.GPUs[i].State, sick.GPUs[i].Reasons, sick.GPUs[i].Recovery = gpu.Drain, []string{"XID 48", "GPU reset wanted"}, gpu.ResetGPU
	}
	for name, test := range map[string]struct {
		report gpu.Report
		atMost int
	}{
		"8 GPUs":                       {systems["h100"].report(), 1200},
		"8 GPUs in a mesh":             {systems["dgx1-v100"].report(), 1300},
		"8 GPUs that all want a reset": {sick, 1800},
		"16 GPUs":                      {systems["hgx2-v100"].report(), 2300},
		"a tray of 4 GPUs":             {systems["gb200"].report(), 750},
		"no GPU":                       {gpu.Report{Driver: "570.86.15"}, 50},
		"everything at its longest":    {long(gpu.MaxGPUs), gpu.MaxBytes},
	} {
		t.Run(name, func(t *testing.T) {
			size := len(encoded(t, test.report))
			t.Logf("%d bytes", size)
			assert.LessOrEqual(t, size, test.atMost)
		})
	}
}

func TestReasonsAreDroppedFirst(t *testing.T) {
	reasonsOf := func(r gpu.Report) int {
		back, err := gpu.Parse(encoded(t, r))
		require.NoError(t, err)
		for i := range back.GPUs {
			assert.Equal(t, gpu.Degraded, back.GPUs[i].State, "a state is never dropped")
		}
		return len(back.GPUs[0].Reasons)
	}
	assert.Equal(t, gpu.MaxReasons, reasonsOf(long(16)))
	assert.Less(t, reasonsOf(long(gpu.MaxGPUs)), gpu.MaxReasons)
}

func TestFreeMemoryIsRoundedDown(t *testing.T) {
	for name, test := range map[string]struct{ memory, free, want int }{
		"all":                      {81920, 81920, 81920},
		"nothing":                  {81920, 0, 0},
		"less than a sixteenth":    {81920, 5119, 0},
		"a sixteenth":              {81920, 5120, 5120},
		"all but a little":         {81559, 81000, 76461},
		"more than there is":       {81559, 90000, 81559},
		"less than nothing":        {81559, -1, 0},
		"of memory that nobody is": {0, 5, 0},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, gpu.RoundFreeMiB(test.memory, test.free)) })
	}
}

func TestWhatAReportMayNotSay(t *testing.T) {
	for name, test := range map[string]struct {
		change func(r *gpu.Report)
		want   string
	}{
		"two GPUs of one UUID":                {func(r *gpu.Report) { r.GPUs[1].UUID = r.GPUs[0].UUID }, `GPU report: gpus[1].uuid is "` + uuid(0) + `": it must be another than those before`},
		"a UUID of a MIG instance":            {func(r *gpu.Report) { r.GPUs[2].UUID = "MIG-" + uuid(2)[4:] }, `gpus[2].uuid is "MIG-` + uuid(2)[4:] + `": it must be "GPU-" and a UUID in lower case`},
		"two GPUs of one index":               {func(r *gpu.Report) { r.GPUs[1].Index = 0 }, "gpus[1].index is 0: it must be larger than the one before"},
		"an index below zero":                 {func(r *gpu.Report) { r.GPUs[0].Index = -1 }, "gpus[0].index is -1: it must be from 0 to 255"},
		"a bus in capitals":                   {func(r *gpu.Report) { r.GPUs[0].Bus = "0000:1B:00.0" }, `gpus[0].bus is "0000:1B:00.0": it must be an address as in "0000:1b:00.0"`},
		"a NUMA node below none":              {func(r *gpu.Report) { r.GPUs[0].NUMA = -2 }, "gpus[0].numa is -2: it must be from -1 to 1023"},
		"more free than there is":             {func(r *gpu.Report) { r.GPUs[0].FreeMiB = 81560 }, "gpus[0].freeMiB is 81560: it must be from 0 to 81559"},
		"free memory that moves":              {func(r *gpu.Report) { r.GPUs[0].FreeMiB = 81558 }, "gpus[0].freeMiB is 81558: it must be a sixteenth of 81559, or so many of them, rounded down"},
		"more memory than any GPU has":        {func(r *gpu.Report) { r.GPUs[0].MemoryMiB = 16<<20 + 1 }, "gpus[0].memoryMiB is 16777217: it must be from 0 to 16777216"},
		"more bad links than links":           {func(r *gpu.Report) { r.GPUs[0].BadLinks = 19 }, "gpus[0].badLinks is 19: it must be from 0 to 18"},
		"a reason for nothing":                {func(r *gpu.Report) { r.GPUs[0].Reasons = []string{"XID 79"} }, "gpus[0].reasons has 1 elements, a GPU that is ok has none"},
		"a state that is none":                {func(r *gpu.Report) { r.GPUs[0].State = 9 }, "gpus[0].state is number 9: it must be a state"},
		"a product with quotes":               {func(r *gpu.Report) { r.GPUs[0].Product = `H"100` }, `gpus[0].product is "H\"100": it must be at most 64 letters, digits and common signs`},
		"a capability of no machine":          {func(r *gpu.Report) { r.GPUs[0].Capability.Minor = 100 }, "gpus[0].capability is 100: it must be from 0 to 99"},
		"a pair of one":                       {func(r *gpu.Report) { r.Links = gpu.Links{Kind: gpu.Mesh, Pairs: []gpu.Pair{{A: 1, B: 1, Links: 1}}} }, "links.pairs[0] is [1,1,1]: it must be two positions of 8 GPUs, the smaller one first"},
		"a pair with a GPU that is not there": {func(r *gpu.Report) { r.Links = gpu.Links{Kind: gpu.Mesh, Pairs: []gpu.Pair{{A: 1, B: 8, Links: 1}}} }, "links.pairs[0] is [1,8,1]: it must be two positions of 8 GPUs, the smaller one first"},
		"a pair without a link":               {func(r *gpu.Report) { r.Links = gpu.Links{Kind: gpu.Mesh, Pairs: []gpu.Pair{{A: 1, B: 2}}} }, "links.pairs[0] is [1,2,0]: it must be 1 to 64 links"},
		"a pair twice": {func(r *gpu.Report) {
			r.Links = gpu.Links{Kind: gpu.Mesh, Pairs: []gpu.Pair{{A: 1, B: 2, Links: 1}, {A: 1, B: 2, Links: 1}}}
		}, "links.pairs[1] is [1,2,1]: it must be after the one before, in the order of positions"},
		"pairs behind switches":           {func(r *gpu.Report) { r.Links.Pairs = []gpu.Pair{{A: 1, B: 2, Links: 1}} }, "links.pairs has 1 elements: links of kind switch have none"},
		"a mesh that is down":             {func(r *gpu.Report) { r.Links = gpu.Links{Kind: gpu.Mesh, IsDown: true} }, "links.down is true: it must be left out for links of kind mesh"},
		"a kind of links that is none":    {func(r *gpu.Report) { r.Links.Kind = 9 }, "links.kind is number 9: it must be a kind"},
		"a boot that is none":             {func(r *gpu.Report) { r.Boot = "today" }, `boot is "today": it must be a UUID in lower case`},
		"more energy than anybody has":    {func(r *gpu.Report) { r.GPUs[0].TroubleJoules = 1<<50 + 1 }, "gpus[0].troubleJoules is 1125899906842625: it must be at most 1125899906842624"},
		"a fabric without a name":         {func(r *gpu.Report) { r.Fabric.Clique = 7 }, `fabric.uuid is "": it must be a UUID in lower case`},
		"too few rows of closeness":       {func(r *gpu.Report) { r.Near = r.Near[:6] }, "near has 6 rows, it must have one for each of 8 GPUs but the last"},
		"too short a row of closeness":    {func(r *gpu.Report) { r.Near[3] = nil }, "near[3] is about 0 GPUs, 4 come after it"},
		"closer than on one board":        {func(r *gpu.Report) { r.Near[0][0] = 7 }, "near[0] is 7: it must be at most 6"},
		"less than nothing missing":       {func(r *gpu.Report) { r.Missing = -1 }, "missing is -1: it must be from 0 to 32"},
		"a driver's version of two lines": {func(r *gpu.Report) { r.Driver = "570\n86" }, `driver is "570\n86": it must be at most 64 letters, digits and common signs`},
		"more GPUs than there may be":     {func(r *gpu.Report) { r.GPUs = slices.Repeat(r.GPUs, 5) }, "gpus has 40 elements, at most 32 are allowed"},
		"too many reasons":                {func(r *gpu.Report) { r.GPUs[0].State, r.GPUs[0].Reasons = gpu.Lost, slices.Repeat([]string{"x"}, 9) }, "gpus[0].reasons has 9 elements, at most 8 are allowed"},
		"an empty reason":                 {func(r *gpu.Report) { r.GPUs[0].State, r.GPUs[0].Reasons = gpu.Lost, []string{""} }, `gpus[0].reasons[0] is "": it must be 1 to 64 letters, digits and common signs`},
	} {
		t.Run(name, func(t *testing.T) {
			r := systems["h100"].report()
			test.change(&r)
			_, err := r.Encode()
			assert.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, r.Validate(), test.want)
		})
	}
}

func TestWhatParseRefuses(t *testing.T) {
	const small = `{"version":1,"driver":"570.86.15","gpus":[]}`
	_, err := gpu.Parse([]byte(small))
	require.NoError(t, err)
	with := func(fields string) string {
		return `{"version":1,"models":[{"capability":"9.0","memoryMiB":81559}],"gpus":[{"index":0,"uuid":"` + uuid(0) + `",` + fields + `}]}`
	}
	_, err = gpu.Parse([]byte(with(`"freeMiB":0`)))
	require.NoError(t, err)

	for name, test := range map[string]struct{ text, want string }{
		"nothing":                     {"", "unexpected end of JSON input"},
		"no JSON":                     {"version 1", "invalid character 'v'"},
		"too long a text":             {strings.Repeat(" ", gpu.MaxBytes) + small, "it has 16428 bytes, at most 16384 are allowed"},
		"a version in words":          {`{"version":"1"}`, "version is a string: it must be of type int"},
		"no version":                  {`{"gpus":[]}`, "version is 0: it must be 1"},
		"a later version":             {`{"version":2,"gpus":"of another form"}`, "version is 2: the report's version is later than this reader knows, which is 1"},
		"a field that is none":        {`{"version":1,"temperature":71,"gpus":[]}`, `unknown field "temperature"`},
		"a field twice":               {`{"version":1,"driver":"570.86.15","driver":"570.86.15","gpus":[]}`, `it is not canonical: from byte 35 it is "driver\":\"570.86.15\",\"gpus\":[]}", it must be "gpus\":[]}"`},
		"a field in capitals":         {`{"version":1,"Driver":"570.86.15","gpus":[]}`, `it is not canonical: from byte 14 it is "Driver`},
		"fields in another order":     {`{"driver":"570.86.15","version":1,"gpus":[]}`, "it is not canonical: from byte 2"},
		"white space":                 {`{"version": 1,"driver":"570.86.15","gpus":[]}`, "it is not canonical: from byte 11"},
		"an escape":                   {`{"version":1,"driver":"\u0035","gpus":[]}`, "it is not canonical: from byte 23"},
		"no GPUs":                     {`{"version":1}`, "it is not canonical: from byte 12"},
		"a null for GPUs":             {`{"version":1,"gpus":null}`, "it is not canonical: from byte 20"},
		"more after it":               {small + small, "invalid character '{' after top-level value"},
		"a new line after it":         {small + "\n", "it is not canonical: from byte 44"},
		"a text for a number":         {with(`"freeMiB":"0"`), "GPU report: gpus.freeMiB is a string: it must be of type int"},
		"a float":                     {with(`"freeMiB":0.5`), "gpus.freeMiB is a number 0.5: it must be of type int"},
		"a number beyond all numbers": {with(`"freeMiB":99999999999999999999`), "gpus.freeMiB is a number 99999999999999999999: it must be of type int"},
		"a state that is none":        {with(`"freeMiB":0,"state":"fine"`), `"fine" is none of ["ok" "degraded" "drain" "lost"]`},
		"a default that is written":   {with(`"freeMiB":0,"state":"ok"`), "it is not canonical"},
		"a recovery beyond a byte":    {with(`"freeMiB":0,"recovery":256`), "gpus.recovery is a number 256: it must be of type uint8"},
		"a model that is not there":   {with(`"model":1,"freeMiB":0`), "gpus[0].model is 1: it must be a position in models, which has 1"},
		"a model below zero":          {with(`"model":-1,"freeMiB":0`), "gpus[0].model is -1"},
		"a capability of words":       {strings.Replace(with(`"freeMiB":0`), "9.0", "nine", 1), `models[0].capability is "nine": it must be two numbers with a point between them, as in "9.0"`},
		"a capability with a sign":    {strings.Replace(with(`"freeMiB":0`), "9.0", "9.+0", 1), `models[0].capability is "9.+0"`},
		"a model of nobody":           {strings.Replace(with(`"freeMiB":0`), `}],"gpus`, `},{"memoryMiB":1}],"gpus`, 1), "it is not canonical"},
		"closeness in letters":        {strings.Replace(small, "[]}", `[],"near":["x"]}`, 1), `near[0] is "x": it must be digits from 0 to 6`},
		"arrays without an end":       {strings.Repeat("[", gpu.MaxBytes), "exceeded max depth"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := gpu.Parse([]byte(test.text))
			require.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, "GPU report: ")
			assert.Zero(t, r)
		})
	}
	_, err = gpu.Parse([]byte(`{"version":2}`))
	assert.ErrorIs(t, err, gpu.ErrNewer)
}

func TestWords(t *testing.T) {
	assert.Equal(t, "ok degraded drain lost number 4", fmt.Sprint(gpu.OK, " ", gpu.Degraded, " ", gpu.Drain, " ", gpu.Lost, " ", gpu.State(4)))
	assert.Equal(t, "drain and a reset", gpu.DrainAndReset.String())
	assert.Equal(t, "action 7", gpu.Recovery(7).String())
	assert.True(t, gpu.Capability{Major: 9}.IsAtLeast(gpu.Capability{Major: 8, Minor: 9}))
	assert.True(t, gpu.Capability{Major: 8, Minor: 9}.IsAtLeast(gpu.Capability{Major: 8, Minor: 9}))
	assert.False(t, gpu.Capability{Major: 8}.IsAtLeast(gpu.Capability{Major: 8, Minor: 9}))
}

func TestClosenessIsTheSameFromBothSides(t *testing.T) {
	r := systems["dgx1-v100"].report()
	assert.Equal(t, gpu.OneSwitch, r.Closeness(6, 7))
	assert.Equal(t, gpu.OneSwitch, r.Closeness(7, 6))
	assert.Equal(t, gpu.CrossCPU, r.Closeness(7, 0))
	r.Near = nil
	assert.Equal(t, gpu.UnknownCloseness, r.Closeness(0, 1))
}

// drawReport makes any valid report.
func drawReport(t *rapid.T) gpu.Report {
	text := rapid.StringMatching(`[A-Za-z0-9 ._/:;,+()#%=-]{0,64}`)
	r := gpu.Report{Driver: text.Draw(t, "driver"), Missing: rapid.IntRange(0, gpu.MaxGPUs).Draw(t, "missing")}
	if rapid.Bool().Draw(t, "boot") {
		r.Boot = uuid(1)[4:]
	}
	if rapid.Bool().Draw(t, "fabric") {
		r.Fabric = gpu.Fabric{UUID: uuid(0)[4:], Clique: rapid.Uint32().Draw(t, "clique")}
	}
	index := -1
	for i := range rapid.IntRange(0, gpu.MaxGPUs).Draw(t, "gpus") {
		index += rapid.IntRange(1, 7).Draw(t, "gap")
		g := gpu.GPU{
			Index: index, UUID: uuid(i), Bus: rapid.SampledFrom([]string{"", "0000:1b:00.0", "00010000:01:00.0"}).Draw(t, "bus"),
			NUMA: rapid.IntRange(-1, 1023).Draw(t, "numa"), Product: text.Draw(t, "product"), MemoryMiB: rapid.IntRange(0, 16<<20).Draw(t, "memory"),
			IsMIG: rapid.Bool().Draw(t, "mig"), State: gpu.State(rapid.IntRange(0, 3).Draw(t, "state")), Recovery: gpu.Recovery(rapid.IntRange(0, 255).Draw(t, "recovery")),
			Capability: gpu.Capability{Major: rapid.IntRange(0, 99).Draw(t, "major"), Minor: rapid.IntRange(0, 99).Draw(t, "minor")},
			Links:      rapid.IntRange(0, 64).Draw(t, "links"), TroubleJoules: rapid.Uint64Range(0, 1<<50).Draw(t, "joules"),
		}
		g.FreeMiB = gpu.RoundFreeMiB(g.MemoryMiB, rapid.IntRange(0, g.MemoryMiB).Draw(t, "free"))
		g.BadLinks = rapid.IntRange(0, g.Links).Draw(t, "bad")
		if g.State != gpu.OK && rapid.Bool().Draw(t, "reason") {
			g.Reasons = []string{"XID 79"}
		}
		r.GPUs = append(r.GPUs, g)
	}
	drawLinks(t, &r)
	return r
}

func drawLinks(t *rapid.T, r *gpu.Report) {
	r.Links.Kind = gpu.LinkKind(rapid.IntRange(0, 4).Draw(t, "kind"))
	r.Links.IsDown = r.Links.Kind.IsSwitched() && rapid.Bool().Draw(t, "down")
	isNear := len(r.GPUs) > 1 && rapid.Bool().Draw(t, "near")
	for a := range r.GPUs {
		var row []gpu.Closeness
		for b := a + 1; b < len(r.GPUs); b++ {
			row = append(row, gpu.Closeness((a*b+len(r.Driver))%7))
			if !r.Links.Kind.IsSwitched() && r.Links.Kind != gpu.NoLinks && len(r.Links.Pairs) < 128 && (a+b)%3 == 0 {
				r.Links.Pairs = append(r.Links.Pairs, gpu.Pair{A: a, B: b, Links: 1 + (a+b)%64})
			}
		}
		if isNear && row != nil {
			r.Near = append(r.Near, row)
		}
	}
}

func TestAReportComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawReport(t)
		text := encoded(t, r)
		require.LessOrEqual(t, len(text), gpu.MaxBytes)
		back, err := gpu.Parse(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, r, back)
	})
}

// FuzzParse looks for texts that end Parse otherwise than with a report or an error, and for reports that another text gives
// too.
func FuzzParse(f *testing.F) {
	for _, system := range systems {
		text, err := func() ([]byte, error) { r := system.report(); return r.Encode() }()
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte(`{"version":1,"version":1,"gpus":[]}`))
	f.Add([]byte(`{"version":1,"gpus":[{"index":0,"model":-1,"uuid":"","freeMiB":0}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := gpu.Parse(text)
		if err != nil {
			require.Zero(t, r)
			return
		}
		require.NoError(t, r.Validate())
		require.Equal(t, string(text), string(encoded(t, r)))
	})
}
