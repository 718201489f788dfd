package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

const (
	namespace = "default"
	// gpusPerNode is what each node has, and as many running pods hold one each.
	gpusPerNode = 8
	// A running gang fills four nodes, and a waiting one asks for four whole nodes under one leaf switch: each running one that ends
	// makes room for one that waits.
	nodesPerGang = 4
	runners      = nodesPerGang * gpusPerNode
	nodesPerLeaf = 40
	leavesPerRow = 16
	// parallel is how many requests are under way at a time.
	parallel = 24

	leafKey  = "network.topology.nvidia.com/leaf"
	spineKey = "network.topology.nvidia.com/spine"
	roleKey  = "load" // label of pods: running, waiting, filling, hostile
)

var podGroups = schema.GroupVersionResource{Group: "scheduling.volcano.sh", Version: "v1beta1", Resource: "podgroups"}

// crowd makes what the scheduler has to know.
type crowd struct {
	*cluster.Cluster
	report gpu.Report // of an H100 node; each node gets UUIDs of its own
}

func newCrowd(c *cluster.Cluster) (*crowd, error) {
	root, err := cluster.Root()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "pkg", "gpu", "testdata", "h100.json"))
	if err != nil {
		return nil, err
	}
	report, err := gpu.Parse([]byte(strings.TrimSpace(string(text))))
	return &crowd{Cluster: c, report: report}, err
}

func nodeName(i int) string { return fmt.Sprintf("node-%05d", i) }

func uuid(node, at int) string { return fmt.Sprintf("GPU-%08x-5eed-4c1d-8a2b-%012x", node, at) }

// reportOf is what a node's reporter says. freeMiB is what is free of its first GPU.
func (c *crowd) reportOf(node, freeMiB int) (string, error) {
	r := c.report
	r.GPUs = append([]gpu.GPU(nil), r.GPUs...)
	for at := range r.GPUs {
		r.GPUs[at].UUID = uuid(node, at)
	}
	r.GPUs[0].FreeMiB = gpu.RoundFreeMiB(r.GPUs[0].MemoryMiB, freeMiB)
	text, err := r.Encode()
	return string(text), err
}

// makeNodes makes nodes that report, below switches.
func (c *crowd) makeNodes(ctx context.Context, count int) error {
	nodes := make([]*v1.Node, count)
	for i := range nodes {
		leaf := i / nodesPerLeaf
		n := controlplane.NewNode(controlplane.FakeNode{
			Name: nodeName(i), GPUs: gpusPerNode,
			Labels: map[string]string{leafKey: fmt.Sprint("leaf-", leaf), spineKey: fmt.Sprint("spine-", leaf/leavesPerRow)},
		})
		report, err := c.reportOf(i, c.report.GPUs[0].FreeMiB)
		if err != nil {
			return err
		}
		n.Annotations[gang.GPUReportKey] = report
		nodes[i] = n
	}
	return controlplane.CreateNodes(ctx, c.Client, nodes)
}

// each does so for 0 to count-1, some at a time.
func each(ctx context.Context, count int, do func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range count {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

func (c *crowd) podGroup(ctx context.Context, name string, minMember int, annotations map[string]string) error {
	g := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": podGroups.GroupVersion().String(), "kind": "PodGroup",
		"metadata": map[string]any{"name": name}, "spec": map[string]any{"minMember": int64(minMember)},
	}}
	g.SetAnnotations(annotations)
	_, err := c.Dynamic.Resource(podGroups).Namespace(namespace).Create(ctx, g, metav1.CreateOptions{})
	return err
}

// pod is a pod of the size that people's have.
func pod(name, role, group string, gpus int) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{roleKey: role, "app.kubernetes.io/name": "trainer", "app.kubernetes.io/part-of": "load"},
		Annotations: map[string]string{},
	}}
	if group != "" {
		p.Annotations["scheduling.k8s.io/group-name"] = group
	}
	p.Spec.SchedulerName = "phalanx"
	p.Spec.RestartPolicy = v1.RestartPolicyNever
	main := v1.Container{
		Name: "main", Image: "registry.example/trainer:v1", Command: []string{"torchrun", "--nnodes=4", "--nproc-per-node=8", "train.py"},
		Resources: v1.ResourceRequirements{Limits: v1.ResourceList{
			v1.ResourceCPU: resource.MustParse("4"), v1.ResourceMemory: resource.MustParse("16Gi"),
		}},
		VolumeMounts: []v1.VolumeMount{{Name: "data", MountPath: "/data"}, {Name: "shm", MountPath: "/dev/shm"}},
	}
	for i := range 12 {
		main.Env = append(main.Env, v1.EnvVar{Name: fmt.Sprint("SETTING_", i), Value: "a value of some length, as there are in such pods"})
	}
	if gpus > 0 {
		main.Resources.Limits[controlplane.ResourceGPU] = *resource.NewQuantity(int64(gpus), resource.DecimalSI)
	}
	p.Spec.Containers = []v1.Container{main}
	p.Spec.Volumes = []v1.Volume{
		{Name: "data", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/data"}}},
		{Name: "shm", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}},
	}
	return p
}

// run makes a pod that runs on a node and shows its GPU, "" if it has none.
func (c *crowd) run(ctx context.Context, p *v1.Pod, node, gpuUUID string) error {
	p.Spec.NodeName = node
	made, err := c.Client.CoreV1().Pods(namespace).Create(ctx, p, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	now := metav1.Now()
	made.Status = v1.PodStatus{Phase: v1.PodRunning, StartTime: &now, HostIP: "10.0.0.1", PodIP: "10.1.0.1"}
	for _, kind := range []v1.PodConditionType{v1.PodScheduled, v1.PodInitialized, v1.PodReady, v1.ContainersReady} {
		made.Status.Conditions = append(made.Status.Conditions, v1.PodCondition{Type: kind, Status: v1.ConditionTrue, LastTransitionTime: now})
	}
	status := v1.ContainerStatus{
		Name: "main", Ready: true, Image: "registry.example/trainer:v1", ImageID: "registry.example/trainer@sha256:" + strings.Repeat("5", 64),
		State: v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: now}}, ContainerID: "containerd://" + strings.Repeat("7", 64),
	}
	if gpuUUID != "" {
		status.AllocatedResourcesStatus = []v1.ResourceStatus{{
			Name: controlplane.ResourceGPU, Resources: []v1.ResourceHealth{{ResourceID: v1.ResourceID(gpuUUID), Health: v1.ResourceHealthStatusHealthy}},
		}}
	}
	made.Status.ContainerStatuses = []v1.ContainerStatus{status}
	_, err = c.Client.CoreV1().Pods(namespace).UpdateStatus(ctx, made, metav1.UpdateOptions{})
	return err
}

func runningGang(i int) string { return fmt.Sprintf("running-%05d", i) }
func waitingGang(i int) string { return fmt.Sprintf("waiting-%05d", i) }

// runGangs makes gangs that run, from the first node on, and then pods without GPUs until there are so many pods.
func (c *crowd) runGangs(ctx context.Context, gangs, nodes, pods int) error {
	err := each(ctx, gangs, func(ctx context.Context, i int) error {
		return c.podGroup(ctx, runningGang(i), runners, nil)
	})
	if err != nil {
		return err
	}
	return each(ctx, pods, func(ctx context.Context, i int) error {
		g, node := i/runners, i/gpusPerNode
		if g >= gangs {
			return c.run(ctx, pod(fmt.Sprintf("filling-%05d", i), "filling", "", 0), nodeName(i%nodes), "")
		}
		name := runningGang(g)
		return c.run(ctx, pod(fmt.Sprintf("%s-%d", name, i%runners), "running", name, 1), nodeName(node), uuid(node, i%gpusPerNode))
	})
}

// end ends a running gang, all at once.
func (c *crowd) end(ctx context.Context, i int) error {
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	err := each(ctx, runners, func(ctx context.Context, k int) error {
		return c.Client.CoreV1().Pods(namespace).Delete(ctx, fmt.Sprintf("%s-%d", runningGang(i), k), now)
	})
	if err != nil {
		return err
	}
	return c.Dynamic.Resource(podGroups).Namespace(namespace).Delete(ctx, runningGang(i), metav1.DeleteOptions{})
}

// wait makes a gang that waits for four whole nodes under one switch.
func (c *crowd) wait(ctx context.Context, i int) error {
	name := waitingGang(i)
	if err := c.podGroup(ctx, name, nodesPerGang, map[string]string{gang.RequiredTopologyKey: leafKey}); err != nil {
		return err
	}
	for k := range nodesPerGang {
		if _, err := c.Client.CoreV1().Pods(namespace).Create(ctx, pod(fmt.Sprintf("%s-%d", name, k), "waiting", name, gpusPerNode), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// offend makes an object of somebody who means harm, or cannot write: its sentences and numbers are absurd, and long.
func (c *crowd) offend(ctx context.Context, i int) error {
	name := fmt.Sprintf("hostile-%05d", i)
	if i%2 == 0 {
		return c.podGroup(ctx, name, 1<<31-1, map[string]string{
			gang.RequiredTopologyKey: strings.Repeat("level/", 1000), gang.SliceSizeKey: "-1", gang.GPUMemoryKey: strings.Repeat("9", 5000),
		})
	}
	p := pod(name, "hostile", fmt.Sprintf("hostile-%05d", i-1), 1+i%gpusPerNode)
	p.Annotations[gang.GPUProductKey] = strings.Repeat("H100,", 1000)
	p.Annotations[gang.GPULinkKey] = "required:" + strings.Repeat("nvlink", i%500)
	_, err := c.Client.CoreV1().Pods(namespace).Create(ctx, p, metav1.CreateOptions{})
	return err
}
