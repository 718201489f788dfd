package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	core "k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	schedulermetrics "k8s.io/kubernetes/pkg/scheduler/metrics"

	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/volcano/hypernode"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	gangplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/serve"
	"github.com/phalanx-scheduler/phalanx/pkg/scheduler"
)

const prefix = "phalanx_"

func metricsPage() (string, error) {
	always, err := schedulerMetrics()
	if err != nil {
		return "", err
	}
	leading, err := leaderMetrics()
	if err != nil {
		return "", err
	}
	reporting, err := reporterMetrics()
	if err != nil {
		return "", err
	}
	head := []string{"metric", "type", "labels", "says"}
	return `# Metrics

For administrators who write alerts and dashboards; those in [manifests/monitoring](../manifests/monitoring) use them. None has a
label whose values grow with gangs or pods. Who may read them, and how, is in [install.md](install.md#monitoring).

## The scheduler

At ` + "`https://…:10259/metrics`" + `, beside all that kube-scheduler has. All are of stability ALPHA in Kubernetes' words: names and labels
may change with a minor release, and the changelog says so.

` + table(head, always) + `
These are there on the replica that leads alone:

` + table(head, leading) + `
## The reporter

At ` + "`https://…:10269/metrics`" + ` of each GPU node, beside Go's and the process's own.

` + table(head, reporting), nil
}

// schedulerMetrics are those that the scheduler's packages register as they are loaded.
func schedulerMetrics() ([][]string, error) {
	if err := fillVectors(); err != nil {
		return nil, err
	}
	return served(legacyregistry.Handler(), "/metrics")
}

var variableLabels = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)

// known stands for a metric that is registered already: to register it again tells which.
type known struct{ *prometheus.Desc }

func (k known) Describe(into chan<- *prometheus.Desc) { into <- k.Desc }
func (known) Collect(chan<- prometheus.Metric)        {}

// fillVectors gives each of our metrics with labels a first series, without which it is not served.
func fillVectors() error {
	registry, isCollector := legacyregistry.Registerer().(interface {
		prometheus.Registerer
		prometheus.Collector
	})
	if !isCollector {
		return fmt.Errorf("the registry of Kubernetes is a %T, which does not tell what is in it", legacyregistry.Registerer())
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		registry.Describe(descriptions)
	}()
	var ours []*prometheus.Desc
	for description := range descriptions {
		if strings.Contains(description.String(), `fqName: "`+prefix) {
			ours = append(ours, description)
		}
	}
	for _, description := range ours {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(known{description}); !errors.As(err, &already) {
			return fmt.Errorf("%s is described by a metric that has others beside it: %w", description, err)
		}
		found := variableLabels.FindStringSubmatch(description.String())
		if found == nil || found[1] == "" {
			continue
		}
		values := make([]string, strings.Count(found[1], ",")+1)
		switch vector := already.ExistingCollector.(type) {
		case *metrics.CounterVec:
			vector.WithLabelValues(values...).Add(0)
		case *metrics.GaugeVec:
			vector.WithLabelValues(values...).Set(0)
		case *metrics.HistogramVec:
			vector.WithLabelValues(values...).Observe(0)
		default:
			return fmt.Errorf("%s is a %T, of which no series can be made here", description, already.ExistingCollector)
		}
	}
	return nil
}

// flat is a cluster without HyperNodes.
type flat struct{}

func (flat) Current() *hypernode.Tree { return nil }

// leaderMetrics are of a cluster without nodes and gangs.
func leaderMetrics() ([][]string, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	schedulermetrics.Register() // the cache counts
	room, err := gangplugin.NewRoom(&core.Scheduler{Cache: cache.New(ctx, nil, true, false)}, flat{}, nil)
	if err != nil {
		return nil, err
	}
	registry := metrics.NewKubeRegistry()
	gangs := ledger.New(nil, nil, nil)
	registry.CustomMustRegister(room, scheduler.NewWaitingMeter(gangs), scheduler.NewRepairMeter(gangs))
	registry.MustRegister(scheduler.RepairsEnded)
	scheduler.RepairsEnded.WithLabelValues("whole") // one that counted nothing is not served
	return served(metrics.HandlerFor(registry, metrics.HandlerOpts{}), "/metrics")
}

// anybody lets everybody read metrics.
type anybody struct{}

func (anybody) ReviewToken(_ context.Context, r *authentication.TokenReview) (*authentication.TokenReview, error) {
	r.Status.Authenticated = true
	return r, nil
}

func (anybody) ReviewAccess(_ context.Context, r *authorization.SubjectAccessReview) (*authorization.SubjectAccessReview, error) {
	r.Status.Allowed = true
	return r, nil
}

// reporterMetrics are of a reporter that has seen a GPU with all meters.
func reporterMetrics() ([][]string, error) {
	all, meters := serve.NewMetrics(), reporter.Meters{}
	for meter := reporter.MemoryBytes; meter <= reporter.LinkErrors; meter++ {
		meters[meter] = 1
	}
	const uuid = "GPU-00000000-0000-0000-0000-000000000000"
	all.Measure(&gpu.Report{GPUs: []gpu.GPU{{UUID: uuid}}}, map[string]reporter.Meters{uuid: meters}, time.Millisecond)
	all.CountXID(uuid, health.Reset)
	all.CountRound(nil)
	all.CountRequest("write", nil)
	return served(serve.Handler(all, &serve.Health{}, anybody{}), "/metrics")
}

var stability = regexp.MustCompile(`^\[(\w+)\] `)

// served asks a server for its metrics and returns a row for each of ours.
func served(server http.Handler, path string) ([][]string, error) {
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Header.Set("Authorization", "Bearer x")
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %d", path, answer.Code)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for name, family := range families {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		var labels []string
		for _, label := range family.Metric[0].Label {
			labels = append(labels, code(label.GetName()))
		}
		kind := strings.ToLower(family.GetType().String())
		if buckets := family.Metric[0].Histogram.GetBucket(); len(buckets) > 0 {
			var bounds []float64
			for _, bucket := range buckets {
				bounds = append(bounds, bucket.GetUpperBound())
			}
			kind += ", " + span(bounds)
		}
		help := family.GetHelp()
		if found := stability.FindString(help); found != "" && found != "[ALPHA] " {
			return nil, fmt.Errorf("%s has another stability than the page says: %q", name, help)
		}
		rows = append(rows, []string{code(name), kind, strings.Join(labels, ", "), stability.ReplaceAllString(help, "")})
	}
	if len(rows) == 0 {
		return nil, errors.New("none of ours is served")
	}
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return rows, nil
}

// span tells of the buckets of a histogram.
func span(bounds []float64) string {
	bounds = slices.DeleteFunc(bounds, func(bound float64) bool { return bound > 1e300 })
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	return fmt.Sprintf("%d buckets from %s to %s", len(bounds), number(bounds[0]), number(bounds[len(bounds)-1]))
}
