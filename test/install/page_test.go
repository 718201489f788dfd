package install

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/publish"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

const (
	// patience bounds one block of commands.
	patience = 3 * time.Minute
	nodes    = 4
)

// section is a part of the page: its commands, block by block.
type section struct {
	title  string
	blocks []string
}

// sections reads the page. What is in a block with the word sh is a command.
func sections(page string) []section {
	var found []section
	for _, part := range strings.Split("\n"+page, "\n## ")[1:] {
		title, rest, _ := strings.Cut(part, "\n")
		s := section{title: title}
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(rest, -1) {
			s.blocks = append(s.blocks, block[1])
		}
		found = append(found, s)
	}
	return found
}

// site is a cluster of an administrator who reads the page from top to bottom.
type site struct {
	*kubelet
	dynamic dynamic.Interface
	folder  string // with the manifests in it
	env     []string
	before  sets.Set[string] // what the cluster has before anything is installed
}

// TestTheInstallPage runs every command of docs/install.md in its order, and looks after each section at what the page promises of it.
func TestTheInstallPage(t *testing.T) {
	root, err := cluster.Root()
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "install.md"))
	require.NoError(t, err)
	s := newSite(t, root)
	promised := map[string]func(*testing.T){
		"Install":               s.lookAtTheInstallation,
		"Start a gang":          s.lookAtTheGang,
		"Monitoring":            s.lookAtTheMetrics,
		"Network":               s.lookAtTheNetwork,
		"Other ways":            s.lookAtTheShapes,
		"Upgrade and configure": s.lookAtTheUpgrade,
		"Uninstall":             s.lookAtWhatIsLeft,
	}
	for _, part := range sections(string(page)) {
		if len(part.blocks) == 0 {
			continue
		}
		look, isKnown := promised[part.title]
		require.True(t, isKnown, "what does the section %q promise?", part.title)
		delete(promised, part.title)
		for _, block := range part.blocks {
			s.execute(t, block)
		}
		look(t)
	}
	require.Empty(t, promised, "sections that the page does not have")
}

func newSite(t *testing.T, root string) *site {
	t.Helper()
	bin, err := controlplane.EnsureBinaries(t.Context(), os.Stderr)
	require.NoError(t, err)
	plane, err := controlplane.Start(t.Context(), controlplane.Options{
		Kwok: true, Controllers: true, CRDPaths: []string{filepath.Join("testdata", "crds")},
		AuditPolicyFile: filepath.Join(root, "manifests", "audit", "policy.yaml"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plane.Stop()) })
	client, err := kubernetes.NewForConfig(plane.AdminConfig())
	require.NoError(t, err)
	s := &site{folder: t.TempDir(), kubelet: &kubelet{ControlPlane: plane, client: client, programs: programs(t), running: map[string]*started{}}}
	s.dynamic, err = dynamic.NewForConfig(plane.AdminConfig())
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(filepath.Join(s.folder, "manifests"), os.DirFS(filepath.Join(root, "manifests"))))
	kubeconfig, err := plane.Kubeconfig("administrator", "system:masters")
	require.NoError(t, err)
	path, err := plane.WriteKubeconfig("administrator", kubeconfig)
	require.NoError(t, err)
	s.env = append(os.Environ(), "KUBECONFIG="+path, "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+s.folder)
	s.furnish(t)
	s.before = s.inventory(t)
	return s
}

// programs are what pods run. A reporter that was built without a C compiler ends at once, and so does not run here.
func programs(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{"phalanx-scheduler": program(t, "phalanx-scheduler")}
	out, _ := exec.CommandContext(t.Context(), program(t, "phalanx-reporter"), "--once").CombinedOutput()
	if strings.Contains(string(out), "library libnvidia-ml.so.1 was not found") {
		found["phalanx-reporter"] = program(t, "phalanx-reporter")
	} else {
		t.Logf("reporters run only with a backend and on a machine without a driver: %s", out)
	}
	return found
}

// replicas are the processes of the scheduler.
func (s *site) replicas() map[string]*started {
	found := map[string]*started{}
	for name, process := range s.running {
		if process.program == "phalanx-scheduler" {
			found[name] = process
		}
	}
	return found
}

// furnish makes what the page takes for granted: GPU nodes, what NVIDIA's GPU operator and somebody's Prometheus leave in a cluster.
func (s *site) furnish(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	var list []*v1.Node
	for i := range nodes {
		list = append(list, controlplane.NewNode(controlplane.FakeNode{Name: fmt.Sprintf("node-%d", i), GPUs: 8, Labels: map[string]string{"nvidia.com/gpu.present": "true"}}))
	}
	require.NoError(t, controlplane.CreateNodes(ctx, s.client, list))
	_, err := s.client.NodeV1().RuntimeClasses().Create(ctx, &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "nvidia"}, Handler: "nvidia"}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.client.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "monitoring"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.client.CoreV1().ServiceAccounts("monitoring").Create(ctx, &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "prometheus-k8s"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	s.eventually(t, func() string { // what controllers put into each namespace
		for _, namespace := range []string{"default", "kube-system", "monitoring"} {
			if _, err := s.client.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
				return err.Error()
			}
			if _, err := s.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{}); err != nil {
				return err.Error()
			}
		}
		return ""
	})
}

// execute runs a block as one script, while the nodes go on living.
func (s *site) execute(t *testing.T, block string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", block)
	cmd.Dir, cmd.Env = s.folder, s.env
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			require.NoError(t, err, "%s\n%s", block, &output)
			t.Logf("%s\n%s", block, &output)
			return
		case <-tick.C:
			s.sync(t, "node-0")
		}
	}
}

// eventually waits until missing has nothing to say, while the nodes go on living.
func (s *site) eventually(t *testing.T, missing func() string) {
	t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		s.sync(t, "node-0")
		last = missing()
		return last == "", nil
	})
	require.NoError(t, err, last)
}

// lookAtTheInstallation: two replicas run as their pods would, one leads, the other is ready to; and every object of manifests/default
// is there.
func (s *site) lookAtTheInstallation(t *testing.T) {
	require.Len(t, s.replicas(), 2)
	s.eventually(t, func() string { // a replica is ready before it leads
		lease, err := s.client.CoordinationV1().Leases(cluster.Namespace).Get(t.Context(), "phalanx-scheduler", metav1.GetOptions{})
		require.NoError(t, err)
		if lease.Spec.HolderIdentity == nil {
			return "somebody to hold the lease"
		}
		return ""
	})
	for name, replica := range s.replicas() {
		s.eventually(t, func() string {
			if status, body := cluster.Ask(t.Context(), replica.address, "/readyz", ""); status != 200 {
				return fmt.Sprintf("%s to be ready: it says %d %s", name, status, body)
			}
			return ""
		})
		status, _ := cluster.Ask(t.Context(), replica.address, "/metrics", "")
		assert.Contains(t, []int{401, 403}, status, "metrics are for those who may read them")
	}
	set, err := s.client.AppsV1().DaemonSets("phalanx-reporter").Get(t.Context(), "phalanx-reporter", metav1.GetOptions{})
	require.NoError(t, err)
	assert.EqualValues(t, nodes, set.Status.NumberReady)
	assert.Equal(t, "registry.example.com/phalanx-reporter:v0.1.0", set.Spec.Template.Spec.Containers[0].Image)
}

// gangPods are those of the page's gang.
func (s *site) gangPods(t *testing.T) []v1.Pod {
	t.Helper()
	pods, err := s.client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "job-name=hello"})
	require.NoError(t, err)
	return pods.Items
}

// lookAtTheGang: it runs on nodes that the scheduler gave it, and nothing was done to it since.
func (s *site) lookAtTheGang(t *testing.T) {
	pods := s.gangPods(t)
	require.Len(t, pods, 2)
	for _, pod := range pods {
		assert.Equal(t, v1.PodRunning, pod.Status.Phase)
		assert.NotEmpty(t, pod.Spec.NodeName)
	}
	assert.NotEqual(t, pods[0].Spec.NodeName, pods[1].Spec.NodeName)
	s.eventually(t, func() string { return s.missingInAudit(t, pods) })
}

// missingInAudit returns which bind the audit log does not have; it has no bodies, and nothing of anybody else.
func (s *site) missingInAudit(t *testing.T, pods []v1.Pod) string {
	t.Helper()
	log, err := os.ReadFile(s.AuditLogPath())
	require.NoError(t, err)
	binds := map[string]bool{}
	for line := range strings.Lines(string(log)) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var event auditv1.Event
		require.NoError(t, json.Unmarshal([]byte(line), &event))
		require.Contains(t, []string{"system:serviceaccount:phalanx-system:phalanx-scheduler", "system:serviceaccount:phalanx-reporter:phalanx-reporter"}, event.User.Username)
		require.Nil(t, event.RequestObject)
		require.Nil(t, event.ResponseObject)
		if event.ObjectRef.Subresource == "binding" {
			binds[event.ObjectRef.Name] = true
		}
	}
	for _, pod := range pods {
		if !binds[pod.Name] {
			return "the bind of " + pod.Name + " in the audit log"
		}
	}
	return ""
}

func (s *site) lookAtTheNetwork(t *testing.T) {
	for _, name := range []string{"phalanx-scheduler", "phalanx-reporter"} {
		namespace := map[string]string{"phalanx-scheduler": "phalanx-system", "phalanx-reporter": "phalanx-reporter"}[name]
		policy, err := s.client.NetworkingV1().NetworkPolicies(namespace).Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		require.Len(t, policy.Spec.Egress, 2)
		require.Len(t, policy.Spec.Egress[0].To, 1)
		assert.Equal(t, "192.0.2.10/32", policy.Spec.Egress[0].To[0].IPBlock.CIDR)
		assert.Len(t, policy.Spec.Egress[0].Ports, 2)
		assert.NotNil(t, policy.Spec.Egress[1].To[0].PodSelector, "DNS is as it was")
	}
}

// lookAtTheShapes: the last two on the page win, and the policies stand beside them.
func (s *site) lookAtTheShapes(t *testing.T) {
	deployment, err := s.client.AppsV1().Deployments(cluster.Namespace).Get(t.Context(), "phalanx-scheduler", metav1.GetOptions{})
	require.NoError(t, err)
	assert.EqualValues(t, 1, *deployment.Spec.Replicas)
	set, err := s.client.AppsV1().DaemonSets("phalanx-reporter").Get(t.Context(), "phalanx-reporter", metav1.GetOptions{})
	require.NoError(t, err)
	assert.True(t, *set.Spec.Template.Spec.Containers[0].SecurityContext.Privileged)
	_, err = s.client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(t.Context(), "phalanx-annotations", metav1.GetOptions{})
	require.NoError(t, err)
}

// lookAtTheUpgrade: two replicas are ready again, of the shape that the administrator chose, and the gang has noticed nothing.
func (s *site) lookAtTheUpgrade(t *testing.T) {
	s.lookAtTheGang(t)
	s.eventually(t, func() string {
		if count := len(s.replicas()); count != 2 {
			return fmt.Sprintf("2 replicas: there are %d", count)
		}
		return ""
	})
	s.lookAtTheInstallation(t)
	s.report(t, "node-1")
}

// report puts on a node what a reporter puts there.
func (s *site) report(t *testing.T, node string) {
	t.Helper()
	part := fmt.Sprintf(`{"apiVersion":"v1","kind":"Node","metadata":{"name":%q,"labels":{%q:"H100",%q:"switch",%q:"domain.1"},"annotations":{%q:"{}"}},`+
		`"status":{"conditions":[{"type":"GPUHealthy","status":"True","reason":"AllGPUsOK","message":"8 GPUs are ok","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`,
		node, publish.ProductKey, publish.LinkKey, gang.GPUCliqueKey, gang.GPUReportKey)
	isForced := true
	_, err := s.client.CoreV1().Nodes().Patch(t.Context(), node, types.ApplyPatchType, []byte(part), metav1.PatchOptions{FieldManager: "phalanx-reporter", Force: &isForced}, "status")
	require.NoError(t, err)
}

// lookAtWhatIsLeft: nothing but the page's gang, and that untouched.
func (s *site) lookAtWhatIsLeft(t *testing.T) {
	s.eventually(t, func() string {
		left := s.inventory(t).Difference(s.before)
		for _, pod := range s.gangPods(t) {
			left.Delete("pods default/" + pod.Name)
		}
		left.Delete("jobs.batch default/hello")
		if left.Len() > 0 {
			return fmt.Sprintf("to be gone: %v", sets.List(left))
		}
		return ""
	})
	require.Empty(t, s.running)
	pods := s.gangPods(t)
	require.Len(t, pods, 2)
	for _, pod := range pods {
		assert.Equal(t, v1.PodRunning, pod.Status.Phase)
		assert.Nil(t, pod.DeletionTimestamp)
	}
	for i := range nodes {
		node, err := s.client.CoreV1().Nodes().Get(t.Context(), fmt.Sprintf("node-%d", i), metav1.GetOptions{})
		require.NoError(t, err)
		for key := range node.Labels {
			assert.NotContains(t, key, gang.KeyPrefix)
		}
		for key := range node.Annotations {
			assert.NotContains(t, key, gang.KeyPrefix)
		}
		for _, condition := range node.Status.Conditions {
			assert.NotEqual(t, v1.NodeConditionType("GPUHealthy"), condition.Type)
		}
		assert.NotEmpty(t, node.Status.Conditions, "those of others stay")
	}
}

// passing are kinds whose objects come and go by themselves.
var passing = sets.New("events", "events.events.k8s.io", "leases.coordination.k8s.io", "endpoints", "endpointslices.discovery.k8s.io", "componentstatuses")

// inventory lists all objects of the cluster, by resource, namespace and name.
func (s *site) inventory(t *testing.T) sets.Set[string] {
	t.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(s.AdminConfig())
	require.NoError(t, err)
	lists, err := client.ServerPreferredResources()
	require.NoError(t, err)
	found := sets.New[string]()
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		require.NoError(t, err)
		for _, resource := range list.APIResources {
			full := version.WithResource(resource.Name)
			name := full.GroupResource().String()
			isLease := name == "leases.coordination.k8s.io"
			if passing.Has(name) && !isLease || !sets.New(resource.Verbs...).Has("list") {
				continue
			}
			objects, err := s.dynamic.Resource(full).List(t.Context(), metav1.ListOptions{})
			if apierrors.IsNotFound(err) {
				continue // a kind that goes away at this moment
			}
			require.NoError(t, err)
			for _, object := range objects.Items {
				if isLease && !strings.HasPrefix(object.GetNamespace(), "phalanx") {
					continue
				}
				found.Insert(name + " " + strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/"))
			}
		}
	}
	return found
}
