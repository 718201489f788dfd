package reporter_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/internal/fake"
)

// The driver's call hangs until the process ends.
func TestACallThatHangsEndsTheProcess(t *testing.T) {
	for name, call := range map[string]string{"GPU 3": "Recovery", "closeness of two GPUs": "Closeness"} {
		synctest.Test(t, func(t *testing.T) {
			d, ended := fake.H100(), make(chan string)
			hang := make(chan struct{})
			d.GPUs[3].Before = func(called string) {
				if called == call {
					<-hang
				}
			}
			config := health.Default()
			r, err := reporter.Open(d, &config, reporter.Watchdog{Limit: 10 * time.Second, Exit: func(reason string) { ended <- reason }})
			require.NoError(t, err)
			began := time.Now()
			done := make(chan error)
			go func() {
				_, _, err := r.Read(began, nil)
				done <- err
			}()
			assert.Equal(t, name+": the GPU driver did not answer within 10s", <-ended)
			assert.Equal(t, 10*time.Second, time.Since(began))
			close(hang)
			require.NoError(t, <-done)
		})
	}
}

func TestACallThatComesBackEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := fake.H100()
		d.GPUs[3].Before = func(string) { time.Sleep(time.Millisecond) }
		config := health.Default()
		r, err := reporter.Open(d, &config, reporter.Watchdog{Limit: time.Second, Exit: func(reason string) { t.Error(reason) }})
		require.NoError(t, err)
		_, _, err = r.Read(time.Now(), nil)
		require.NoError(t, err)
		time.Sleep(time.Hour)
	})
}
