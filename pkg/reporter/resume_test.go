package reporter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/internal/fake"
)

func TestWhatAReaderBeforeThisOneFound(t *testing.T) {
	const boot = "00000000-0000-4000-8000-000000000001"
	for name, test := range map[string]struct {
		xids []int
		then func(last *gpu.Report, d *fake.Driver)
		want string
	}{
		"nothing was wrong":      {nil, func(*gpu.Report, *fake.Driver) {}, "ok"},
		"nothing happened since": {[]int{48}, func(*gpu.Report, *fake.Driver) {}, "drain: XID 48"},
		"two XIDs":               {[]int{48, 79}, func(*gpu.Report, *fake.Driver) {}, "lost: XID 79, XID 48"},
		"what only lets down is over after a while":      {[]int{63}, func(*gpu.Report, *fake.Driver) {}, "ok"},
		"the GPU was reset":                              {[]int{48}, func(_ *gpu.Report, d *fake.Driver) { d.GPUs[0].Energy = 5 }, "ok"},
		"the GPU was reset, which is not enough":         {[]int{79}, func(_ *gpu.Report, d *fake.Driver) { d.GPUs[0].Energy = 5 }, "lost: XID 79"},
		"the GPU went on":                                {[]int{48}, func(_ *gpu.Report, d *fake.Driver) { d.GPUs[0].Energy *= 2 }, "drain: XID 48"},
		"the node was rebooted":                          {[]int{79}, func(r *gpu.Report, _ *fake.Driver) { r.Boot = "00000000-0000-4000-8000-000000000000" }, "ok"},
		"the driver is another":                          {[]int{79}, func(r *gpu.Report, _ *fake.Driver) { r.Driver = "565.57.01" }, "ok"},
		"who does not know of boots says nothing for it": {[]int{79}, func(r *gpu.Report, _ *fake.Driver) { r.Boot = "" }, "ok"},
		"reasons that are none of ours": {[]int{48}, func(r *gpu.Report, _ *fake.Driver) {
			r.GPUs[0].Reasons = []string{"XID", "XID 79 or so", "sixty XIDs"}
		}, "ok"},
		"another GPU is there": {[]int{48}, func(_ *gpu.Report, d *fake.Driver) { d.GPUs[0].ID = fake.UUID(9) }, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			before := open(t, fake.H100())
			before.reader.Resume(before.now, boot, nil)
			before.sure()
			last := before.read(test.xids...)
			assert.Equal(t, boot, last.Boot)
			d := fake.H100()
			test.then(&last, d)
			w := open(t, d)
			w.reader.Resume(w.now, boot, &last)
			w.quiet()
			assert.Equal(t, test.want, strings.TrimPrefix(strings.Split(states(w.quiet()), ";")[0], "0 "))
		})
	}
}

// A reset shows by the energy that the GPU had used when trouble came: that of trouble that came after the reset is less.
func TestTroubleAfterAReset(t *testing.T) {
	w := open(t, fake.H100())
	w.sure()
	joules := func(r gpu.Report) uint64 { return r.GPUs[0].TroubleJoules }
	assert.EqualValues(t, 0, joules(w.read(13)), "that of a program is no trouble")
	assert.EqualValues(t, 1000, joules(w.read(48)))
	w.driver.GPUs[0].Energy *= 2
	assert.EqualValues(t, 1000, joules(w.read(48)), "it stands still, however often it comes")
	w.driver.GPUs[0].Energy = 7_000
	assert.EqualValues(t, 1000, joules(w.read()), "a reset")
	assert.EqualValues(t, 7, joules(w.read(48)), "and trouble again")
	w.driver.GPUs[0].Energy = 5_000
	w.read()
	assert.EqualValues(t, 0, joules(w.quiet()), "it is over")
}
