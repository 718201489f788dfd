// Package install proves what an administrator meets: that the manifests are what the security policy promises, that metrics which
// alerts and dashboards name are served, and that the commands of docs/install.md do what the page says, on a real API server.
package install

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// overlays are what may be applied by itself.
var overlays = []string{"base", "default", "drop-in", "single-replica", "reporter", "reporter-cdi", "reporter-hostpath", "monitoring"}

// workload is a Deployment or a DaemonSet.
type workload struct {
	name, namespace string
	v1.PodTemplateSpec
}

func (w workload) container() v1.Container { return w.Spec.Containers[0] }

func render(t *testing.T, overlay string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := cluster.Render("manifests/" + overlay)
	require.NoError(t, err)
	return objects
}

// workloads returns those among the objects. Each has one container.
func workloads(t *testing.T, objects []*unstructured.Unstructured) []workload {
	t.Helper()
	var found []workload
	for _, object := range objects {
		w := workload{name: object.GetName(), namespace: object.GetNamespace()}
		switch object.GetKind() {
		case "Deployment":
			w.PodTemplateSpec = as[appsv1.Deployment](t, object).Spec.Template
		case "DaemonSet":
			w.PodTemplateSpec = as[appsv1.DaemonSet](t, object).Spec.Template
		default:
			continue
		}
		require.Len(t, w.Spec.Containers, 1)
		require.Empty(t, w.Spec.InitContainers)
		found = append(found, w)
	}
	return found
}

// as reads an object as what it is; a field that its kind does not have is an error.
func as[T any](t *testing.T, object *unstructured.Unstructured) *T {
	t.Helper()
	typed := new(T)
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, typed, true))
	return typed
}

// all returns the objects of a kind.
func all[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) []*T {
	t.Helper()
	var found []*T
	for _, object := range objects {
		if object.GetKind() == kind {
			found = append(found, as[T](t, object))
		}
	}
	return found
}
