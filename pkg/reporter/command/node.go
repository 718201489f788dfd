package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/publish"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/rounds"
)

const (
	defaultPeriod = 10 * time.Second
	// A shorter period costs more than it tells; with a longer one the Lease would be renewed too late.
	shortestPeriod = time.Second
	longestPeriod  = time.Minute
)

// nodeOptions say what node to report, and how.
type nodeOptions struct {
	name, namespace, kubeconfig string
	period                      time.Duration
}

func (o *nodeOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.name, "node-name", os.Getenv("NODE_NAME"), "the name of this machine's node; $NODE_NAME if not given")
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "where the Lease is that says that the reporter lives; $POD_NAMESPACE if not given")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "how to reach the cluster; as its pod if not given")
	flags.DurationVar(&o.period, "period", defaultPeriod, "how often the GPUs are read")
}

func (o *nodeOptions) validate() error {
	switch {
	case len(validation.IsDNS1123Subdomain(o.name)) > 0:
		return fmt.Errorf("--node-name is %q: it must be the name of this machine's node, which $NODE_NAME may say", o.name)
	case len(validation.IsDNS1123Label(o.namespace)) > 0:
		return fmt.Errorf("--namespace is %q: it must be the name of the Lease's namespace, which $POD_NAMESPACE may say", o.namespace)
	case o.period < shortestPeriod || o.period > longestPeriod:
		return fmt.Errorf("--period is %v: it must be from %v to %v", o.period, shortestPeriod, longestPeriod)
	}
	return nil
}

// run reports the node until the context is done.
func (o *nodeOptions) run(ctx context.Context, driver reporter.Driver, dog reporter.Watchdog, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	client, err := o.client()
	if err != nil {
		return err
	}
	return o.report(ctx, driver, dog, client, slog.New(slog.NewTextHandler(stderr, nil)))
}

func (o *nodeOptions) client() (kubernetes.Interface, error) {
	config, err := rest.InClusterConfig()
	if o.kubeconfig != "" {
		config, err = clientcmd.BuildConfigFromFlags("", o.kubeconfig)
		if err != nil {
			err = fmt.Errorf("--kubeconfig: %w", err)
		}
	}
	if errors.Is(err, rest.ErrNotInCluster) {
		err = errors.New("--kubeconfig is needed: this is no pod of a cluster")
	}
	if err != nil {
		return nil, err
	}
	config.UserAgent = Name + "/" + version
	config.ContentType, config.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	return kubernetes.NewForConfig(config)
}

// report runs the loop, and beside it what publishes.
func (o *nodeOptions) report(ctx context.Context, driver reporter.Driver, dog reporter.Watchdog, client kubernetes.Interface, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()

	config := health.Default()
	publisher := publish.New(publish.Options{
		Client: client, Node: o.name, Namespace: o.namespace, Holder: cmp.Or(os.Getenv("POD_NAME"), Name),
		Done: func(publish.Request, error) {}, Log: log,
	})
	beside.Go(func() { publisher.Run(ctx) })
	return rounds.Run(ctx, rounds.Options{
		Driver: driver, Health: &config, Dog: dog, Period: o.period, Log: log,
		Publish: func(r rounds.Round) { publisher.Offer(&r.Report, r.Text, r.IsWhole) },
		Turn:    func(error) {},
		Heard:   func(string, health.Class) {},
	})
}
