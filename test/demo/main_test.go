package main

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
)

func TestTheDataOfTheDemoIsInIt(t *testing.T) {
	f, jobs, err := readData()
	require.NoError(t, err)
	require.Len(t, f.Hosts, 847)
	require.Len(t, jobs, 60)
	require.Equal(t, "847 hosts with 8 GPUs each, below 119 leaf switches, 3 spine switches and 1 core switch", fabricWords(f))
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, args := range [][]string{{"--no-such-flag"}, {"argument"}, {"--speed=0"}, {"--speed=-1"}, {"--speed=NaN"}} {
		c := command()
		c.SetArgs(args)
		require.Error(t, c.Execute(), "%v", args)
	}
}

func TestAStepThatIsInterruptedSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	require.ErrorIs(t, interrupted(ctx, os.ErrNotExist), os.ErrNotExist)
	cancel(errInterrupted)
	require.ErrorIs(t, interrupted(ctx, os.ErrNotExist), errInterrupted)
}

func TestAStepIsToldWithItsOutcome(t *testing.T) {
	out, err := os.Create(t.TempDir() + "/out")
	require.NoError(t, err)
	defer out.Close()
	s := screen.New(out)
	require.NoError(t, during(s, "one", "works", func() error { return nil }))
	require.ErrorIs(t, during(s, "two", "does not", func() error { return os.ErrNotExist }), os.ErrNotExist)
	text, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	require.Equal(t, " ✓ one           works  0.00 s\n ✗ two           does not  0.00 s\n", string(text))
}

func TestThePulseBeatsWhileNothingKeepsItFromIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := startPulse(ctx)
		time.Sleep(time.Minute)
		require.Equal(t, beat, p.longestPause())
		cancel()
		synctest.Wait()
	})
}
