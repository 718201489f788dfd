package install

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authentication "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/component-base/metrics/testutil"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/apiserver"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/serve"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// families are the names of the series in what is served, as Prometheus stores them, each with the names of its labels.
func families(t *testing.T, text string) map[string]sets.Set[string] {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err)
	found := map[string]sets.Set[string]{}
	for name, family := range parsed {
		labels := sets.New[string]()
		for _, metric := range family.Metric {
			for _, label := range metric.Label {
				labels.Insert(label.GetName())
			}
		}
		found[name] = labels
		if family.Metric[0].Histogram != nil {
			found[name+"_bucket"], found[name+"_sum"], found[name+"_count"] = labels.Union(sets.New("le")), labels, labels
		}
	}
	return found
}

// expressions are those of all alerts and dashboards, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, object := range render(t, "monitoring") {
		switch object.GetKind() {
		case "PrometheusRule":
			var rules struct {
				Spec struct {
					Groups []struct {
						Rules []struct{ Alert, Expr string }
					}
				}
			}
			text, err := object.MarshalJSON()
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, &rules))
			for _, group := range rules.Spec.Groups {
				for _, rule := range group.Rules {
					found["alert "+rule.Alert] = rule.Expr
				}
			}
		case "ConfigMap":
			for file, text := range as[v1.ConfigMap](t, object).Data {
				var board struct {
					Panels []struct {
						Title   string
						Targets []struct{ RefID, Expr string }
					}
				}
				require.NoError(t, json.Unmarshal([]byte(text), &board), file)
				for _, panel := range board.Panels {
					require.NotEmpty(t, panel.Targets, panel.Title)
					for _, target := range panel.Targets {
						found[fmt.Sprintf("%s: %s, %s", file, panel.Title, target.RefID)] = target.Expr
					}
				}
			}
		}
	}
	require.NotEmpty(t, found)
	return found
}

var (
	quoted     = regexp.MustCompile(`"[^"]*"`)
	rangeOf    = regexp.MustCompile(`\[[^\]]*\]`)
	grouping   = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	selector   = regexp.MustCompile(`([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}`)
	identifier = regexp.MustCompile(`[a-zA-Z_:][\w:]*\s*\(?`)
	word       = regexp.MustCompile(`\w+`)
)

// names takes an expression apart: the series that it names, each with the labels that it selects by, and the labels by which
// it groups. It knows as much of PromQL as the expressions here use.
func names(expression string) (series map[string][]string, grouped []string) {
	series = map[string][]string{}
	text := rangeOf.ReplaceAllString(quoted.ReplaceAllString(expression, ""), "")
	for _, match := range grouping.FindAllStringSubmatch(text, -1) {
		grouped = append(grouped, word.FindAllString(match[1], -1)...)
	}
	text = grouping.ReplaceAllString(text, " ")
	for _, match := range selector.FindAllStringSubmatch(text, -1) {
		series[match[1]] = append(series[match[1]], word.FindAllString(match[2], -1)...)
	}
	text = selector.ReplaceAllString(text, " ")
	for _, name := range identifier.FindAllString(text, -1) {
		if isKeyword := sets.New("and", "or", "unless", "bool").Has(strings.TrimSpace(name)); !isKeyword && !strings.HasSuffix(name, "(") {
			series[strings.TrimSpace(name)] = append(series[strings.TrimSpace(name)], []string{}...)
		}
	}
	return series, grouped
}

func TestNamesAreTakenFromExpressions(t *testing.T) {
	series, grouped := names(`histogram_quantile(0.99, sum by (le, node) (rate(a_bucket{job="b",c=~"d|e"}[$__rate_interval]))) > 1 and f == 2`)
	assert.Equal(t, map[string][]string{"a_bucket": {"job", "c"}, "f": nil}, series)
	assert.Equal(t, []string{"le", "node"}, grouped)
}

// ofPrometheus are what Prometheus adds: labels to all series, and a series.
var ofPrometheus = sets.New("job", "pod", "node", "instance", "namespace")

// missing says which names of an expression nobody serves.
func missing(expression string, served map[string]sets.Set[string]) []string {
	var complaints []string
	series, grouped := names(expression)
	labels := sets.New[string]()
	for name, selected := range series {
		have, isServed := served[name]
		if !isServed {
			complaints = append(complaints, name)
			continue
		}
		labels = labels.Union(have)
		for _, label := range selected {
			if !have.Has(label) && !ofPrometheus.Has(label) {
				complaints = append(complaints, name+"{"+label+"}")
			}
		}
	}
	for _, label := range grouped {
		if !labels.Has(label) && !ofPrometheus.Has(label) {
			complaints = append(complaints, "by "+label)
		}
	}
	return complaints
}

// lookAtTheMetrics: Prometheus may read them, and all that alerts and dashboards name is there, after one gang has started.
func (s *site) lookAtTheMetrics(t *testing.T) {
	request := &authentication.TokenRequest{}
	token, err := s.client.CoreV1().ServiceAccounts("monitoring").CreateToken(t.Context(), "prometheus-k8s", request, metav1.CreateOptions{})
	require.NoError(t, err)
	served := map[string]sets.Set[string]{"up": nil}
	add := func(text string) {
		for name, labels := range families(t, text) {
			served[name] = labels.Union(served[name])
		}
	}
	leaders := 0
	for name, replica := range maps.Clone(s.running) {
		s.eventually(t, func() string {
			if status, body := cluster.Ask(t.Context(), replica.address, "/metrics", token.Status.Token); status != 200 {
				return fmt.Sprintf("the metrics of %s: %d %s", name, status, body)
			}
			return ""
		})
		status, text := cluster.Ask(t.Context(), replica.address, "/metrics", token.Status.Token)
		require.Equal(t, 200, status, name)
		add(text)
		if replica.program != "phalanx-scheduler" {
			continue
		}
		if strings.Contains(text, `leader_election_master_status{name="phalanx-scheduler"} 1`) {
			leaders++
			lookAtOurs(t, text)
		} else {
			assert.NotContains(t, text, "phalanx_gangs_waiting{", "what would count twice")
		}
	}
	assert.Equal(t, 1, leaders)
	add(s.reporterMetrics(t, token.Status.Token))
	for where, expression := range expressions(t) {
		assert.Empty(t, missing(expression, served), "%s: %s", where, expression)
	}
	assert.NotEmpty(t, missing(`sum by (colour) (phalanx_gangs_waiting{shape="round"})`, served))
}

// lookAtOurs reads what the leader measures of gangs and the cluster: the page's gang took two of four nodes.
func lookAtOurs(t *testing.T, text string) {
	t.Helper()
	for _, line := range []string{
		`phalanx_gangs_waiting{reason=""} 0`,
		`phalanx_gangs_waiting{reason="InsufficientGPUs"} 0`,
		`phalanx_free_slots{gpus="8",level="cluster"} 2`,
		`phalanx_free_slots{gpus="4",level="cluster"} 4`,
		`phalanx_free_slots{gpus="1",level="node"} 8`,
		`phalanx_plan_domains_sum{level="node"} 2`,
		`phalanx_plan_domains_count{level="node"} 1`,
	} {
		assert.Contains(t, text, line+"\n")
	}
	assert.Equal(t, len(gang.Reasons())+1, strings.Count(text, "\nphalanx_gangs_waiting{"))
	var ours strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, "phalanx_") {
			ours.WriteString(line)
		}
	}
	problems, err := testutil.NewPromLinter(strings.NewReader(ours.String())).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)
}

// reporterMetrics are what a reporter serves that has seen a GPU with all meters, behind its own gate.
func (s *site) reporterMetrics(t *testing.T, token string) string {
	t.Helper()
	metrics := serve.NewMetrics()
	meters := reporter.Meters{}
	for meter := reporter.MemoryBytes; meter <= reporter.LinkErrors; meter++ {
		meters[meter] = 1
	}
	const uuid = "GPU-00000000-0000-0000-0000-000000000000"
	metrics.Measure(&gpu.Report{GPUs: []gpu.GPU{{UUID: uuid}}}, map[string]reporter.Meters{uuid: meters}, time.Millisecond)
	metrics.CountXID(uuid, health.Reset)
	metrics.CountRound(nil)
	metrics.CountRequest("write", nil)
	reviewer, err := apiserver.New(s.AdminConfig())
	require.NoError(t, err)
	server := httptest.NewTLSServer(serve.Handler(metrics, &serve.Health{}, reviewer))
	defer server.Close()
	status, text := cluster.Ask(t.Context(), server.Listener.Addr().String(), "/metrics", token)
	require.Equal(t, 200, status)
	return text
}
