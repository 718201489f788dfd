package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// TestAnAPIServerWithoutWhatIsNeededEndsTheStart is about older API servers, and newer ones with an API turned off. A core that waits
// for what never comes would look alive and place nothing.
func TestAnAPIServerWithoutWhatIsNeededEndsTheStart(t *testing.T) {
	t.Parallel()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{RuntimeConfig: map[string]bool{"resource.k8s.io/v1": false, "policy/v1": false}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plane.Stop()) })
	program, err := cluster.BuildScheduler(t.Context())
	require.NoError(t, err)
	c := &cluster.Cluster{ControlPlane: plane}
	out := runToItsError(t, program, "--kubeconfig="+adminKubeconfig(t, c, "lacking"), "--leader-elect=false", "--secure-port=0")
	require.Regexp(t, `(?m)^the API server \(v1\.\d+\.\d+\) does not serve poddisruptionbudgets\.policy/v1, deviceclasses\.resource\.k8s\.io/v1, `+
		`resourceclaims\.resource\.k8s\.io/v1, resourceslices\.resource\.k8s\.io/v1: `+
		`Phalanx needs Kubernetes 1\.34 or later, with these APIs on \(--runtime-config of kube-apiserver\)$`, out)
}
