package security

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// canary is what stands in secrets, environments and annotations of the rehearsal's objects.
const canary = "canary-1b7e0d"

// verbosity is that of the scheduler's log in the rehearsal: what an administrator turns on to look for a fault. From 5 on
// kube-scheduler prints whole resource claims, with their annotations.
const verbosity = 4

// record is what the rehearsal left.
type record struct {
	*cluster.Cluster
	scheduler *cluster.Scheduler
	requests  []request // of the scheduler and the reporter
	metrics   []string  // the scheduler's, before and after the second round
}

var rehearsal struct {
	sync.Once
	*record
}

// rehearse returns the record of the rehearsal, which is played once.
func rehearse(t *testing.T) *record {
	t.Helper()
	rehearsal.Do(func() { rehearsal.record = play(t) })
	require.NotNil(t, rehearsal.record, "the rehearsal failed")
	return rehearsal.record
}

// play leads scheduler and reporter through all that they do. The second round is as the first, in a namespace of its own.
func play(t *testing.T) *record {
	r := &record{Cluster: startCluster(t, cluster.Options{Options: controlplane.Options{
		Kwok: true, Controllers: true, NativePodGroups: true, AuditPolicyFile: everything(t),
		// Holds whoever makes an object that another one owns to the owner's finalizers, as some distributions do.
		APIServerArgs: map[string][]string{"enable-admission-plugins": {"OwnerReferencesPermissionEnforcement"}},
		ControllerManagerArgs: map[string][]string{"controllers": {strings.Join([]string{
			"serviceaccount-controller", "resourceclaim-controller", "persistentvolume-binder-controller", "podgroup-protection-controller",
		}, ",")}},
	}})}
	once, err := os.ReadFile("testdata/once.yaml")
	require.NoError(t, err)
	require.NoError(t, r.Apply(t.Context(), once))
	var nodes []*v1.Node
	for i := range 5 {
		nodes = append(nodes, controlplane.NewNode(controlplane.FakeNode{Name: fmt.Sprintf("node-%d", i), GPUs: 8}))
	}
	require.NoError(t, controlplane.CreateNodes(t.Context(), r.Client, nodes))
	r.scheduler, err = r.StartScheduler(t.Context(), cluster.SchedulerOptions{Elect: true, Args: deployedArgs(t), V: verbosity})
	require.NoError(t, err)
	r.playReporter(t, "node-4")

	for _, namespace := range []string{"warm-up", "first", "second"} {
		r.playRound(t, namespace)
		r.metrics = append(r.metrics, r.scrapeMetrics(t))
	}
	require.NoError(t, r.scheduler.Failure())
	r.requests = requestsOf(t, r.AuditLogPath())
	return r
}

// playRound leads the scheduler through everything in a namespace, and frees the nodes at its end.
func (r *record) playRound(t *testing.T, namespace string) {
	t.Helper()
	_, err := r.Client.CoreV1().Namespaces().Create(t.Context(), &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join("testdata", "rehearsal.yaml"))
	require.NoError(t, err)
	require.NoError(t, r.Apply(t.Context(), []byte(strings.NewReplacer("NAMESPACE", namespace, "CANARY", canary).Replace(string(text)))))
	s := scene{t, r, namespace}
	s.volcanoJob()
	for _, dialect := range []string{"volcano", "coscheduling", "native"} {
		s.pod(dialect+"-0", 4, inGang(dialect))
		s.pod(dialect+"-1", 4, inGang(dialect))
	}
	for _, group := range []string{"short", "wrong"} {
		s.pod(group+"-0", 1, inVolcano(group))
		s.pod(group+"-1", 1, inVolcano(group))
	}
	s.pod("static", 0, withVolume("static"))
	s.pod("provisioned", 0, withVolume("provisioned"))
	s.pod("devices", 0, withClaim("devices"))
	s.pod("extended", 0, func(p *v1.Pod) { p.Spec.Containers[0].Resources.Limits["example.com/device"] = resource.MustParse("1") })
	s.waitBound("volcano-0", "volcano-1", "coscheduling-0", "coscheduling-1", "native-0", "native-1", "static", "devices", "extended")
	s.waitPhase("volcano", "Running")
	s.waitMessage("short-1", "GangIncomplete: 2 of 3 members exist")
	s.waitMessage("wrong-1", "GangInvalid: ")
	s.waitSelected("provisioned")
	s.preempt()
	s.fail()
	s.clear()
}

// scene is one round.
type scene struct {
	t *testing.T
	*record
	namespace string
}

// pod creates one that is full of secrets.
func (s scene) pod(name string, gpus int64, mutate ...func(*v1.Pod)) {
	s.t.Helper()
	secret := v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{LocalObjectReference: v1.LocalObjectReference{Name: "credentials"}, Key: "token"}}
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace, Annotations: map[string]string{"example.com/note": canary}},
		Spec: v1.PodSpec{
			SchedulerName: "phalanx", RestartPolicy: v1.RestartPolicyNever, TerminationGracePeriodSeconds: ptr.To(int64(0)),
			Containers: []v1.Container{{
				Name: "main", Image: "example.com/image", Args: []string{"--token=" + canary},
				Env:       []v1.EnvVar{{Name: "TOKEN", Value: canary}, {Name: "SECRET", ValueFrom: &secret}},
				Resources: v1.ResourceRequirements{Limits: v1.ResourceList{}},
			}},
		},
	}
	if gpus > 0 {
		p.Spec.Containers[0].Resources.Limits[controlplane.ResourceGPU] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	for _, f := range mutate {
		f(p)
	}
	_, err := s.Client.CoreV1().Pods(s.namespace).Create(s.t.Context(), p, metav1.CreateOptions{})
	require.NoError(s.t, err)
}

func inGang(dialect string) func(*v1.Pod) {
	return map[string]func(*v1.Pod){
		"volcano":      inVolcano(dialect),
		"coscheduling": func(p *v1.Pod) { metav1.SetMetaDataLabel(&p.ObjectMeta, "scheduling.x-k8s.io/pod-group", dialect) },
		"native":       func(p *v1.Pod) { p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &dialect} },
	}[dialect]
}

func inVolcano(group string) func(*v1.Pod) {
	return func(p *v1.Pod) { metav1.SetMetaDataAnnotation(&p.ObjectMeta, "scheduling.k8s.io/group-name", group) }
}

func withVolume(claim string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: "v", VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
	}
}

func withClaim(claim string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "c", ResourceClaimName: &claim}}
		p.Spec.Containers[0].Resources.Claims = []v1.ResourceClaim{{Name: "c"}}
	}
}

func on(node string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{v1.LabelHostname: node} }
}

func prior(class string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.PriorityClassName = class }
}

// preempt has a pod make room for another one.
func (s scene) preempt() {
	s.t.Helper()
	s.pod("low", 8, on("node-3"), prior("low"))
	s.waitBound("low")
	s.pod("high", 8, on("node-3"), prior("high"))
	s.waitBound("high")
}

// fail has the scheduler say the same of a pod twice.
func (s scene) fail() {
	s.t.Helper()
	s.pod("large", 8, on("node-3"))
	s.waitMessage("large", "0/5 nodes are available")
	spares := 0
	eventually(s.t, func(ctx context.Context) string {
		list, err := s.Client.EventsV1().Events(s.namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=FailedScheduling"})
		if err != nil {
			return err.Error()
		}
		for _, e := range list.Items {
			if e.Regarding.Name == "large" && e.Series != nil {
				return ""
			}
		}
		// A pod with a GPU that goes lets others be tried again.
		name := fmt.Sprintf("spare-%d", spares)
		spares++
		s.pod(name, 1, func(p *v1.Pod) { p.Spec.NodeName = "node-2" })
		if err := s.Client.CoreV1().Pods(s.namespace).Delete(ctx, name, *metav1.NewDeleteOptions(0)); err != nil {
			return err.Error()
		}
		return "a second event of a pod that does not fit"
	})
}

// volcanoJob makes a PodGroup without pods: which scheduler it is for, its owner says.
func (s scene) volcanoJob() {
	s.t.Helper()
	jobs := schema.GroupVersionResource{Group: "batch.volcano.sh", Version: "v1alpha1", Resource: "jobs"}
	job, err := s.Dynamic.Resource(jobs).Namespace(s.namespace).Create(s.t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": map[string]any{"name": "job"}, "spec": map[string]any{"schedulerName": "phalanx"},
	}}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	group := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "PodGroup", "metadata": map[string]any{"name": "job"}, "spec": map[string]any{"minMember": int64(1)},
	}}
	group.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(job, jobs.GroupVersion().WithKind("Job"))})
	_, err = s.Dynamic.Resource(volcanoGroups).Namespace(s.namespace).Create(s.t.Context(), group, metav1.CreateOptions{})
	require.NoError(s.t, err)
	s.waitPhase("job", "Inqueue")
}

var volcanoGroups = schema.GroupVersionResource{Group: "scheduling.volcano.sh", Version: "v1beta1", Resource: "podgroups"}

// waitPhase waits until Volcano's PodGroup shows the phase.
func (s scene) waitPhase(name, phase string) {
	s.t.Helper()
	eventually(s.t, func(ctx context.Context) string {
		group, err := s.Dynamic.Resource(volcanoGroups).Namespace(s.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if got, _, _ := unstructured.NestedString(group.Object, "status", "phase"); got != phase {
			return fmt.Sprintf("phase %s of %s, which is %q", phase, name, got)
		}
		return ""
	})
}

func (s scene) waitBound(names ...string) {
	s.t.Helper()
	eventually(s.t, func(ctx context.Context) string {
		for _, name := range names {
			p, err := s.Client.CoreV1().Pods(s.namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err.Error()
			}
			if p.Spec.NodeName == "" {
				return fmt.Sprintf("a node for %s: %v", name, p.Status.Conditions)
			}
		}
		return ""
	})
}

// waitMessage waits until a pod says that it waits, with words that begin so.
func (s scene) waitMessage(name, beginning string) {
	s.t.Helper()
	eventually(s.t, func(ctx context.Context) string {
		p, err := s.Client.CoreV1().Pods(s.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		for _, c := range p.Status.Conditions {
			if c.Type == v1.PodScheduled && c.Status == v1.ConditionFalse && strings.HasPrefix(c.Message, beginning) {
				return ""
			}
		}
		return fmt.Sprintf("%q on %s: %v", beginning, name, p.Status.Conditions)
	})
}

// waitSelected waits until the scheduler said on which node a volume is to be made.
func (s scene) waitSelected(claim string) {
	s.t.Helper()
	eventually(s.t, func(ctx context.Context) string {
		c, err := s.Client.CoreV1().PersistentVolumeClaims(s.namespace).Get(ctx, claim, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if c.Annotations["volume.kubernetes.io/selected-node"] == "" {
			return "a node for claim " + claim
		}
		return ""
	})
}

// clear ends the round.
func (s scene) clear() {
	s.t.Helper()
	pods := s.Client.CoreV1().Pods(s.namespace)
	require.NoError(s.t, pods.DeleteCollection(s.t.Context(), metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}, metav1.ListOptions{}))
	eventually(s.t, func(ctx context.Context) string {
		list, err := pods.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err.Error()
		}
		if len(list.Items) > 0 {
			return fmt.Sprintf("%d pods to go", len(list.Items))
		}
		return ""
	})
}
