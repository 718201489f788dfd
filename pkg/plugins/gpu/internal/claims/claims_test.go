package claims

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func deviceOf(name string, attributes ...string) resourceapi.Device {
	d := resourceapi.Device{Name: name, Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{}}
	for i := 0; i < len(attributes); i += 2 {
		d.Attributes[resourceapi.QualifiedName(attributes[i])] = resourceapi.DeviceAttribute{StringValue: &attributes[i+1]}
	}
	return d
}

func sliceOf(name, node string, generation int64, devices ...resourceapi.Device) *resourceapi.ResourceSlice {
	s := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: name}}
	s.Spec = resourceapi.ResourceSliceSpec{
		Driver: Driver, NodeName: &node, Pool: resourceapi.ResourcePool{Name: node, Generation: generation}, Devices: devices,
	}
	return s
}

func claimOf(name string, results ...resourceapi.DeviceRequestAllocationResult) *resourceapi.ResourceClaim {
	c := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}}
	if len(results) > 0 {
		c.Status.Allocation = &resourceapi.AllocationResult{Devices: resourceapi.DeviceAllocationResult{Results: results}}
	}
	return c
}

func result(pool, device string) resourceapi.DeviceRequestAllocationResult {
	return resourceapi.DeviceRequestAllocationResult{Driver: Driver, Pool: pool, Device: device}
}

func set(names ...string) map[string]bool {
	out := map[string]bool{}
	for _, name := range names {
		out[name] = true
	}
	return out
}

// The devices of a node with two GPUs, one of them cut: as NVIDIA's driver lists them.
func twoGPUs(generation int64) *resourceapi.ResourceSlice {
	return sliceOf("n1-gpu", "n1", generation,
		deviceOf("gpu-0", "type", "gpu", "uuid", "GPU-a"),
		deviceOf("gpu-1", "gpu.nvidia.com/type", "gpu", "gpu.nvidia.com/uuid", "GPU-b"),
		deviceOf("gpu-2-mig-9-0-4", "type", "mig", "uuid", "MIG-x", "parentUUID", "GPU-c"),
	)
}

func TestWhatClaimsHold(t *testing.T) {
	isAdmin := true
	watched := result("n1", "gpu-0")
	watched.AdminAccess = &isAdmin
	foreign := result("n1", "gpu-0")
	foreign.Driver = "compute-domain.nvidia.com"
	for name, test := range map[string]struct {
		claims  []*resourceapi.ResourceClaim
		held    map[string]bool
		unknown int
	}{
		"nothing":               {nil, set(), 0},
		"a whole GPU":           {[]*resourceapi.ResourceClaim{claimOf("c", result("n1", "gpu-0"))}, set("GPU-a"), 0},
		"part of a GPU":         {[]*resourceapi.ResourceClaim{claimOf("c", result("n1", "gpu-2-mig-9-0-4"))}, set("GPU-c"), 0},
		"one GPU in two claims": {[]*resourceapi.ResourceClaim{claimOf("c", result("n1", "gpu-1")), claimOf("d", result("n1", "gpu-1"))}, set("GPU-b"), 0},
		"a claim without an allocation holds nothing":  {[]*resourceapi.ResourceClaim{claimOf("c")}, set(), 0},
		"neither does one that looks on as an admin":   {[]*resourceapi.ResourceClaim{claimOf("c", watched)}, set(), 0},
		"nor one of another driver":                    {[]*resourceapi.ResourceClaim{claimOf("c", foreign)}, set(), 0},
		"nor one on another node":                      {[]*resourceapi.ResourceClaim{claimOf("c", result("n2", "gpu-0"))}, set(), 0},
		"a device that no slice lists is held as well": {[]*resourceapi.ResourceClaim{claimOf("c", result("n1", "gpu-7"))}, set(), 1},
	} {
		t.Run(name, func(t *testing.T) {
			x, late := New(), New()
			x.SetSlice(twoGPUs(1))
			for _, c := range test.claims {
				x.SetClaim(c)
				late.SetClaim(c)
			}
			late.SetSlice(twoGPUs(1))
			want := &View{Offered: set("GPU-a", "GPU-b"), Held: test.held, Unknown: test.unknown}
			assert.Equal(t, want, x.On("n1"))
			assert.Equal(t, want, late.On("n1"), "in another order")

			for _, c := range test.claims {
				x.DropClaim(c)
			}
			x.DropSlice(twoGPUs(1))
			assert.Nil(t, x.On("n1"))
			assert.Empty(t, x.claims, "nothing is kept of what is gone")
			late.SetClaim(claimOf("c"))
			late.SetClaim(claimOf("d"))
			assert.Empty(t, late.On("n1").Held, "what claims gave back")
		})
	}
}

func TestOfferedAreTheLatestSlices(t *testing.T) {
	x := New()
	x.SetSlice(twoGPUs(1))
	tainted := deviceOf("gpu-1", "type", "gpu", "uuid", "GPU-b")
	tainted.Taints = []resourceapi.DeviceTaint{{Key: "gpu.nvidia.com/xid", Effect: resourceapi.DeviceTaintEffectNoSchedule}}
	x.SetSlice(sliceOf("n1-new", "n1", 2, tainted, deviceOf("gpu-3", "type", "vfio", "uuid", "GPU-d")))
	assert.Equal(t, &View{Offered: set("GPU-b"), Tainted: 1, Held: set()}, x.On("n1"))

	elsewhere := sliceOf("shelf", "n2", 1, deviceOf("gpu-0", "type", "gpu", "uuid", "GPU-e"))
	elsewhere.Spec.Pool.Name = "shelf-7"
	x.SetSlice(elsewhere)
	foreign := sliceOf("nic", "n2", 1, deviceOf("nic-0", "type", "gpu", "uuid", "GPU-f"))
	foreign.Spec.Driver = "nic.example.com"
	x.SetSlice(foreign)
	shared := sliceOf("all", "n2", 1)
	shared.Spec.NodeName = nil
	x.SetSlice(shared)
	assert.Nil(t, x.On("n2"), "pools that are not named after their node, and other drivers, are none of ours")
}

func TestAViewIsTheSameWhileNothingChanges(t *testing.T) {
	x := New()
	x.SetSlice(twoGPUs(1))
	x.SetClaim(claimOf("c", result("n1", "gpu-0")))
	view, epoch := x.On("n1"), x.Epoch()
	used := claimOf("c", result("n1", "gpu-0"))
	used.Status.ReservedFor = []resourceapi.ResourceClaimConsumerReference{{Resource: "pods", Name: "p", UID: "p"}}
	x.SetClaim(used)
	x.SetClaim(claimOf("other"))
	require.Same(t, view, x.On("n1"))
	require.Equal(t, epoch, x.Epoch())
	x.DropClaim(used)
	require.NotSame(t, view, x.On("n1"))
	require.NotEqual(t, epoch, x.Epoch())
}
