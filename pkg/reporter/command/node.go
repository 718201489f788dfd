package command

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/apiserver"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/publish"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/rounds"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/serve"
)

const (
	defaultPeriod = 10 * time.Second
	// A shorter period costs more than it tells; with a longer one the Lease would be renewed too late.
	shortestPeriod = time.Second
	longestPeriod  = time.Minute

	defaultPort = 10269
	// stillLimit is how long the loop may stand still until the kubelet is told. A call that hangs ends the program before.
	stillLimit = 5 * time.Minute
)

// nodeOptions say what node to report, and how.
type nodeOptions struct {
	name, namespace, kubeconfig string
	period                      time.Duration

	// Where health and metrics are served. Port 0 serves none.
	bindAddress       string
	port              uint16
	certFile, keyFile string
}

func (o *nodeOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.name, "node-name", os.Getenv("NODE_NAME"), "the name of this machine's node; $NODE_NAME if not given")
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "where the Lease is that says that the reporter lives; $POD_NAMESPACE if not given")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "how to reach the cluster; as its pod if not given")
	flags.DurationVar(&o.period, "period", defaultPeriod, "how often the GPUs are read")
	flags.StringVar(&o.bindAddress, "bind-address", "0.0.0.0", "the address on which health and metrics are served over HTTPS")
	flags.Uint16Var(&o.port, "secure-port", defaultPort, "the port of it; 0 serves nothing")
	flags.StringVar(&o.certFile, "tls-cert-file", "", "its certificate; one that nobody signed if not given")
	flags.StringVar(&o.keyFile, "tls-private-key-file", "", "the key of --tls-cert-file")
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
	config, err := o.config()
	if err != nil {
		return err
	}
	api, err := apiserver.New(config)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	n := newNode(o, api, log)
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	if o.port != 0 {
		listener, certificate, err := o.listen()
		if err != nil {
			return err
		}
		beside.Go(func() {
			if err := serve.Run(ctx, listener, serve.Handler(n.metrics, n.health, api), certificate, log); err != nil {
				log.Error("Health and metrics are not served any more", "reason", err)
			}
		})
	}
	return n.report(ctx, driver, dog)
}

// listen begins to serve.
func (o *nodeOptions) listen() (net.Listener, func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	certificate, err := serve.Certificate(o.certFile, o.keyFile, o.name)
	if err != nil {
		return nil, nil, fmt.Errorf("--tls-cert-file: %w", err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(o.bindAddress, strconv.Itoa(int(o.port))))
	if err != nil {
		return nil, nil, fmt.Errorf("--secure-port: %w", err)
	}
	return listener, certificate, nil
}

func (o *nodeOptions) config() (*rest.Config, error) {
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
	return config, nil
}

// node is what reports one.
type node struct {
	publisher *publish.Publisher
	metrics   *serve.Metrics
	health    *serve.Health
	boot      string // as in a [gpu.Report]
	period    time.Duration
	log       *slog.Logger
}

// bootFile is where Linux tells of this boot. It is of the machine, in a container too.
const bootFile = "/proc/sys/kernel/random/boot_id"

func newNode(o *nodeOptions, api publish.API, log *slog.Logger) *node {
	n := &node{metrics: serve.NewMetrics(), health: &serve.Health{Limit: stillLimit}, period: o.period, log: log}
	if text, err := os.ReadFile(bootFile); err == nil {
		n.boot = strings.TrimSpace(string(text))
	}
	n.publisher = publish.New(publish.Options{
		API: api, Node: o.name, Namespace: o.namespace, Holder: cmp.Or(os.Getenv("POD_NAME"), Name), Log: log,
		Done: func(what publish.Request, err error) { n.metrics.CountRequest(string(what), err) },
	})
	return n
}

// report runs the loop, and beside it what publishes.
func (n *node) report(ctx context.Context, driver reporter.Driver, dog reporter.Watchdog) error {
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()

	config := health.Default()
	beside.Go(func() { n.publisher.Run(ctx) })
	return rounds.Run(ctx, rounds.Options{
		Driver: driver, Health: &config, Dog: dog, Period: n.period, Log: n.log,
		Recall: func(ctx context.Context) (string, *gpu.Report, error) {
			last, err := n.publisher.Published(ctx)
			return n.boot, last, err
		},
		Publish: func(r rounds.Round) {
			n.publisher.Offer(&r.Report, r.Text, r.IsWhole)
			n.metrics.Measure(&r.Report, r.Meters, r.Took)
		},
		Turn: func(err error) {
			n.health.Turn(err)
			n.metrics.CountRound(err)
		},
		Heard: n.metrics.CountXID,
	})
}
