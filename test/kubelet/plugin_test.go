package kubelet

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	deviceplugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
	"github.com/phalanx-scheduler/phalanx/test/kubelet/besteffort"
)

// plugin is a device plugin that offers the GPUs of a report, and chooses by the best-effort policy.
type plugin struct {
	deviceplugin.UnimplementedDevicePluginServer
	policy *besteffort.Policy
	report gpu.Report

	mu      sync.Mutex
	sick    map[string]bool
	changed chan struct{} // closed when sick changes
	granted []string      // all that was ever handed out
	pending *question     // whoever asks for GPUs next waits for its answer
}

// question is a choice of GPUs that the test makes in place of the policy, when it wants to.
type question struct {
	asked  chan struct{} // closed once the kubelet waits for the answer
	answer chan []string
}

func newPlugin(r gpu.Report) *plugin {
	return &plugin{policy: besteffort.New(r), report: r, sick: map[string]bool{}, changed: make(chan struct{})}
}

// serve offers the GPUs to the kubelet that has its socket in the folder, until the test ends.
func (p *plugin) serve(t *testing.T, folder string) {
	t.Helper()
	const name = "gpu.sock"
	listener, err := net.Listen("unix", filepath.Join(folder, name))
	require.NoError(t, err)
	server := grpc.NewServer()
	deviceplugin.RegisterDevicePluginServer(server, p)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)

	conn, err := grpc.NewClient("unix://"+filepath.Join(folder, filepath.Base(deviceplugin.KubeletSocket)), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	_, err = deviceplugin.NewRegistrationClient(conn).Register(t.Context(), &deviceplugin.RegisterRequest{
		Version: deviceplugin.Version, Endpoint: name, ResourceName: string(controlplane.ResourceGPU), Options: options,
	})
	require.NoError(t, err)
}

var options = &deviceplugin.DevicePluginOptions{GetPreferredAllocationAvailable: true}

// call has the plugin take a GPU for healthy or not.
func (p *plugin) call(uuid string, isSick bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sick[uuid] = isSick
	close(p.changed)
	p.changed = make(chan struct{})
}

// askMe has the next container's GPUs chosen by the test.
func (p *plugin) askMe() *question {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = &question{asked: make(chan struct{}), answer: make(chan []string, 1)}
	return p.pending
}

// handedOut is all GPUs that containers ever got, in order.
func (p *plugin) handedOut() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.granted)
}

func (p *plugin) devices() (devices []*deviceplugin.Device, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.report.GPUs {
		g := &p.report.GPUs[i]
		health := deviceplugin.Healthy
		if p.sick[g.UUID] {
			health = deviceplugin.Unhealthy
		}
		devices = append(devices, &deviceplugin.Device{
			ID: g.UUID, Health: health, Topology: &deviceplugin.TopologyInfo{Nodes: []*deviceplugin.NUMANode{{ID: int64(g.NUMA)}}},
		})
	}
	return devices, p.changed
}

// What follows the kubelet calls.

func (*plugin) GetDevicePluginOptions(context.Context, *deviceplugin.Empty) (*deviceplugin.DevicePluginOptions, error) {
	return options, nil
}

func (p *plugin) ListAndWatch(_ *deviceplugin.Empty, stream grpc.ServerStreamingServer[deviceplugin.ListAndWatchResponse]) error {
	for {
		devices, changed := p.devices()
		if err := stream.Send(&deviceplugin.ListAndWatchResponse{Devices: devices}); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

// GetPreferredAllocation does not look at what must be among the GPUs: only a container has such that inherits some of one before
// it, and for these nothing is foretold.
func (p *plugin) GetPreferredAllocation(ctx context.Context, r *deviceplugin.PreferredAllocationRequest) (*deviceplugin.PreferredAllocationResponse, error) {
	out := &deviceplugin.PreferredAllocationResponse{}
	for _, c := range r.ContainerRequests {
		chosen := p.policy.Prefer(c.AvailableDeviceIDs, int(c.AllocationSize))
		p.mu.Lock()
		pending := p.pending
		p.pending = nil
		p.mu.Unlock()
		if pending != nil {
			close(pending.asked)
			select {
			case chosen = <-pending.answer:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		out.ContainerResponses = append(out.ContainerResponses, &deviceplugin.ContainerPreferredAllocationResponse{DeviceIDs: chosen})
	}
	return out, nil
}

func (p *plugin) Allocate(_ context.Context, r *deviceplugin.AllocateRequest) (*deviceplugin.AllocateResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := &deviceplugin.AllocateResponse{}
	for _, c := range r.ContainerRequests {
		p.granted = append(p.granted, c.DevicesIds...)
		out.ContainerResponses = append(out.ContainerResponses, &deviceplugin.ContainerAllocateResponse{})
	}
	return out, nil
}
