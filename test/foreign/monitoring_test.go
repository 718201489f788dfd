// Package foreign proves that Helm, Prometheus and its operator understand our files, by their own libraries: that the chart renders
// what the manifests are, and that alerts and dashboards ask questions that Prometheus can answer. Whether there is anything to be
// asked for is proved in test/install.
package foreign

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// read reads an object as what it is; a field that its kind does not have is an error.
func read(t *testing.T, object map[string]any, into any) {
	t.Helper()
	text, err := yaml.Marshal(object)
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(text, into))
}

func TestTheOperatorKnowsWhatToScrape(t *testing.T) {
	all := kustomized(t, "monitoring")
	monitors := 0
	for key, object := range all {
		if !strings.HasPrefix(key, "ServiceMonitor ") {
			continue
		}
		monitors++
		var monitor monitoring.ServiceMonitor
		read(t, object, &monitor)
		service := all["Service "+strings.TrimPrefix(key, "ServiceMonitor ")]
		require.NotNil(t, service, "a Service of the name of %s", key)
		labels := service["metadata"].(map[string]any)["labels"].(map[string]any)
		require.NotEmpty(t, monitor.Spec.Selector.MatchLabels)
		for label, value := range monitor.Spec.Selector.MatchLabels {
			assert.Equal(t, value, labels[label], key)
		}
		assert.Contains(t, labels, monitor.Spec.JobLabel, "alerts select by it")
		require.Len(t, monitor.Spec.Endpoints, 1)
		assert.Equal(t, service["spec"].(map[string]any)["ports"].([]any)[0].(map[string]any)["name"], monitor.Spec.Endpoints[0].Port)
	}
	assert.Equal(t, 2, monitors)
}

// variable is Grafana's, which it replaces before it asks Prometheus.
var variable = regexp.MustCompile(`\$__\w+`)

func TestPrometheusCanAnswer(t *testing.T) {
	prometheus := parser.NewParser(parser.Options{})
	parse := func(where, expression string) {
		_, err := prometheus.ParseExpr(variable.ReplaceAllString(expression, "5m"))
		assert.NoError(t, err, where)
	}
	rules, panels := 0, 0
	for key, object := range kustomized(t, "monitoring") {
		switch kind, _, _ := strings.Cut(key, " "); kind {
		case "PrometheusRule":
			var list monitoring.PrometheusRule
			read(t, object, &list)
			for _, group := range list.Spec.Groups {
				for _, rule := range group.Rules {
					rules++
					parse(rule.Alert, rule.Expr.String())
					assert.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
					assert.Contains(t, []string{"critical", "warning", "info"}, rule.Labels["severity"], rule.Alert)
				}
			}
		case "ConfigMap":
			for file, text := range object["data"].(map[string]any) {
				var board struct {
					Panels []struct {
						ID      int
						Title   string
						Targets []struct{ Expr string }
					}
				}
				require.NoError(t, json.Unmarshal([]byte(text.(string)), &board), file)
				for _, panel := range board.Panels {
					for _, target := range panel.Targets {
						panels++
						parse(file+": "+panel.Title, target.Expr)
					}
				}
			}
		}
	}
	assert.NotZero(t, rules)
	assert.NotZero(t, panels)
}
