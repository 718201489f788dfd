package apiserver_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter/apiserver"
)

// The real API server answers the same requests in test/reporter.
func TestRequests(t *testing.T) {
	var asked, body, answer string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		asked, body = r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type"), string(text)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	client, err := apiserver.New(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	ctx := t.Context()

	answer = `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","uid":"u"}}`
	node, err := client.Node(ctx, "n1")
	require.NoError(t, err)
	assert.EqualValues(t, "u", node.UID)
	assert.Equal(t, "GET /api/v1/nodes/n1?resourceVersion=0 ", asked)

	part := map[string]any{"kind": "Node"}
	require.NoError(t, client.ApplyNodeStatus(ctx, "n1", part))
	assert.Equal(t, "PATCH /api/v1/nodes/n1/status?fieldManager=phalanx-reporter&force=true application/apply-patch+yaml", asked)
	assert.JSONEq(t, `{"kind":"Node"}`, body)

	answer = `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease"}`
	require.NoError(t, client.ApplyLease(ctx, "gpus", "n1", part))
	assert.Equal(t, "PATCH /apis/coordination.k8s.io/v1/namespaces/gpus/leases/n1?fieldManager=phalanx-reporter&force=true application/apply-patch+yaml", asked)

	answer = `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true}}`
	who, err := client.ReviewToken(ctx, &authentication.TokenReview{Spec: authentication.TokenReviewSpec{Token: "x"}})
	require.NoError(t, err)
	assert.True(t, who.Status.Authenticated)
	assert.Equal(t, "POST /apis/authentication.k8s.io/v1/tokenreviews application/json", asked)
	var sent authentication.TokenReview
	require.NoError(t, json.Unmarshal([]byte(body), &sent))
	assert.Equal(t, "x", sent.Spec.Token)

	answer = `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":true}}`
	may, err := client.ReviewAccess(ctx, &authorization.SubjectAccessReview{Spec: authorization.SubjectAccessReviewSpec{User: "u"}})
	require.NoError(t, err)
	assert.True(t, may.Status.Allowed)
	assert.Equal(t, "POST /apis/authorization.k8s.io/v1/subjectaccessreviews application/json", asked)

	status, answer = http.StatusForbidden, `{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"Forbidden","message":"no","code":403}`
	assert.True(t, apierrors.IsForbidden(client.ApplyNodeStatus(ctx, "n1", part)))
	_, err = client.Node(ctx, "n1")
	assert.True(t, apierrors.IsForbidden(err), "%v", err)
	_, err = apiserver.New(&rest.Config{Host: "://"})
	assert.Error(t, err)
}
