package tour

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	phalanx "github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/test/demo/fabric"
	"github.com/phalanx-scheduler/phalanx/test/demo/observe"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// failedLeaf is the leaf switch below which a GPU fails.
const failedLeaf = "P12-S42"

// The GPUs of the hosts that report: there are none here, so the demo writes what a reporter on such a host would.
const (
	memoryMiB    = 81559
	linksPerGPU  = 18
	gpusPerCPU   = trace.GPUsPerHost / 2
	fallenOff    = "XID 79"
	fallenOffGPU = 3
)

// fail has all hosts below one leaf switch report their GPUs, one of them a GPU that fell off the bus.
func (t *Tour) fail(ctx context.Context) error {
	hosts, err := t.hostsBelow(ctx, failedLeaf)
	if err != nil {
		return err
	}
	for i, host := range hosts {
		if err := t.report(ctx, host, i == 0); err != nil {
			return err
		}
	}
	t.tell("report", "host %s: GPU %d is lost, %s; the other %d hosts: all GPUs are ok", hosts[0], fallenOffGPU, fallenOff, len(hosts)-1)
	return nil
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
	if err := t.report(ctx, hosts[0], false); err != nil {
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
func (t *Tour) report(ctx context.Context, host string, isFailed bool) error {
	r := reportOf(host, isFailed)
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

// reportOf is 8 GPUs behind switches, all of them ok or one of them lost.
func reportOf(host string, isFailed bool) gpu.Report {
	name := fnv.New64a()
	_, _ = name.Write([]byte(host))
	r := gpu.Report{Driver: "570.86.15", Links: gpu.Links{Kind: gpu.Switch}}
	for i := range trace.GPUsPerHost {
		g := gpu.GPU{
			Index: i, UUID: fmt.Sprintf("GPU-%08x-0000-4000-8000-%012x", name.Sum64()>>32, name.Sum64()&0xffffffff<<8|uint64(i)),
			NUMA: i / gpusPerCPU, Product: "NVIDIA H100 80GB HBM3", Capability: gpu.Capability{Major: 9},
			MemoryMiB: memoryMiB, FreeMiB: gpu.RoundFreeMiB(memoryMiB, memoryMiB-1), Links: linksPerGPU,
		}
		if isFailed && i == fallenOffGPU {
			g.State, g.Reasons, g.FreeMiB = gpu.Lost, []string{fallenOff}, 0
		}
		r.GPUs = append(r.GPUs, g)
	}
	return r
}
