// Command demo shows Phalanx on a real control plane: a tour, gang by gang, and then the busiest hours of a real cluster.
//
// It starts etcd, kube-apiserver, kube-controller-manager and kwok, the hosts of a real GPU cluster as nodes, and the
// scheduler as a process of its own under its own ServiceAccount. All of it ends with the demo. `make demo` runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/phalanx-scheduler/phalanx/test/demo/screen"
)

// options are the flags.
type options struct {
	isOnce        bool
	keepLogs      string
	speed         float64
	hasNative     bool
	isWithoutTour bool
}

// errInterrupted is why everything stops when somebody presses Ctrl-C.
var errInterrupted = errors.New("interrupted")

func main() {
	// What client libraries have to say would tear the picture apart.
	klog.LogToStderr(false)
	klog.SetOutput(nowhere{})
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		if errors.Is(err, errInterrupted) {
			os.Exit(130)
		}
		os.Exit(1)
	}
}

func command() *cobra.Command {
	o := options{}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show gangs on a real control plane with the hosts of a real GPU cluster",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if !(o.speed >= 0.1 && o.speed <= 10) {
				return fmt.Errorf("--speed must be between 0.1 and 10, not %v", o.speed)
			}
			ctx, cancel := interruptible()
			defer cancel()
			return run(ctx, o, screen.New(os.Stdout))
		},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.Flags().BoolVar(&o.isOnce, "once", false, "end after the summary, also on a terminal")
	c.Flags().StringVar(&o.keepLogs, "keep-logs", "", "folder for the logs and data of all processes, which then stay")
	c.Flags().Float64Var(&o.speed, "speed", 1, "how fast jobs arrive and end in the replay; 2 is twice as fast")
	c.Flags().BoolVar(&o.hasNative, "native", true, "serve Kubernetes' own PodGroup, too")
	c.Flags().BoolVar(&o.isWithoutTour, "skip-tour", false, "go straight to the replay")
	return c
}

// interruptible returns a context that ends with Ctrl-C, and when the terminal goes away.
func interruptible() (context.Context, context.CancelFunc) {
	signals, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		<-signals.Done()
		cancel(errInterrupted)
	}()
	return ctx, stop
}

// nowhere swallows what is written to it.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
