package gang

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/component-base/metrics/testutil"
)

// TestMetricsAreNamedAsPrometheusWantsThem reads them as Prometheus does.
func TestMetricsAreNamedAsPrometheusWantsThem(t *testing.T) {
	domainsPlanned.WithLabelValues("rack").Observe(1) // what was never observed is not served
	served := httptest.NewRecorder()
	legacyregistry.Handler().ServeHTTP(served, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	var ours strings.Builder
	for line := range strings.Lines(served.Body.String()) {
		if strings.Contains(line, "phalanx_") {
			ours.WriteString(line)
		}
	}
	for _, name := range []string{"phalanx_plans_rejected_total", "phalanx_solve_duration_seconds", "phalanx_refusals_repeated_total", "phalanx_plan_domains"} {
		require.Contains(t, ours.String(), "# HELP "+name+" [ALPHA] ")
	}
	problems, err := testutil.NewPromLinter(strings.NewReader(ours.String())).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}
