package scheduler

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apimachineryversion "k8s.io/apimachinery/pkg/version"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	fakediscovery "k8s.io/client-go/discovery/fake"
	clienttesting "k8s.io/client-go/testing"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	"k8s.io/kubernetes/pkg/features"
)

// serving is a discovery client that serves all that we need, but for the resources named.
func serving(without ...string) *fakediscovery.FakeDiscovery {
	lists := map[string]*metav1.APIResourceList{}
	for _, n := range needs() {
		gv := n.GroupVersion().String()
		if lists[gv] == nil {
			lists[gv] = &metav1.APIResourceList{GroupVersion: gv}
		}
		isLeftOut := false
		for _, name := range without {
			isLeftOut = isLeftOut || name == n.Resource
		}
		if !isLeftOut {
			lists[gv].APIResources = append(lists[gv].APIResources, metav1.APIResource{Name: n.Resource})
		}
	}
	client := &fakediscovery.FakeDiscovery{Fake: &clienttesting.Fake{}, FakedServerVersion: &apimachineryversion.Info{GitVersion: "v1.34.4"}}
	for _, list := range lists {
		client.Resources = append(client.Resources, list)
	}
	return client
}

func TestAGateWhoseAPIIsNotServedIsTurnedOff(t *testing.T) {
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.DRADeviceTaintRules, true)
	require.NoError(t, fitGates(t.Context(), serving()))
	require.True(t, utilfeature.DefaultFeatureGate.Enabled(features.DRADeviceTaintRules), "all is served")
	require.NoError(t, fitGates(t.Context(), serving("devicetaintrules")))
	require.False(t, utilfeature.DefaultFeatureGate.Enabled(features.DRADeviceTaintRules))
}

func TestAnEssentialAPIThatIsMissingEndsTheStart(t *testing.T) {
	err := fitGates(t.Context(), serving("resourceslices", "deviceclasses"))
	require.EqualError(t, err, "the API server (v1.34.4) does not serve deviceclasses.resource.k8s.io/v1, resourceslices.resource.k8s.io/v1: Phalanx needs Kubernetes 1.34 or later, with these APIs on (--runtime-config of kube-apiserver)")
}

func TestAnAPIServerThatDoesNotAnswerIsAskedAgain(t *testing.T) {
	client := serving()
	asked := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		if asked++; asked > 1 {
			cancel()
		}
		return true, nil, errors.New("connection refused")
	})
	require.ErrorIs(t, fitGates(ctx, client), context.Canceled)
	require.Greater(t, asked, 1)
}
