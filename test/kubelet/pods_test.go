package kubelet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

const (
	namespace = metav1.NamespaceDefault
	image     = "registry.k8s.io/pause:3.10" // nobody runs it
)

// sentences that a pod shows while it waits.
const (
	unhealthyNode = "node(s) had an unhealthy GPU that a new pod could get"
	badlyLinked   = "node(s) had no GPUs left that are linked as required"
	unseenLinks   = "node(s) had GPUs left of which it is not known whether they are linked as required"
	tooFew        = "Insufficient nvidia.com/gpu"
)

// pod creates a pod that only this node can have, with one container of so many GPUs.
func (n *node) pod(name string, gpus int, changes ...func(*v1.Pod)) {
	n.t.Helper()
	grace := int64(1)
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: n.called(name), Namespace: namespace, Labels: map[string]string{"node": n.name}},
		Spec: v1.PodSpec{
			SchedulerName: "phalanx", NodeSelector: map[string]string{v1.LabelHostname: n.name},
			RestartPolicy: v1.RestartPolicyNever, TerminationGracePeriodSeconds: &grace,
			Containers: []v1.Container{container("main", gpus)},
		},
	}
	for _, change := range changes {
		change(p)
	}
	_, err := shared.Client.CoreV1().Pods(namespace).Create(n.t.Context(), p, metav1.CreateOptions{})
	require.NoError(n.t, err)
}

// called makes a name of the test's one of the cluster's.
func (n *node) called(name string) string { return n.name + "-" + name }

func container(name string, gpus int) v1.Container {
	return v1.Container{Name: name, Image: image, Resources: v1.ResourceRequirements{
		Limits: v1.ResourceList{controlplane.ResourceGPU: *resource.NewQuantity(int64(gpus), resource.DecimalSI)},
	}}
}

// requiring has all GPUs of a container linked so, or better.
func requiring(link string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Annotations = map[string]string{gang.GPULinkKey: "required:" + link} }
}

func (n *node) get(ctx context.Context, name string) (*v1.Pod, error) {
	return shared.Client.CoreV1().Pods(namespace).Get(ctx, n.called(name), metav1.GetOptions{})
}

// shown is the GPUs that a pod's status names, each once.
func shown(p *v1.Pod) (uuids []string) {
	for _, s := range append(slices.Clone(p.Status.InitContainerStatuses), p.Status.ContainerStatuses...) {
		for _, r := range s.AllocatedResourcesStatus {
			for _, h := range r.Resources {
				if uuid := string(h.ResourceID); !slices.Contains(uuids, uuid) {
					uuids = append(uuids, uuid)
				}
			}
		}
	}
	return uuids
}

// waitRunning waits until a pod runs and shows so many GPUs, and returns these.
func (n *node) waitRunning(name string, gpus int) (uuids []string) {
	n.t.Helper()
	n.waitPod(name, fmt.Sprintf("that runs with %d GPUs", gpus), func(p *v1.Pod) bool {
		uuids = shown(p)
		return p.Status.Phase == v1.PodRunning && len(uuids) == gpus
	})
	return uuids
}

// waitSaying waits until a pod waits and says this.
func (n *node) waitSaying(name, part string) {
	n.t.Helper()
	n.waitPod(name, "that says "+part, func(p *v1.Pod) bool {
		return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
			return c.Type == v1.PodScheduled && c.Status == v1.ConditionFalse && strings.Contains(c.Message, part)
		})
	})
}

// waitPod waits until something holds of a pod, whatever it is.
func (n *node) waitPod(name, what string, holds func(*v1.Pod) bool) {
	n.t.Helper()
	n.eventually(func(ctx context.Context) string {
		p, err := n.get(ctx, name)
		switch {
		case err != nil:
			return err.Error()
		case holds(p):
			return ""
		}
		return fmt.Sprintf("pod %s %s: it is %s on node %q, %s %s, shows %v, %v", name, what, p.Status.Phase, p.Spec.NodeName, p.Status.Reason, p.Status.Message, shown(p), p.Status.Conditions)
	})
}

// finish lets a container come to its end.
func (n *node) finish(pod, container string) {
	n.t.Helper()
	r := n.runtime.RuntimeService
	var ids []string
	r.Lock()
	for id, c := range r.Containers {
		if c.Labels["io.kubernetes.pod.name"] == n.called(pod) && c.Metadata.Name == container {
			ids = append(ids, id)
		}
	}
	r.Unlock()
	require.Len(n.t, ids, 1, "the container runs")
	require.NoError(n.t, r.StopContainer(n.t.Context(), ids[0], 0))
}

// remove deletes a pod and waits until it is gone: the kubelet has let go of its GPUs then.
func (n *node) remove(name string) {
	n.t.Helper()
	require.NoError(n.t, shared.Client.CoreV1().Pods(namespace).Delete(n.t.Context(), n.called(name), metav1.DeleteOptions{}))
	n.eventually(func(ctx context.Context) string {
		if p, err := n.get(ctx, name); err == nil {
			return fmt.Sprintf("the end of pod %s, which is %s", name, p.Status.Phase)
		}
		return ""
	})
}

// free is the GPUs that no pod's status names.
func (n *node) free() []string {
	n.t.Helper()
	pods, err := shared.Client.CoreV1().Pods(namespace).List(n.t.Context(), metav1.ListOptions{LabelSelector: "node=" + n.name})
	require.NoError(n.t, err)
	free := n.uuids()
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Status.Phase != v1.PodSucceeded {
			free = slices.DeleteFunc(free, func(uuid string) bool { return slices.Contains(shown(p), uuid) })
		}
	}
	return free
}
