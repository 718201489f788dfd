//go:build cgo

package nvml

import (
	"fmt"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

// LinksUp asks for each NVLink that there could be. Older drivers know fewer numbers, and refuse the first that is too high.
func (v *device) LinksUp() ([]bool, error) {
	const function = "nvmlDeviceGetNvLinkState"
	var isUp []bool
	hasLinks := false
	for link := range gonvml.NVLINK_MAX_LINKS {
		state, isTooHigh := gonvml.FEATURE_DISABLED, false
		err := v.driver.call(function, func() (ret gonvml.Return) {
			state, ret = v.gpu.GetNvLinkState(link)
			switch ret {
			case gonvml.ERROR_INVALID_ARGUMENT:
				isTooHigh = true
				return gonvml.SUCCESS
			case gonvml.ERROR_NOT_SUPPORTED:
				state = gonvml.FEATURE_DISABLED
				return gonvml.SUCCESS
			case gonvml.SUCCESS:
				hasLinks = true
			}
			return ret
		})
		if err != nil {
			return nil, err
		}
		if isTooHigh {
			break
		}
		isUp = append(isUp, state == gonvml.FEATURE_ENABLED)
	}
	if !hasLinks {
		return nil, fmt.Errorf("%s: no links: %w", function, reporter.NotSupported)
	}
	return isUp, nil
}

var peerKinds = map[gonvml.IntNvLinkDeviceType]reporter.PeerKind{
	gonvml.NVLINK_DEVICE_TYPE_GPU:    reporter.PeerGPU,
	gonvml.NVLINK_DEVICE_TYPE_SWITCH: reporter.PeerSwitch,
	gonvml.NVLINK_DEVICE_TYPE_IBMNPU: reporter.PeerCPU,
}

// LinkPeer puts together what kind the other end is of, which older drivers do not know, and its address.
func (v *device) LinkPeer(link int) (p reporter.Peer, err error) {
	kind, kindErr := ask(v, "nvmlDeviceGetNvLinkRemoteDeviceType", func() (gonvml.IntNvLinkDeviceType, gonvml.Return) {
		return v.gpu.GetNvLinkRemoteDeviceType(link)
	})
	if kindErr == nil {
		p.Kind = peerKinds[kind]
	}
	pci, err := ask(v, "nvmlDeviceGetNvLinkRemotePciInfo", func() (gonvml.PciInfo, gonvml.Return) {
		return v.gpu.GetNvLinkRemotePciInfo(link)
	})
	if err != nil && kindErr != nil {
		return p, err
	}
	if err == nil {
		p.Bus = address(pci)
	}
	return p, nil
}

// Fabric needs three answers to tell a GPU that is ready: that it was set up, that this went well, and of which domain it is. A
// domain of zeros is that of switches that connect the GPUs of one node.
func (v *device) Fabric() (f reporter.Fabric, err error) {
	info, err := ask(v, "nvmlDeviceGetGpuFabricInfo", v.gpu.GetGpuFabricInfo)
	if err != nil {
		return f, err
	}
	switch {
	case info.State == gonvml.GPU_FABRIC_STATE_NOT_SUPPORTED:
		return f, nil
	case info.State != gonvml.GPU_FABRIC_STATE_COMPLETED:
		f.State = reporter.FabricPending
		return f, nil
	case gonvml.Return(info.Status) != gonvml.SUCCESS:
		f.State = reporter.FabricFailed
		return f, nil
	}
	f.State = reporter.FabricReady
	if uuid := info.ClusterUuid; uuid != [16]uint8{} {
		f.Domain = gpu.Fabric{
			UUID:   fmt.Sprintf("%x-%x-%x-%x-%x", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:]),
			Clique: info.CliqueId,
		}
	}
	return f, nil
}
