package security

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// right is one verb on one resource, somewhere.
type right struct {
	user, namespace       string // no namespace: in all of them, and on what has none
	verb, group, resource string
	name                  string // "" means any
}

func (r right) String() string {
	where := "everywhere"
	if r.namespace != "" {
		where = "in " + r.namespace
	}
	return fmt.Sprintf("%s %s.%s %s", r.verb, r.resource, r.group, where)
}

// excuses are for rights that are not seen to be used in the audit log of the rehearsal. One that is must not be here.
var excuses = map[string]func(right) bool{
	"Informers stream their first list where the API server lets them. Where it does not, or a stream fails, they list.": func(r right) bool {
		return r.verb == "list"
	},
	"The API server asks for it itself, when a claim's status binds it: without it the rehearsal's pod with a claim gets no node.": func(r right) bool {
		return r.resource == "resourceclaims/binding"
	},
	"Taking back what was done for a pod that then could not be bound, or found changed meanwhile.": func(r right) bool {
		return r.group == "resource.k8s.io" && slices.Contains([]string{"get resourceclaims", "delete resourceclaims", "patch resourceclaims/status"}, r.verb+" "+r.resource)
	},
	"A Lease that is applied and is not there is made, for which the API server asks itself: without it the rehearsal's node shows no report.": func(r right) bool {
		return r.user == reporterUser && r.verb == "create" && r.resource == "leases"
	},
	"An event that is repeated within minutes, of who leads.": func(r right) bool {
		return r.namespace == "phalanx-system" && r.verb == "patch" && r.resource == "events"
	},
	"An API server with a gate that is off by default.": func(r right) bool {
		return r.resource == "devicetaintrules"
	},
}

func TestOurAccountsAreNeverForbiddenAnything(t *testing.T) {
	r := rehearse(t)
	require.Greater(t, len(r.requests), 100)
	for _, request := range r.requests {
		assert.NotEqual(t, int32(http.StatusForbidden), request.code, "%s: %v", request, request.event.ResponseStatus)
	}
}

func TestEveryRightIsUsed(t *testing.T) {
	r := rehearse(t)
	isNeeded := map[string]bool{}
	for _, right := range rights(t, "manifests/default") {
		isUsed, isExcused := slices.ContainsFunc(r.requests, right.allows), false
		for excuse, isFor := range excuses {
			if !isUsed && isFor(right) {
				isNeeded[excuse], isExcused = true, true
			}
		}
		assert.True(t, isUsed || isExcused, "%s may %s, which nobody needs", right.user, right)
	}
	for excuse := range excuses {
		assert.True(t, isNeeded[excuse], "an excuse for nothing: %s", excuse)
	}
}

// allows is true if a request is made by this right.
func (r right) allows(made request) bool {
	return made.user == r.user && made.verb == r.verb && made.group == r.group && made.resource == r.resource &&
		(r.namespace == "" || made.namespace == r.namespace) && (r.name == "" || made.name == r.name)
}

// TestNoRightReachesFurtherThanItMust looks for rights to all namespaces whose every use is in our own ones.
func TestNoRightReachesFurtherThanItMust(t *testing.T) {
	r := rehearse(t)
	for _, right := range rights(t, "manifests/default") {
		if right.namespace != "" {
			continue
		}
		isElsewhere := false
		uses := 0
		for _, made := range r.requests {
			if right.allows(made) {
				uses++
				isElsewhere = isElsewhere || !strings.HasPrefix(made.namespace, "phalanx-")
			}
		}
		assert.True(t, uses == 0 || isElsewhere, "%s may %s, a Role would do", right.user, right)
	}
}

// dangerous are words of roles that give more than they say.
var dangerous = []string{"*", "secrets", "escalate", "bind", "impersonate", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers",
	"nodes/proxy", "serviceaccounts/token", "certificatesigningrequests", "deletecollection"}

func TestNoRoleHasADangerousRight(t *testing.T) {
	for _, folder := range folders(t) {
		t.Run(folder, func(t *testing.T) {
			for _, rule := range roles(t, folder).rules() {
				for _, word := range slices.Concat(rule.Verbs, rule.Resources, rule.APIGroups, rule.NonResourceURLs) {
					assert.NotContains(t, dangerous, word)
				}
				assert.NotEqual(t, []string{"rbac.authorization.k8s.io"}, rule.APIGroups)
				assert.Subset(t, []string{"/metrics"}, rule.NonResourceURLs)
			}
			for _, binding := range roles(t, folder).clusterBindings {
				assert.Contains(t, []string{"phalanx-scheduler", "phalanx-reporter"}, binding.RoleRef.Name, "roles of others change with the cluster's version")
			}
		})
	}
}

// TestLeasesAreGivenByName: the scheduler's own is one, and nobody makes leases where the scheduler's is.
func TestLeasesAreGivenByName(t *testing.T) {
	for _, right := range rights(t, "manifests/default") {
		if right.resource != "leases" {
			continue
		}
		switch {
		case right.namespace == "phalanx-reporter": // held to one Lease by an admission policy
		default:
			assert.Equal(t, "phalanx-system phalanx-scheduler", right.namespace+" "+right.name, "%s may %s", right.user, right)
			assert.NotEqual(t, "create", right.verb)
		}
	}
}

// manifests are the roles of a rendered folder and who has them.
type manifests struct {
	clusterRoles    []rbacv1.ClusterRole
	roles           []rbacv1.Role
	clusterBindings []rbacv1.ClusterRoleBinding
	bindings        []rbacv1.RoleBinding
}

func (m manifests) rules() (all []rbacv1.PolicyRule) {
	for _, role := range m.clusterRoles {
		all = append(all, role.Rules...)
	}
	for _, role := range m.roles {
		all = append(all, role.Rules...)
	}
	return all
}

// roles renders a folder.
func roles(t *testing.T, folder string) (m manifests) {
	t.Helper()
	for _, object := range render(t, folder) {
		switch object.kind {
		case "ClusterRole":
			m.clusterRoles = append(m.clusterRoles, parse[rbacv1.ClusterRole](t, object.text))
		case "Role":
			m.roles = append(m.roles, parse[rbacv1.Role](t, object.text))
		case "ClusterRoleBinding":
			m.clusterBindings = append(m.clusterBindings, parse[rbacv1.ClusterRoleBinding](t, object.text))
		case "RoleBinding":
			m.bindings = append(m.bindings, parse[rbacv1.RoleBinding](t, object.text))
		}
	}
	return m
}

// rights are all that the bindings of a folder give by roles of ours. One binding is to a role of Kubernetes' own.
func rights(t *testing.T, folder string) (all []right) {
	t.Helper()
	m := roles(t, folder)
	give := func(subjects []rbacv1.Subject, namespace string, rules []rbacv1.PolicyRule) {
		for _, s := range subjects {
			user := fmt.Sprintf("system:serviceaccount:%s:%s", s.Namespace, s.Name)
			for _, rule := range rules {
				all = append(all, expand(user, namespace, rule)...)
			}
		}
	}
	for _, binding := range m.clusterBindings {
		i := slices.IndexFunc(m.clusterRoles, func(r rbacv1.ClusterRole) bool { return r.Name == binding.RoleRef.Name })
		require.GreaterOrEqual(t, i, 0, binding.RoleRef.Name)
		give(binding.Subjects, "", m.clusterRoles[i].Rules)
	}
	for _, binding := range m.bindings {
		if binding.RoleRef.Name == "extension-apiserver-authentication-reader" {
			continue
		}
		i := slices.IndexFunc(m.roles, func(r rbacv1.Role) bool {
			return binding.RoleRef.Kind == "Role" && r.Name == binding.RoleRef.Name && r.Namespace == binding.Namespace
		})
		require.GreaterOrEqual(t, i, 0, "%s/%s", binding.Namespace, binding.RoleRef.Name)
		give(binding.Subjects, binding.Namespace, m.roles[i].Rules)
	}
	require.NotEmpty(t, all)
	return all
}

// expand lists the rights of a rule.
func expand(user, namespace string, rule rbacv1.PolicyRule) (all []right) {
	names := rule.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				for _, name := range names {
					all = append(all, right{user, namespace, verb, group, resource, name})
				}
			}
		}
	}
	return all
}

// object is one of a rendered folder, as JSON.
type object struct {
	kind string
	text []byte
}

func render(t *testing.T, folder string) (objects []object) {
	t.Helper()
	rendered, err := cluster.Render(folder)
	require.NoError(t, err)
	for _, o := range rendered {
		text, err := o.MarshalJSON()
		require.NoError(t, err)
		objects = append(objects, object{o.GetKind(), text})
	}
	return objects
}

func parse[T any](t *testing.T, text []byte) (object T) {
	t.Helper()
	require.NoError(t, yaml.UnmarshalStrict(text, &object))
	return object
}

// folders are those of manifests that can be rendered.
func folders(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), "manifests", "*", "kustomization.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		all = append(all, "manifests/"+filepath.Base(filepath.Dir(file)))
	}
	return all
}
