package tour

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	phalanx "github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/test/demo/fabric"
	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// The leaf switches below which a GPU fails, and one leaks.
const failedLeaf, leakyLeaf = "P12-S42", "P10-S48"

// The GPUs of the hosts that report: there are none here, so the demo writes what a reporter on such a host would.
const (
	memoryMiB    = 81559
	linksPerGPU  = 18
	gpusPerCPU   = trace.GPUsPerHost / 2
	fallenOff    = "XID 79"
	fallenOffGPU = 3
	leakedGiB    = 60
	leakedGPU    = 5
)

// fail has all hosts below one leaf switch report their GPUs, one of them a GPU that fell off the bus.
func (t *Tour) fail(ctx context.Context) error {
	host, others, err := t.reportBelow(ctx, failedLeaf, func(r *gpu.Report) {
		g := &r.GPUs[fallenOffGPU]
		g.State, g.Reasons, g.FreeMiB = gpu.Lost, []string{fallenOff}, 0
	})
	if err != nil {
		return err
	}
	t.tell("report", "host %s: GPU %d is lost, %s; the other %d hosts: all GPUs are ok", host, fallenOffGPU, fallenOff, others)
	return nil
}

// leak has them report their GPUs, one of them a GPU with memory in use and without a pod.
func (t *Tour) leak(ctx context.Context) error {
	host, others, err := t.reportBelow(ctx, leakyLeaf, func(r *gpu.Report) {
		r.GPUs[leakedGPU].FreeMiB = gpu.RoundFreeMiB(memoryMiB, memoryMiB-leakedGiB<<10)
	})
	if err != nil {
		return err
	}
	t.tell("report", "host %s: GPU %d has %d GiB in use; the other %d hosts: all memory is free", host, leakedGPU, leakedGiB, others)
	return nil
}

// reportBelow has the hosts below a leaf switch report, the first of them something else than the others.
func (t *Tour) reportBelow(ctx context.Context, leaf string, change func(*gpu.Report)) (first string, others int, err error) {
	hosts, err := t.hostsBelow(ctx, leaf)
	if err != nil {
		return "", 0, err
	}
	for i, host := range hosts {
		r := reportOf(host)
		if i == 0 {
			change(&r)
		}
		if err := t.report(ctx, host, &r); err != nil {
			return "", 0, err
		}
	}
	return hosts[0], len(hosts) - 1, nil
}

// avoids waits until the gang runs, and looks for it on the host with the leak.
func (t *Tour) avoids(ctx context.Context, gangs []gang) error {
	if err := t.runs(ctx, gangs); err != nil {
		return err
	}
	hosts, err := t.hostsBelow(ctx, leakyLeaf)
	if err != nil {
		return err
	}
	members, err := t.membersByNode(ctx, gangs[0])
	if err != nil {
		return err
	}
	if members[hosts[0]] > 0 {
		return fmt.Errorf("%s stands on host %s, whose GPU %d has a leak", gangs[0].key, hosts[0], leakedGPU)
	}
	t.tell("avoided", "host %s has none of its %d members", hosts[0], gangs[0].members)
	return nil
}

// membersByNode counts the members of a gang on each node.
func (t *Tour) membersByNode(ctx context.Context, g gang) (map[string]int, error) {
	pods, err := t.Cluster.Client.CoreV1().Pods(g.key.Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + g.job})
	if err != nil {
		return nil, err
	}
	members := map[string]int{}
	for i := range pods.Items {
		members[pods.Items[i].Spec.NodeName]++
	}
	return members, nil
}

// recovers waits until the gang says what it waits for, has the GPU come back, and waits until the gang runs.
func (t *Tour) recovers(ctx context.Context, gangs []gang) error {
	g := gangs[0]
	seen, err := t.Observer.WaitFor(ctx, g.key, func(g observe.Gang) bool { return g.Because != "" && g.Created == g.Members })
	if err != nil {
		return err
	}
	t.tell("waits", "%d of its %d members have a node. Each of them says:", seen.Bound, seen.Members)
	t.quote(seen.Because)
	if err := t.pause(ctx, readingTime); err != nil {
		return err
	}
	hosts, err := t.hostsBelow(ctx, failedLeaf)
	if err != nil {
		return err
	}
	r := reportOf(hosts[0])
	if err := t.report(ctx, hosts[0], &r); err != nil {
		return err
	}
	t.tell("report", "host %s: all GPUs are ok, as after a reset", hosts[0])
	return t.runs(ctx, gangs)
}

// hostsBelow returns the names of the hosts below a leaf switch, in order.
func (t *Tour) hostsBelow(ctx context.Context, leaf string) ([]string, error) {
	nodes, err := t.Cluster.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: fabric.LeafLabel + "=" + leaf})
	if err != nil {
		return nil, err
	}
	if len(nodes.Items) == 0 {
		return nil, fmt.Errorf("no host is below leaf switch %s", leaf)
	}
	names := make([]string, len(nodes.Items))
	for i := range nodes.Items {
		names[i] = nodes.Items[i].Name
	}
	return names, nil
}

// report writes a host's report, as its reporter does.
func (t *Tour) report(ctx context.Context, host string, r *gpu.Report) error {
	text, err := r.Encode()
	if err != nil {
		return fmt.Errorf("report of host %s: %w", host, err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{phalanx.GPUReportKey: string(text)}}})
	if err != nil {
		return err
	}
	_, err = t.Cluster.Client.CoreV1().Nodes().Patch(ctx, host, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// reportOf is 8 GPUs behind switches, idle and ok.
func reportOf(host string) gpu.Report {
	r := gpu.Report{Driver: "570.86.15", Links: gpu.Links{Kind: gpu.Switch}}
	for i := range trace.GPUsPerHost {
		r.GPUs = append(r.GPUs, gpu.GPU{
			Index: i, UUID: uuidOf(host, i), NUMA: i / gpusPerCPU, Product: "NVIDIA H100 80GB HBM3", Capability: gpu.Capability{Major: 9},
			MemoryMiB: memoryMiB, FreeMiB: gpu.RoundFreeMiB(memoryMiB, memoryMiB-1), Links: linksPerGPU,
		})
	}
	return r
}

// uuidOf makes up the UUID of a host's GPU.
func uuidOf(host string, index int) string {
	name := fnv.New64a()
	_, _ = name.Write([]byte(host))
	return fmt.Sprintf("GPU-%08x-0000-4000-8000-%012x", name.Sum64()>>32, name.Sum64()&0xffffffff<<8|uint64(index))
}
