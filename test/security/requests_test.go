package security

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/phalanx-scheduler/phalanx/test/audit"
)

// The users that the ServiceAccounts of the manifests are.
const (
	schedulerUser = "system:serviceaccount:phalanx-system:phalanx-scheduler"
	reporterUser  = "system:serviceaccount:phalanx-reporter:phalanx-reporter"
)

// request is one that the API server wrote down.
type request struct {
	user, verb                       string
	group, resource, namespace, name string // the resource with its subresource, if any
	code                             int32
	hasBodies                        bool
	event                            auditv1.Event
}

func (r request) String() string {
	return fmt.Sprintf("%d %s %s.%s %s/%s by %s", r.code, r.verb, r.resource, r.group, r.namespace, r.name, r.user)
}

// everything is an audit policy that has the API server write down every request of ours, reads too.
func everything(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: [%q, %q]}
- {level: None}
`, schedulerUser, reporterUser), 0o600))
	return path
}

// requestsOf reads an audit log: a request is there once it was answered, a watch once it began.
func requestsOf(t *testing.T, path string) (all []request) {
	t.Helper()
	events, err := audit.Read(path)
	require.NoError(t, err)
	for _, e := range events {
		r := request{user: e.User.Username, verb: e.Verb, hasBodies: e.RequestObject != nil || e.ResponseObject != nil, event: e}
		if e.ResponseStatus != nil {
			r.code = e.ResponseStatus.Code
		}
		if o := e.ObjectRef; o != nil {
			r.group, r.resource, r.namespace, r.name = o.APIGroup, o.Resource, o.Namespace, o.Name
			if o.Subresource != "" {
				r.resource += "/" + o.Subresource
			}
		}
		all = append(all, r)
	}
	return all
}
