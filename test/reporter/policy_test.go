package reporter

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// writes are tried by the reporter of the node "own". What a refusal says is in the policy.
var writes = []struct {
	name, node string
	kind       types.PatchType
	patch      string
	refusal    string
}{
	{"its own report", "own", types.MergePatchType, `{"metadata":{"annotations":{"phalanx.dev/gpu-report":"{}"}}}`, ""},
	{"its own labels", "own", types.MergePatchType, `{"metadata":{"labels":{"phalanx.dev/gpu-link":"switch"}}}`, ""},
	{"its own labels away", "own", types.MergePatchType, `{"metadata":{"labels":{"phalanx.dev/gpu-link":null}}}`, ""},
	{"the report of another node", "other", types.MergePatchType, `{"metadata":{"annotations":{"phalanx.dev/gpu-report":"{}"}}}`, `a reporter changes its own node alone, which is "own"`},
	{"another label", "own", types.MergePatchType, `{"metadata":{"labels":{"example.com/team":"a"}}}`, "a reporter changes no labels but phalanx.dev/gpu-..."},
	{"the value of another label", "own", types.MergePatchType, `{"metadata":{"labels":{"example.com/rack":"r2"}}}`, "a reporter changes no labels but phalanx.dev/gpu-..."},
	{"a level of the topology", "own", types.MergePatchType, `{"metadata":{"labels":{"phalanx.dev/rack":"r2"}}}`, "a reporter changes no labels but phalanx.dev/gpu-..."},
	{"another label away", "own", types.MergePatchType, `{"metadata":{"labels":{"example.com/rack":null}}}`, "a reporter changes no labels but phalanx.dev/gpu-..."},
	{"all labels away", "own", types.MergePatchType, `{"metadata":{"labels":null}}`, "a reporter changes no labels but phalanx.dev/gpu-..."},
	{"another annotation", "own", types.MergePatchType, `{"metadata":{"annotations":{"example.com/more":"a"}}}`, "a reporter changes no annotations but phalanx.dev/gpu-..."},
	{"the value of another annotation", "own", types.MergePatchType, `{"metadata":{"annotations":{"example.com/note":"ours"}}}`, "a reporter changes no annotations but phalanx.dev/gpu-..."},
	{"another annotation away", "own", types.MergePatchType, `{"metadata":{"annotations":{"example.com/note":null}}}`, "a reporter changes no annotations but phalanx.dev/gpu-..."},
	{"the finalizers", "own", types.MergePatchType, `{"metadata":{"finalizers":["example.com/other"]}}`, "a reporter changes no finalizers and owners of its node"},
	{"the owners", "own", types.MergePatchType, `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"x","uid":"y"}]}}`, "a reporter changes no finalizers and owners of its node"},
}

// statusWrites are about the status, and go to the subresource alone.
var statusWrites = []struct{ name, node, patch, refusal string }{
	{"its own condition", "own", `{"status":{"conditions":[{"type":"GPUHealthy","status":"True"}]}}`, ""},
	{"its own condition away", "own", `{"status":{"conditions":[{"type":"GPUHealthy","$patch":"delete"}]}}`, ""},
	{"the condition of another node", "other", `{"status":{"conditions":[{"type":"GPUHealthy","status":"True"}]}}`, `a reporter changes its own node alone, which is "own"`},
	{"another condition", "own", `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, "a reporter changes no condition but GPUHealthy"},
	{"a condition of nobody's", "own", `{"status":{"conditions":[{"type":"Example","status":"False"}]}}`, "a reporter changes no condition but GPUHealthy"},
	{"another condition away", "own", `{"status":{"conditions":[{"type":"Ready","$patch":"delete"}]}}`, "a reporter changes no condition but GPUHealthy"},
	{"more capacity", "own", `{"status":{"capacity":{"nvidia.com/gpu":"16"}}}`, "a reporter changes nothing of the status of its node but a condition"},
	{"an address", "own", `{"status":{"addresses":[{"type":"Hostname","address":"x"}]}}`, "a reporter changes nothing of the status of its node but a condition"},
	{"the images away", "own", `{"status":{"images":null}}`, "a reporter changes nothing of the status of its node but a condition"},
}

// specWrites are about the spec, which the subresource does not change.
var specWrites = []struct{ name, patch string }{
	{"a cordon", `{"spec":{"unschedulable":true}}`},
	{"another taint", `{"spec":{"taints":[{"key":"nvidia.com/gpu","effect":"NoSchedule"},{"key":"x","effect":"NoExecute"}]}}`},
	{"the taints away", `{"spec":{"taints":null}}`},
}

// awaitPolicies waits until the API server has heard of the policies: it reads them from a cache.
func awaitPolicies(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	eventually(t, func() string {
		_, err := client.CoreV1().Nodes().Patch(t.Context(), "other", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, "status")
		_, leaseErr := client.CoordinationV1().Leases(namespace).Patch(t.Context(), "other", types.ApplyPatchType, []byte(lease("other")), metav1.PatchOptions{FieldManager: "x", DryRun: []string{metav1.DryRunAll}})
		if !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) || !apierrors.IsForbidden(leaseErr) && !apierrors.IsInvalid(leaseErr) {
			return fmt.Sprintf("a wrong write to be refused: %v, %v", err, leaseErr)
		}
		return ""
	})
}

func lease(name string) string {
	return fmt.Sprintf(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":%q,"namespace":%q},"spec":{"holderIdentity":"x"}}`, name, namespace)
}

func TestAReporterChangesItsOwnNodesReportAlone(t *testing.T) {
	makeNode(t, "own")
	makeNode(t, "other")
	client := clientOf(t, reporterOn(t, "own"))
	awaitPolicies(t, client)

	t.Run("it has no right to change nodes but for their status", func(t *testing.T) {
		for _, node := range []string{"own", "other"} {
			err := patch(t, client, node, types.MergePatchType, writes[0].patch)
			assert.True(t, apierrors.IsForbidden(err), "%v", err)
			assert.ErrorContains(t, err, "cannot patch resource \"nodes\"")
		}
	})
	// What follows holds even if somebody gives it that right, and more.
	grantMore(t)
	eventually(t, func() string {
		if err := patch(t, client, "own", types.MergePatchType, writes[0].patch); err != nil {
			return err.Error()
		}
		return ""
	})
	for _, test := range writes {
		for _, subresources := range [][]string{nil, {"status"}} {
			t.Run(fmt.Sprintf("%s, on nodes %v", test.name, subresources), func(t *testing.T) {
				try(t, client, test.node, test.kind, test.patch, test.refusal, subresources...)
			})
		}
	}
	for _, test := range statusWrites {
		t.Run(test.name, func(t *testing.T) {
			try(t, client, test.node, types.StrategicMergePatchType, test.patch, test.refusal, "status")
		})
	}
	for _, test := range specWrites {
		t.Run(test.name, func(t *testing.T) {
			try(t, client, "own", types.MergePatchType, test.patch, "a reporter does not change the spec of its node")
			before := getNode(t, "own").Spec
			require.NoError(t, patch(t, client, "own", types.MergePatchType, test.patch, "status"))
			assert.Equal(t, before, getNode(t, "own").Spec, "the subresource does not change it")
		})
	}
	t.Run("nodes are not made or deleted", func(t *testing.T) {
		_, err := client.CoreV1().Nodes().Create(t.Context(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{})
		assert.ErrorContains(t, err, "a reporter makes and deletes no nodes")
		assert.ErrorContains(t, client.CoreV1().Nodes().Delete(t.Context(), "own", metav1.DeleteOptions{}), "a reporter makes and deletes no nodes")
	})
	t.Run("a token that is of no pod changes nothing", func(t *testing.T) {
		try(t, clientOf(t, configOf(t, serviceAccount, nil)), "own", types.MergePatchType, writes[0].patch, `a reporter changes its own node alone, which is ""`, "status")
	})
	t.Run("others are not held up", func(t *testing.T) {
		require.NoError(t, patch(t, shared.Client, "other", types.MergePatchType, `{"metadata":{"labels":{"example.com/team":"a"}}}`))
	})
}

func TestAReporterRenewsItsOwnLeaseAlone(t *testing.T) {
	makeNode(t, "own")
	makeNode(t, "other")
	client := clientOf(t, reporterOn(t, "own"))
	awaitPolicies(t, client)
	apply := func(client kubernetes.Interface, namespace, name string) error {
		_, err := client.CoordinationV1().Leases(namespace).Patch(t.Context(), name, types.ApplyPatchType, []byte(lease(name)), metav1.PatchOptions{FieldManager: "x"})
		return err
	}
	require.NoError(t, apply(client, namespace, "own"))
	require.NoError(t, apply(client, namespace, "own"))
	assert.ErrorContains(t, apply(client, namespace, "other"), `a reporter renews the Lease of its own node alone, which is "own"`)
	require.NoError(t, apply(shared.Client, namespace, "other"))
	assert.ErrorContains(t, apply(client, namespace, "other"), `a reporter renews the Lease of its own node alone, which is "own"`)
	assert.ErrorContains(t, apply(clientOf(t, configOf(t, serviceAccount, nil)), namespace, "own"), `a reporter renews the Lease of its own node alone, which is ""`)

	_, err := client.CoordinationV1().Leases("phalanx-system").Patch(t.Context(), "phalanx-scheduler", types.MergePatchType, []byte(`{"spec":{"holderIdentity":"x"}}`), metav1.PatchOptions{})
	assert.True(t, apierrors.IsForbidden(err), "that of the scheduler: %v", err)
	assert.True(t, apierrors.IsForbidden(client.CoordinationV1().Leases(namespace).Delete(t.Context(), "own", metav1.DeleteOptions{})))
}

func patch(t *testing.T, client kubernetes.Interface, node string, kind types.PatchType, body string, subresources ...string) error {
	_, err := client.CoreV1().Nodes().Patch(t.Context(), node, kind, []byte(body), metav1.PatchOptions{}, subresources...)
	return err
}

// try makes a write. One that is refused leaves the node as it was.
func try(t *testing.T, client kubernetes.Interface, node string, kind types.PatchType, body, refusal string, subresources ...string) {
	t.Helper()
	before := getNode(t, node)
	err := patch(t, client, node, kind, body, subresources...)
	if refusal == "" {
		assert.NoError(t, err)
		return
	}
	assert.ErrorContains(t, err, refusal)
	assert.Equal(t, before.ResourceVersion, getNode(t, node).ResourceVersion)
}

// grantMore gives the reporter's account every right to nodes.
func grantMore(t *testing.T) {
	t.Helper()
	rbac := shared.Client.RbacV1()
	role, err := rbac.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "too-much"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes", "nodes/status"}, Verbs: []string{"*"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	binding, err := rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "too-much"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: serviceAccount}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = rbac.ClusterRoleBindings().Delete(context.Background(), binding.Name, metav1.DeleteOptions{})
		_ = rbac.ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{})
	})
}
