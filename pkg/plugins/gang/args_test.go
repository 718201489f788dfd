package gang

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
)

func TestArguments(t *testing.T) {
	for name, c := range map[string]struct {
		object runtime.Object
		want   int32
		err    string
	}{
		"nothing said":              {nil, DefaultScheduleTimeoutSeconds, ""},
		"an empty object":           {&GangArgs{}, DefaultScheduleTimeoutSeconds, ""},
		"a timeout":                 {&GangArgs{ScheduleTimeoutSeconds: ptr.To[int32](5)}, 5, ""},
		"a timeout of nothing":      {&GangArgs{ScheduleTimeoutSeconds: ptr.To[int32](0)}, 0, "pluginConfig of Gang: scheduleTimeoutSeconds: Invalid value: 0: must be at least 1"},
		"another plugin's argument": {&runtime.Unknown{Raw: []byte("{}")}, 0, "pluginConfig of Gang: its arguments must be of kind GangArgs in kubescheduler.config.k8s.io/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			args, err := argsOf(c.object)
			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, *args.ScheduleTimeoutSeconds)
		})
	}
}
