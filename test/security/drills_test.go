package security

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter/apiserver"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// drill is a cluster on which the runbook is tried, with the audit policy of the manifests.
type drill struct {
	scene
	ours *cluster.Scheduler
}

// profiles are the scheduler names of the manifests, one of which a drill takes out.
const profiles = `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: true, resourceName: phalanx-scheduler, resourceNamespace: phalanx-system}
profiles:
- schedulerName: phalanx
- schedulerName: volcano
`

// TestTheRunbooksDrills tries them one after the other, as an administrator would have to. What an operator does to Deployments is done
// here to the process: a pod that is deleted is a process that gets SIGTERM.
func TestTheRunbooksDrills(t *testing.T) {
	d := newDrill(t)
	for _, step := range []struct {
		heading string
		try     func(*testing.T)
	}{
		{"Disable a profile", d.disableProfile},
		{"Stop scheduling", d.scaleToZero},
		{"Fall back to the default scheduler", d.fallBack},
		{"Cut off a reporter", d.cutOffReporter},
		{"Cut off the scheduler", d.cutOffScheduler},
	} {
		assert.Contains(t, read(t, "docs/runbook.md"), "\n### "+step.heading+"\n")
		require.True(t, t.Run(step.heading, step.try))
	}
	headings := regexp.MustCompile(`(?m)^### `).FindAllString(section(read(t, "docs/runbook.md"), "Drills"), -1)
	assert.Len(t, headings, 5, "a drill of the runbook that is not tried here")

	t.Run("the audit log says who bound and who reported", func(t *testing.T) { d.audit(t) })
}

func newDrill(t *testing.T) *drill {
	c := startCluster(t, cluster.Options{Options: controlplane.Options{AuditPolicyFile: filepath.Join(root(t), "manifests/audit/policy.yaml")}})
	once, err := os.ReadFile("testdata/once.yaml")
	require.NoError(t, err)
	require.NoError(t, c.Apply(t.Context(), once))
	require.NoError(t, controlplane.CreateNodes(t.Context(), c.Client, []*v1.Node{
		controlplane.NewNode(controlplane.FakeNode{Name: "node-0", GPUs: 8}), controlplane.NewNode(controlplane.FakeNode{Name: "node-1", GPUs: 8}),
	}))
	d := &drill{scene: scene{t, &record{Cluster: c}, metav1.NamespaceDefault}}
	require.NoError(t, c.Apply(t.Context(), []byte(`
apiVersion: v1
kind: Secret
metadata: {name: credentials}
stringData: {token: `+canary+`}
---
apiVersion: scheduling.volcano.sh/v1beta1
kind: PodGroup
metadata: {name: gang}
spec: {minMember: 2}
`)))
	return d
}

// in gives a subtest's messages to itself.
func (d *drill) in(t *testing.T) scene { return scene{t, d.record, d.namespace} }

func (d *drill) start(t *testing.T, name, config string) {
	t.Helper()
	ours, err := d.StartScheduler(t.Context(), cluster.SchedulerOptions{Name: name, Config: config, Elect: true})
	require.NoError(t, err)
	d.ours = ours
}

func named(scheduler string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.SchedulerName = scheduler }
}

func (d *drill) disableProfile(t *testing.T) {
	s := d.in(t)
	d.start(t, "all-profiles", profiles)
	s.pod("runs", 1, named("volcano"))
	s.waitBound("runs")
	require.NoError(t, d.ours.Stop())

	d.start(t, "one-profile", strings.ReplaceAll(profiles, "- schedulerName: volcano\n", ""))
	s.pod("waits", 1, named("volcano"))
	s.pod("fence", 1)
	s.waitBound("fence")
	assert.Empty(t, s.node("waits"), "its profile is not served")
	assert.NotEmpty(t, s.node("runs"), "what runs stays")
	require.NoError(t, d.ours.Stop())

	d.start(t, "all-profiles-again", profiles)
	s.waitBound("waits")
}

func (d *drill) scaleToZero(t *testing.T) {
	s := d.in(t)
	require.NoError(t, d.ours.Stop())
	lease, err := d.Client.CoordinationV1().Leases(cluster.Namespace).Get(t.Context(), "phalanx-scheduler", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Empty(t, ptr.Deref(lease.Spec.HolderIdentity, ""), "the lease is given back, so that the next one need not wait")
	s.pod("gang-0", 4, inVolcano("gang"))
	s.pod("gang-1", 4, inVolcano("gang"))
	assert.NotEmpty(t, s.node("fence"), "what runs stays")

	d.start(t, "scaled-up", profiles)
	s.waitBound("gang-0", "gang-1")
}

// fallBack has Kubernetes' own scheduler take pods that name it, on nodes where pods of ours run.
func (d *drill) fallBack(t *testing.T) {
	s := d.in(t)
	require.NoError(t, d.ours.Stop())
	s.pod("stuck", 4)
	program := filepath.Join(t.TempDir(), "kube-scheduler")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "k8s.io/kubernetes/cmd/kube-scheduler").CombinedOutput()
	require.NoError(t, err, "%s", out)
	kubeconfig, err := d.Kubeconfig("system:kube-scheduler")
	require.NoError(t, err)
	path, err := d.WriteKubeconfig("kube-scheduler", kubeconfig)
	require.NoError(t, err)
	process, err := d.StartProcess("kube-scheduler", program, "--kubeconfig="+path, "--secure-port=0", "--leader-elect=false")
	require.NoError(t, err)
	// The name of a pod's scheduler cannot be changed: it is made anew.
	assert.Empty(t, s.node("stuck"))
	require.NoError(t, d.Client.CoreV1().Pods(s.namespace).Delete(t.Context(), "stuck", *metav1.NewDeleteOptions(0)))
	s.pod("stuck", 4, named(v1.DefaultSchedulerName))
	s.waitBound("stuck")
	for _, name := range []string{"runs", "fence", "gang-0", "gang-1"} {
		assert.NotEmpty(t, s.node(name), "what runs stays")
	}
	require.NoError(t, process.Stop())
	d.start(t, "back", profiles)
}

func (d *drill) cutOffReporter(t *testing.T) {
	api, err := apiserver.New(reporterConfig(t, d.Cluster, "node-1"))
	require.NoError(t, err)
	publishReport(t, api, "node-1")
	require.NoError(t, d.Client.CoreV1().Pods(reporterNamespace).Delete(t.Context(), "reporter-node-1", *metav1.NewDeleteOptions(0)))
	eventually(t, func(ctx context.Context) string { // the API server remembers for some seconds whom it knows
		if _, err := api.Node(ctx, "node-1"); !apierrors.IsUnauthorized(err) {
			return "the token of a pod that is gone to be refused"
		}
		return ""
	})
}

func (d *drill) cutOffScheduler(t *testing.T) {
	s := d.in(t)
	require.NoError(t, d.Client.RbacV1().ClusterRoleBindings().Delete(t.Context(), "phalanx-scheduler", metav1.DeleteOptions{}))
	stolen := *d.AdminConfig()
	stolen.CertData, stolen.KeyData, stolen.BearerToken = nil, nil, tokenOf(t, d.Cluster, cluster.Namespace, cluster.ServiceAccount)
	client, err := kubernetes.NewForConfig(&stolen)
	require.NoError(t, err)
	eventually(t, func(ctx context.Context) string {
		if _, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			return "its account to be refused"
		}
		return ""
	})
	assert.NotEmpty(t, s.node("runs"), "what runs stays")
	require.NoError(t, d.ours.Stop())
	require.NoError(t, d.Kustomize(t.Context(), "manifests/base"))
	s.pod("after", 1)
	d.start(t, "restored", profiles)
	s.waitBound("after")
}

// audit looks for what was done, and for what must not be written down.
func (d *drill) audit(t *testing.T) {
	text, err := os.ReadFile(d.AuditLogPath())
	require.NoError(t, err)
	assertNoCanary(t, "audit log", string(text))
	bound, reported := map[string]bool{}, false
	for _, made := range requestsOf(t, d.AuditLogPath()) {
		assert.False(t, made.hasBodies, "%s", made)
		assert.Contains(t, []string{schedulerUser, reporterUser}, made.user)
		assert.NotContains(t, []string{"get", "list", "watch"}, made.verb, "%s", made)
		if made.user == schedulerUser && made.resource == "pods/binding" && made.code == http.StatusCreated {
			bound[made.name] = true
		}
		reported = reported || made.user == reporterUser && made.resource == "nodes/status" && made.verb == "patch" && made.name == "node-1"
	}
	for _, name := range []string{"runs", "fence", "waits", "gang-0", "gang-1", "after"} {
		assert.True(t, bound[name], "the binding of %s", name)
	}
	assert.True(t, reported, "the report of node-1")
}

// node is the one that a pod has.
func (s scene) node(name string) string {
	s.t.Helper()
	p, err := s.Client.CoreV1().Pods(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	require.NoError(s.t, err)
	return p.Spec.NodeName
}
