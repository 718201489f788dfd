package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	fwk "k8s.io/kube-scheduler/framework"
)

func TestWhatIsHeldIsNotFreeUntilItIsGivenBack(t *testing.T) {
	nodes := []fwk.NodeInfo{infoOf(gpuNode("a", 8, nil)), infoOf(gpuNode("b", 8, nil))}
	c := New(nil)
	c.Update(nodes)
	gpu := c.Request(v1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")})
	three := c.Request(v1.ResourceList{"nvidia.com/gpu": resource.MustParse("3")})
	slots := func() []int32 { return append([]int32(nil), c.Fabric().Slots(gpu)...) }
	helped := c.Helped()

	c.Hold(0, three)
	c.Hold(0, three)
	require.Equal(t, []int32{2, 8}, slots())
	require.Equal(t, []bool{false, true}, c.Fabric().Wholes())
	require.NotEmpty(t, c.Held())
	c.Reserve(0, gpu, 1)
	c.Reserve(1, gpu, 1)
	require.Equal(t, []int32{1, 7}, slots())
	c.Release()
	require.Equal(t, []int32{2, 8}, slots(), "what is held stays so")

	c.Unhold()
	require.Equal(t, []int32{8, 8}, slots())
	require.Equal(t, []bool{true, true}, c.Fabric().Wholes())
	require.Empty(t, c.Held())
	require.Equal(t, helped, c.Helped(), "nobody is helped who was not held off")

	c.Hold(0, three)
	c.Update(nodes[1:])
	c.Unhold()
	require.Equal(t, 1, c.Fabric().Len(), "a node that is gone does not come back")
}
