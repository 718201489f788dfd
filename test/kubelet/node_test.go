package kubelet

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cri-client/pkg/fake"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// patience is how long anything may take that the tests wait for; conditions are met in a fraction of it.
const patience = 60 * time.Second

// node is a real kubelet with a device plugin and a reporter's annotation, and pods that only it can have.
type node struct {
	t       *testing.T
	name    string
	report  gpu.Report // what its plugin offers, and its reporter says at first
	plugin  *plugin
	runtime *fake.RemoteRuntime
}

// newNode starts a node whose GPUs are those of a golden report, and ends it with the test. It fails the test if the kubelet
// refused a pod.
func newNode(t *testing.T, system string) *node {
	t.Helper()
	if lacking != "" {
		t.Skip(lacking)
	}
	text, err := os.ReadFile("../../pkg/gpu/testdata/" + system + ".json")
	require.NoError(t, err)
	r, err := gpu.Parse([]byte(strings.TrimSpace(string(text))))
	require.NoError(t, err)
	n := &node{t: t, name: system + "-" + rand.String(5), report: r, plugin: newPlugin(r), runtime: fake.NewFakeRemoteRuntime()}

	dir, err := os.MkdirTemp("", "kubelet-") // short: a socket's path has at most 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	n.runtime.ImageService.SetFakeImageSize(1)
	n.runtime.ImageService.SetFakeImages([]string{image})
	require.NoError(t, n.runtime.Start(runtimeSocket(dir)))
	t.Cleanup(n.runtime.Stop)
	process := n.start(dir)
	sockets := filepath.Join(dir, "var/lib/kubelet/device-plugins")
	n.eventually(func(context.Context) string {
		require.NoError(t, process.Failure())
		conn, err := net.Dial("unix", filepath.Join(sockets, "kubelet.sock")) // the file alone is there a moment too early
		if err != nil {
			return err.Error()
		}
		_ = conn.Close()
		return ""
	})
	n.plugin.serve(t, sockets)
	n.waitAllocatable(len(r.GPUs))
	n.publish(r)
	t.Cleanup(func() {
		assert.Empty(t, refused.by(n.name), "pods that the kubelet refused")
		now := int64(0)
		_ = shared.Client.CoreV1().Pods(namespace).DeleteCollection(context.Background(), metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{LabelSelector: "node=" + n.name})
	})
	return n
}

func runtimeSocket(dir string) string { return "unix://" + dir + "/cri.sock" }

// configuration leaves out what needs a machine to itself: cgroups, iptables, eviction. A change of GPUs is told within half a
// second.
const configuration = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: %[1]s
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
address: 127.0.0.1
port: %[3]d
readOnlyPort: 0
healthzPort: 0
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
localStorageCapacityIsolation: false
evictionHard: {memory.available: 0%%}
imageGCHighThresholdPercent: 100
nodeStatusUpdateFrequency: 500ms
podLogsDir: %[2]s/logs
volumePluginDir: %[2]s/volume-plugins
`

// start starts the kubelet.
func (n *node) start(dir string) *controlplane.Process {
	t := n.t
	kubeconfig, err := shared.Kubeconfig("system:node:"+n.name, "system:nodes", "system:masters")
	require.NoError(t, err)
	access, err := shared.WriteKubeconfig(n.name, kubeconfig)
	require.NoError(t, err)
	config := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, configuration, runtimeSocket(dir), dir, freePort(t)), 0o600))
	// A node may not have this address, which the kubelet only logs; without it, it would look for one by name, and wait.
	const address = "--node-ip=127.0.0.1"
	process, err := shared.StartProcess(n.name, os.Args[0], roomArgument, dir, program, "--config="+config, "--kubeconfig="+access,
		"--root-dir="+dir+"/root", "--cert-dir="+dir+"/certificates", "--hostname-override="+n.name, address)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, process.Failure())
		assert.NoError(t, process.Kill()) // it has nothing to lose
		_ = shared.Client.CoreV1().Nodes().Delete(context.Background(), n.name, metav1.DeleteOptions{})
		if log, err := os.ReadFile(process.LogPath()); err == nil && t.Failed() && os.Getenv("KEEP_LOGS") != "" {
			_ = os.WriteFile(filepath.Join(os.Getenv("KEEP_LOGS"), n.name+".log"), log, 0o644)
		}
	})
	return process
}

func freePort(t *testing.T) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// waitAllocatable waits until the node is ready and so many of its GPUs are healthy, as the device plugin sees it.
func (n *node) waitAllocatable(want int) {
	n.t.Helper()
	n.eventually(func(ctx context.Context) string {
		node, err := shared.Client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		have := node.Status.Allocatable[controlplane.ResourceGPU]
		for _, c := range node.Status.Conditions {
			if c.Type == v1.NodeReady && c.Status == v1.ConditionTrue && int(have.Value()) == want {
				return ""
			}
		}
		return fmt.Sprintf("%d allocatable GPUs on a ready node, there are %s; %v", want, have.String(), node.Status.Conditions)
	})
}

// publish writes a report as the node's reporter would.
func (n *node) publish(r gpu.Report) {
	n.t.Helper()
	text, err := r.Encode()
	require.NoError(n.t, err)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{gang.GPUReportKey: string(text)}}})
	require.NoError(n.t, err)
	_, err = shared.Client.CoreV1().Nodes().Patch(n.t.Context(), n.name, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(n.t, err)
}

// reportLost has the reporter call these GPUs lost, and all others well.
func (n *node) reportLost(uuids ...string) {
	n.t.Helper()
	r := n.report
	r.GPUs = append([]gpu.GPU{}, r.GPUs...)
	for i := range r.GPUs {
		for _, uuid := range uuids {
			if r.GPUs[i].UUID == uuid {
				r.GPUs[i].State, r.GPUs[i].Reasons = gpu.Lost, []string{"XID 79"}
			}
		}
	}
	n.publish(r)
}

// withdraw has the device plugin call a GPU unhealthy, which leaves so many.
func (n *node) withdraw(uuid string, left int) {
	n.t.Helper()
	n.plugin.call(uuid, true)
	n.waitAllocatable(left)
}

// uuids of all GPUs.
func (n *node) uuids() []string {
	out := make([]string, len(n.report.GPUs))
	for i := range out {
		out[i] = n.report.GPUs[i].UUID
	}
	return out
}

// eventually waits until missing returns "".
func (n *node) eventually(missing func(ctx context.Context) string) {
	n.t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(n.t.Context(), 50*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		last = missing(n.t.Context())
		return last == "", nil
	})
	require.NoError(n.t, err, "still missing: %s", last)
}
