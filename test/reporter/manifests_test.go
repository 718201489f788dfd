package reporter

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// render returns what an overlay makes of the DaemonSet, and the level to which its namespace holds pods.
func render(t *testing.T, folder string) (pod v1.PodTemplateSpec, level string) {
	t.Helper()
	objects, err := cluster.Render("manifests/" + folder)
	require.NoError(t, err)
	for _, object := range objects {
		switch object.GetKind() {
		case "DaemonSet":
			var set appsv1.DaemonSet
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &set, true))
			pod = set.Spec.Template
		case "Namespace":
			level = object.GetLabels()["pod-security.kubernetes.io/enforce"]
		}
	}
	require.Len(t, pod.Spec.Containers, 1)
	return pod, level
}

func TestOverlays(t *testing.T) {
	for folder, test := range map[string]struct {
		level, runtimeClass string
		env                 []string
		cdi                 string
		volumes             []string
		isPrivileged        bool
	}{
		"reporter":          {level: "restricted", runtimeClass: "nvidia", env: []string{"NODE_NAME", "POD_NAME", "POD_NAMESPACE", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "GOMEMLIMIT"}, volumes: []string{"token"}},
		"reporter-cdi":      {level: "restricted", env: []string{"NODE_NAME", "POD_NAME", "POD_NAMESPACE", "GOMEMLIMIT"}, cdi: "nvidia.com/gpu=all", volumes: []string{"token"}},
		"reporter-hostpath": {level: "privileged", env: []string{"NODE_NAME", "POD_NAME", "POD_NAMESPACE", "GOMEMLIMIT"}, volumes: []string{"library", "token"}, isPrivileged: true},
	} {
		t.Run(folder, func(t *testing.T) {
			pod, level := render(t, folder)
			assert.Equal(t, test.level, level)
			class := ""
			if pod.Spec.RuntimeClassName != nil {
				class = *pod.Spec.RuntimeClassName
			}
			assert.Equal(t, test.runtimeClass, class)
			assert.Equal(t, test.cdi, pod.Annotations["cdi.k8s.io/phalanx-reporter"])
			container := pod.Spec.Containers[0]
			var env, volumes []string
			for _, e := range container.Env {
				env = append(env, e.Name)
			}
			for _, v := range pod.Spec.Volumes {
				volumes = append(volumes, v.Name)
			}
			assert.ElementsMatch(t, test.env, env)
			assert.ElementsMatch(t, test.volumes, volumes)
			assert.Len(t, container.VolumeMounts, len(volumes))
			assert.Equal(t, test.isPrivileged, container.SecurityContext.Privileged != nil && *container.SecurityContext.Privileged)
			assert.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
			assert.True(t, *pod.Spec.SecurityContext.RunAsNonRoot)
			for name := range container.Resources.Limits {
				assert.Contains(t, []v1.ResourceName{"cpu", "memory"}, name, "a GPU that the reporter holds is one that no pod gets")
			}
		})
	}
}
