package controlplane

import (
	"context"
	"fmt"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// ResourceGPU is what a GPU is called in requests and capacities.
	ResourceGPU corev1.ResourceName = "nvidia.com/gpu"
	// podsPerNode is the kubelet's default.
	podsPerNode = 110
	// createParallelism is how many nodes are created at a time: enough to keep the API server busy.
	createParallelism = 16
)

// FakeNode describes a node that kwok keeps alive.
type FakeNode struct {
	Name   string
	Labels map[string]string
	// GPUs under ResourceGPU; a node without any does not name the resource.
	GPUs int64
	// CPUs are whole cores; 0 means 128.
	CPUs int64
	// MemoryGiB is in GiB; 0 means 1,024.
	MemoryGiB int64
}

// NewNode makes the node: schedulable, Ready, with its whole capacity allocatable, and with the hostname label that a
// kubelet sets. The caller may change it before it is created.
func NewNode(spec FakeNode) *corev1.Node {
	if spec.CPUs == 0 {
		spec.CPUs = 128
	}
	if spec.MemoryGiB == 0 {
		spec.MemoryGiB = 1024
	}
	labels := map[string]string{
		corev1.LabelHostname: spec.Name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
	}
	maps.Copy(labels, spec.Labels)
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(spec.CPUs, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(spec.MemoryGiB<<30, resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(podsPerNode, resource.DecimalSI),
	}
	if spec.GPUs > 0 {
		capacity[ResourceGPU] = *resource.NewQuantity(spec.GPUs, resource.DecimalSI)
	}
	now := metav1.NewTime(time.Now())
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: spec.Name, Labels: labels, Annotations: map[string]string{AnnotationNode: "fake"},
		},
		// A node is created with its status, as a kubelet does: one request for each, and the scheduler never sees a
		// node without capacity.
		Status: corev1.NodeStatus{
			Capacity:    capacity,
			Allocatable: capacity.DeepCopy(),
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
				Message: "kubelet is posting ready status", LastHeartbeatTime: now, LastTransitionTime: now,
			}},
			NodeInfo: corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: "amd64", KubeletVersion: "fake"},
		},
	}
}

// CreateNodes creates the nodes, many at a time, and ends with the first error.
func CreateNodes(ctx context.Context, client kubernetes.Interface, nodes []*corev1.Node) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(createParallelism)
	for _, node := range nodes {
		group.Go(func() error {
			if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("creating node %s: %w", node.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}
