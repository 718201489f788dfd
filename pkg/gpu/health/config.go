package health

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Class is what an XID, an error that the driver reports, means for the GPU.
type Class string

// The classes.
const (
	// Application: a program made the error. Counted only.
	Application Class = "application"
	// Ignore: the driver noted something. Counted only.
	Ignore Class = "ignore"
	// Degrading: the GPU goes on, others are better.
	Degrading Class = "degraded"
	// Reset: the GPU wants a reset. It is drained until it had one.
	Reset Class = "reset"
	// Node: it wants more than that. It is lost until the driver was reloaded or the node rebooted.
	Node Class = "node"
	// Disputed: as Reset if the driver's recovery action says that anything is to be done, else as Ignore.
	Disputed Class = "disputed"
	// Reread: the recovery action has changed, and is believed at once.
	Reread Class = "reread"
)

var classes = []Class{Application, Ignore, Degrading, Reset, Node, Disputed, Reread}

// Config is what can be set about health. [Default] is a good one.
type Config struct {
	// XIDs are the classes of XIDs, OtherXIDs that of all others.
	XIDs      map[int]Class
	OtherXIDs Class

	// CleanPeriod is how long nothing may be seen of a finding before it is over.
	CleanPeriod time.Duration
	// More than MaxChanges changes of state within ChangePeriod make the GPU degraded for LatchPeriod.
	MaxChanges   int
	ChangePeriod time.Duration
	LatchPeriod  time.Duration

	// What comes and goes is judged by the samples of the last SamplePeriod, of which there must be MinSamples: it counts if
	// it was so in SlowPercent of them.
	SamplePeriod time.Duration
	MinSamples   int
	SlowPercent  int

	// MaxRetiredPages is how many pages may be retired before the GPU is drained, on GPUs that retire pages.
	MaxRetiredPages int
}

// xids are the defaults, after NVIDIA's catalog of XIDs of October 2025 and what its device plugin ignores.
var xids = []struct {
	class Class
	from  []span
}{
	{Application, []span{{8, 8}, {11, 11}, {13, 13}, {25, 25}, {31, 32}, {39, 41}, {43, 43}, {45, 45}, {60, 60}, {68, 72}, {75, 77}, {80, 80}, {82, 86}, {88, 89}, {96, 105}, {126, 135}, {139, 139}}},
	{Ignore, []span{{37, 38}, {44, 44}, {66, 67}, {92, 93}, {106, 107}, {121, 121}, {137, 137}, {141, 141}, {152, 153}, {157, 157}, {160, 161}}},
	{Degrading, []span{{63, 63}, {94, 94}}},
	{Reset, []span{{46, 46}, {48, 48}, {62, 62}, {64, 64}, {74, 74}, {95, 95}, {110, 110}, {119, 120}, {136, 136}, {140, 140}, {143, 143}, {155, 156}, {158, 158}}},
	{Node, []span{{54, 54}, {78, 79}, {142, 142}, {151, 151}}},
	{Disputed, []span{{109, 109}}},
	{Reread, []span{{154, 154}}},
}

type span struct{ first, last int }

// Default is the configuration to begin with. Its periods and thresholds are judgement.
func Default() Config {
	c := Config{
		XIDs: map[int]Class{}, OtherXIDs: Degrading,
		CleanPeriod: 5 * time.Minute,
		MaxChanges:  3, ChangePeriod: time.Hour, LatchPeriod: time.Hour,
		SamplePeriod: 5 * time.Minute, MinSamples: 6, SlowPercent: 50,
		MaxRetiredPages: 60,
	}
	for _, row := range xids {
		for _, s := range row.from {
			for xid := s.first; xid <= s.last; xid++ {
				c.XIDs[xid] = row.class
			}
		}
	}
	return c
}

// Class is that of an XID.
func (c *Config) Class(xid int) Class {
	if class, ok := c.XIDs[xid]; ok {
		return class
	}
	return c.OtherXIDs
}

// Validate says all that is wrong, by field.
func (c *Config) Validate() error {
	var problems []error
	complain := func(field string, value any, rule string) {
		problems = append(problems, fmt.Errorf("%s is %v: it must be %s", field, value, rule))
	}
	for _, xid := range slices.Sorted(maps.Keys(c.XIDs)) {
		if xid < 1 {
			complain("xids", xid, "at least 1")
		}
		if !slices.Contains(classes, c.XIDs[xid]) {
			complain(fmt.Sprintf("xids[%d]", xid), fmt.Sprintf("%q", c.XIDs[xid]), fmt.Sprintf("one of %q", classes))
		}
	}
	if !slices.Contains(classes, c.OtherXIDs) {
		complain("otherXIDs", fmt.Sprintf("%q", c.OtherXIDs), fmt.Sprintf("one of %q", classes))
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"cleanPeriod", c.CleanPeriod}, {"changePeriod", c.ChangePeriod}, {"latchPeriod", c.LatchPeriod}, {"samplePeriod", c.SamplePeriod}} {
		if d.value <= 0 || d.value > longestPeriod {
			complain(d.field, d.value, fmt.Sprintf("above 0 and at most %v", longestPeriod))
		}
	}
	for _, n := range []struct {
		field       string
		value, most int
	}{{"maxChanges", c.MaxChanges, 100}, {"minSamples", c.MinSamples, maxSamples}, {"slowPercent", c.SlowPercent, 100}, {"maxRetiredPages", c.MaxRetiredPages, 1000}} {
		if n.value < 1 || n.value > n.most {
			complain(n.field, n.value, fmt.Sprintf("from 1 to %d", n.most))
		}
	}
	return errors.Join(problems...)
}

// longestPeriod is beyond what anybody would wait for.
const longestPeriod = 7 * 24 * time.Hour
