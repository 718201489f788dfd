package scheduler

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"
)

const ourIdentity = "us"

// memoryLock is a lease that is kept in memory.
type memoryLock struct {
	resourcelock.Interface
	record resourcelock.LeaderElectionRecord
	slow   time.Duration // how long a write takes
	fails  bool
}

func (l *memoryLock) Identity() string { return ourIdentity }

func (l *memoryLock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &l.record, nil, nil
}

func (l *memoryLock) Update(_ context.Context, record resourcelock.LeaderElectionRecord) error {
	time.Sleep(l.slow)
	if l.fails {
		return errors.New("no")
	}
	l.record = record
	return nil
}

func TestOnlyWhoHoldsTheLeaseWrites(t *testing.T) {
	const duration = 15 * time.Second
	type world struct {
		lock  *memoryLock
		ours  fencedLock
		renew func()
	}
	for name, test := range map[string]struct {
		play func(w world)
		want bool
	}{
		"nobody before the lease is taken": {play: func(world) {}},
		"who has just taken it":            {play: func(w world) { w.renew() }, want: true},
		"who renews it":                    {play: func(w world) { w.renew(); time.Sleep(10 * time.Second); w.renew(); time.Sleep(10 * time.Second) }, want: true},
		"nobody who slept past it":         {play: func(w world) { w.renew(); time.Sleep(duration) }},
		"nobody whose renewal failed since": {play: func(w world) {
			w.renew()
			w.lock.fails = true
			time.Sleep(10 * time.Second)
			w.renew()
			time.Sleep(5 * time.Second)
		}},
		"nobody whose renewal took as long": {play: func(w world) { w.lock.slow = duration; w.renew() }},
		"nobody who sees another one hold it": {play: func(w world) {
			w.renew()
			w.lock.record.HolderIdentity = "them"
			_, _, _ = w.ours.Get(context.Background())
		}},
		"who sees that it is his": {play: func(w world) { w.renew(); _, _, _ = w.ours.Get(context.Background()) }, want: true},
		"nobody who gave it back": {play: func(w world) {
			w.renew()
			_ = w.ours.Update(context.Background(), resourcelock.LeaderElectionRecord{})
		}},
		"who took it again": {play: func(w world) {
			w.renew()
			time.Sleep(duration)
			w.renew()
		}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFence(duration, clock.RealClock{})
				lock := &memoryLock{}
				ours := fencedLock{lock, f}
				test.play(world{lock, ours, func() {
					_ = ours.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: ourIdentity})
				}})
				require.Equal(t, test.want, f.enter())
			})
		})
	}
}

func TestALeaseIsGivenBackWhenWhatWasWrittenIsAnswered(t *testing.T) {
	for name, test := range map[string]struct{ writing, want time.Duration }{
		"at once where nothing is":                {0, 0},
		"after what is":                           {time.Second, time.Second},
		"not later than the successor can be let": {time.Hour, writesPatience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFence(time.Hour, clock.RealClock{})
				ours := fencedLock{&memoryLock{}, f}
				require.NoError(t, ours.Update(t.Context(), resourcelock.LeaderElectionRecord{HolderIdentity: ourIdentity}))
				var writes sync.WaitGroup
				defer writes.Wait()
				if test.writing > 0 {
					require.True(t, f.enter())
					writes.Go(func() {
						time.Sleep(test.writing)
						f.leave()
					})
				}
				begin := time.Now()
				require.NoError(t, ours.Update(t.Context(), resourcelock.LeaderElectionRecord{}))
				require.Equal(t, test.want, time.Since(begin))
				require.False(t, f.enter())
			})
		})
	}
}

func TestAFencedReplicaReadsOn(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.Method) }))
	defer server.Close()
	f := newFence(time.Hour, clock.RealClock{})
	client, err := rest.HTTPClientFor(f.guard(&rest.Config{Host: server.URL}))
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	do := func(method string) error {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	require.NoError(t, do(http.MethodGet))
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		require.ErrorIs(t, do(method), errFenced)
	}
	f.open(time.Now())
	require.NoError(t, do(http.MethodPost))
	require.Equal(t, []string{http.MethodGet, http.MethodPost}, asked)
}
