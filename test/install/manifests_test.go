package install

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

const enforce = "pod-security.kubernetes.io/enforce"

// objections is what the Pod Security Standard "restricted" has against a pod.
func objections(t *testing.T, w workload) string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	results := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &w.ObjectMeta, &w.Spec))
	return results.ForbiddenDetail()
}

func TestPodsAreRestricted(t *testing.T) {
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			objects := render(t, overlay)
			level := "restricted"
			if overlay == "reporter-hostpath" { // which says so, and why
				level = "privileged"
			}
			for _, namespace := range all[v1.Namespace](t, objects, "Namespace") {
				assert.Equal(t, level, namespace.Labels[enforce], namespace.Name)
				assert.Equal(t, "latest", namespace.Labels[enforce+"-version"], namespace.Name)
			}
			for _, w := range workloads(t, objects) {
				if level == "privileged" {
					assert.Contains(t, objections(t, w), "privileged", w.name)
					continue
				}
				assert.Empty(t, objections(t, w), w.name)
				assert.True(t, *w.container().SecurityContext.ReadOnlyRootFilesystem, w.name)
				assert.NotZero(t, *w.Spec.SecurityContext.RunAsUser, w.name)
			}
		})
	}
}

func TestPodsHaveBounds(t *testing.T) {
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			objects := render(t, overlay)
			for _, w := range workloads(t, objects) {
				c := w.container()
				for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory} {
					assert.Positive(t, c.Resources.Requests.Name(name, resource.DecimalSI).Sign(), "%s requests %s", w.name, name)
					assert.Positive(t, c.Resources.Limits.Name(name, resource.DecimalSI).Sign(), "%s limits %s", w.name, name)
				}
				assert.NotEmpty(t, w.Spec.PriorityClassName, w.name)
				i := slices.IndexFunc(c.Env, func(e v1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
				require.GreaterOrEqual(t, i, 0, w.name)
				soft, err := resource.ParseQuantity(regexp.MustCompile(`B$`).ReplaceAllString(c.Env[i].Value, ""))
				require.NoError(t, err)
				hard := c.Resources.Limits.Memory().Value()
				assert.Less(t, soft.Value(), hard*19/20, "%s: Go must notice before the kernel does", w.name)
				assert.Greater(t, soft.Value(), hard/2, w.name)
			}
			for _, budget := range all[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget") {
				assert.True(t, isSelected(t, budget.Spec.Selector, workloads(t, objects)), budget.Name)
			}
			if overlay != "monitoring" && overlay[:3] != "rep" {
				assert.Len(t, all[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget"), 1)
			}
		})
	}
}

func isSelected(t *testing.T, selector *metav1.LabelSelector, among []workload) bool {
	t.Helper()
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	require.NoError(t, err)
	return slices.ContainsFunc(among, func(w workload) bool { return parsed.Matches(labels.Set(w.Labels)) })
}

// TestTokensAreShortLived: no pod gets a token that it did not ask for, and those that ask get one for an hour. Without an
// audience it is for the API server, and for nobody else: see TestTheSchedulerRunsAsItsPodDoes.
func TestTokensAreShortLived(t *testing.T) {
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			objects := render(t, overlay)
			for _, account := range all[v1.ServiceAccount](t, objects, "ServiceAccount") {
				assert.False(t, *account.AutomountServiceAccountToken, account.Name)
			}
			for _, w := range workloads(t, objects) {
				assert.False(t, *w.Spec.AutomountServiceAccountToken, w.name)
				tokens := 0
				for _, volume := range w.Spec.Volumes {
					assert.Nil(t, volume.Secret, w.name)
					if volume.Projected == nil {
						continue
					}
					for _, source := range volume.Projected.Sources {
						assert.Nil(t, source.Secret, w.name)
						if source.ServiceAccountToken != nil {
							tokens++
							assert.LessOrEqual(t, *source.ServiceAccountToken.ExpirationSeconds, int64(3600), w.name)
							assert.Empty(t, source.ServiceAccountToken.Audience, w.name)
						}
					}
				}
				assert.Equal(t, 1, tokens, w.name)
				for _, mount := range w.container().VolumeMounts {
					assert.True(t, mount.ReadOnly, "%s: %s", w.name, mount.Name)
				}
				for _, env := range w.container().Env {
					assert.True(t, env.ValueFrom == nil || env.ValueFrom.SecretKeyRef == nil, "%s: %s", w.name, env.Name)
				}
			}
		})
	}
}

func TestTheNetworkIsClosed(t *testing.T) {
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			objects := render(t, overlay)
			policies := all[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy")
			for _, w := range workloads(t, objects) {
				var denied, named int
				for _, p := range policies {
					if p.Namespace != w.namespace || !isSelected(t, &p.Spec.PodSelector, []workload{w}) {
						continue
					}
					assert.ElementsMatch(t, []networkingv1.PolicyType{"Ingress", "Egress"}, p.Spec.PolicyTypes, p.Name)
					if len(p.Spec.PodSelector.MatchLabels) == 0 {
						denied++
						assert.Empty(t, p.Spec.Ingress)
						assert.Empty(t, p.Spec.Egress)
						continue
					}
					named++
					examine(t, w, p)
				}
				assert.Equal(t, 1, denied, "%s: what is not allowed is denied", w.name)
				assert.Equal(t, 1, named, w.name)
			}
		})
	}
}

// examine looks at what a policy lets through to and from a workload.
func examine(t *testing.T, w workload, p *networkingv1.NetworkPolicy) {
	t.Helper()
	port := listensOn(t, w)
	require.Len(t, p.Spec.Ingress, 1)
	require.Len(t, p.Spec.Ingress[0].Ports, 1)
	assert.Equal(t, port, p.Spec.Ingress[0].Ports[0].Port.IntVal)
	assert.Equal(t, port, w.container().Ports[0].ContainerPort)
	require.NotEmpty(t, p.Spec.Ingress[0].From, "an empty list is everybody")
	for _, peer := range p.Spec.Ingress[0].From {
		assert.False(t, isEmpty(peer), "ingress from everybody")
		assert.Nil(t, peer.IPBlock)
	}
	for _, rule := range p.Spec.Egress {
		require.NotEmpty(t, rule.To, "an empty list is everybody")
		require.NotEmpty(t, rule.Ports, "an empty list is all ports")
		for _, peer := range rule.To {
			assert.False(t, isEmpty(peer), "egress to everybody")
		}
	}
}

// isEmpty is true for a peer that is all pods, of the namespace or of the cluster.
func isEmpty(p networkingv1.NetworkPolicyPeer) bool {
	says := func(s *metav1.LabelSelector) bool { return s != nil && len(s.MatchLabels)+len(s.MatchExpressions) > 0 }
	return p.IPBlock == nil && !says(p.NamespaceSelector) && !says(p.PodSelector)
}

var defaultPort = regexp.MustCompile(`--secure-port \w+ [^\n]*\(default (\d+)\)`)

// listensOn asks the program itself on which port it listens; the manifests do not tell it otherwise.
func listensOn(t *testing.T, w workload) int32 {
	t.Helper()
	for _, arg := range w.container().Args {
		require.NotContains(t, arg, "port")
	}
	help, err := exec.CommandContext(t.Context(), program(t, w.name), "--help").CombinedOutput()
	require.NoError(t, err, "%s", help)
	found := defaultPort.FindSubmatch(help)
	require.NotNil(t, found, "%s", help)
	port, err := strconv.ParseInt(string(found[1]), 10, 32)
	require.NoError(t, err)
	return int32(port)
}

var build = sync.OnceValues(func() (string, error) { return cluster.BuildScheduler(context.Background()) })

// program returns the path of scheduler or reporter, which are built as `make build` does.
func program(t *testing.T, name string) string {
	t.Helper()
	scheduler, err := build()
	require.NoError(t, err)
	return filepath.Join(filepath.Dir(scheduler), name)
}
