package install

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authentication "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/phalanx-scheduler/phalanx/test/chroot"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// kubelet runs pods of scheduler and reporter as a kubelet and a container runtime would, as far as the program can tell: in a root
// folder that holds its binary and the pod's volumes and that it cannot write to, as the user of the pod where the test may change
// users, with the pod's arguments and environment, and with a token that is bound to the pod. Not like a kubelet it changes the port,
// since all pods share this machine, and it sets no limits.
type kubelet struct {
	*controlplane.ControlPlane
	client   kubernetes.Interface
	programs map[string]string   // paths by the pod's nameLabel
	running  map[string]*started // by the pod's name
}

// nameLabel says which program a pod runs.
const nameLabel = "app.kubernetes.io/name"

type started struct {
	*controlplane.Process
	pod              *v1.Pod
	program, address string
}

// run starts the program of a pod that is bound to a node.
func (k *kubelet) run(t *testing.T, pod *v1.Pod) error {
	t.Helper()
	root := t.TempDir()
	volumes := map[string]v1.Volume{}
	for _, volume := range pod.Spec.Volumes {
		volumes[volume.Name] = volume
	}
	container := pod.Spec.Containers[0]
	for _, mount := range container.VolumeMounts {
		if err := k.fill(t, pod, volumes[mount.Name], filepath.Join(root, mount.MountPath)); err != nil {
			return err
		}
	}
	name := pod.Labels[nameLabel]
	chroot.Copy(t, k.programs[name], filepath.Join(root, name))
	for _, library := range chroot.Libraries(t, k.programs[name]) {
		chroot.Copy(t, library, filepath.Join(root, library))
	}

	api, err := url.Parse(k.AdminConfig().Host)
	require.NoError(t, err)
	args := []string{"-i", "PATH=" + os.Getenv("PATH"), "KUBERNETES_SERVICE_HOST=" + api.Hostname(), "KUBERNETES_SERVICE_PORT=" + api.Port()}
	for _, env := range container.Env {
		value := env.Value
		if env.ValueFrom != nil {
			value = map[string]string{"spec.nodeName": pod.Spec.NodeName, "metadata.name": pod.Name, "metadata.namespace": pod.Namespace}[env.ValueFrom.FieldRef.FieldPath]
			require.NotEmpty(t, value, env.Name)
		}
		args = append(args, env.Name+"="+value)
	}
	args = append(args, chroot.Enter(t, root)...)
	args = append(args, "/"+name)
	args = append(args, container.Args...)
	s := &started{pod: pod, program: name, address: freeAddress(t)}
	_, port, err := net.SplitHostPort(s.address)
	require.NoError(t, err)
	s.Process, err = k.StartProcess(pod.Name, "env", append(args, "--bind-address=127.0.0.1", "--secure-port="+port)...)
	k.running[pod.Name] = s
	return err
}

// sync gives pods of the default scheduler, which does not run here, a node, and runs what is to run.
func (k *kubelet) sync(t *testing.T, node string) {
	t.Helper()
	pods, err := k.client.CoreV1().Pods(v1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	wanted := map[string]bool{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Spec.SchedulerName == v1.DefaultSchedulerName && pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil {
			_ = k.bind(t.Context(), pod, node) // it may be gone by now
			continue
		}
		if k.mayRun(pod) && pod.Spec.NodeName != "" && pod.DeletionTimestamp == nil {
			wanted[pod.Name] = true
			if k.running[pod.Name] != nil {
				continue
			}
			if err := k.run(t, pod); !apierrors.IsNotFound(err) { // it may be gone by now
				require.NoError(t, err)
			}
		}
	}
	for name, s := range k.running {
		err := s.Failure()
		if err != nil && k.isThere(t, s.pod) {
			require.ErrorContains(t, err, "address already in use") // somebody took the port meanwhile: it is started again
		}
		if !wanted[name] {
			_ = s.Stop()
		}
		if err != nil || !wanted[name] {
			delete(k.running, name)
		}
	}
}

// isThere is true until a pod is on its way out, with which its token ends.
func (k *kubelet) isThere(t *testing.T, pod *v1.Pod) bool {
	t.Helper()
	now, err := k.client.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false
	}
	require.NoError(t, err)
	return now.UID == pod.UID && now.DeletionTimestamp == nil
}

// mayRun is true for pods that this machine has all for: no GPU driver.
func (k *kubelet) mayRun(pod *v1.Pod) bool {
	return k.programs[pod.Labels[nameLabel]] != "" &&
		!slices.ContainsFunc(pod.Spec.Volumes, func(volume v1.Volume) bool { return volume.HostPath != nil })
}

// bind gives a pod the node that it can go to: any, but for a DaemonSet's, which name theirs.
func (k *kubelet) bind(ctx context.Context, pod *v1.Pod, node string) error {
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		node = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchFields[0].Values[0]
	}
	return k.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}, Target: v1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{})
}

// fill writes the content of a volume.
func (k *kubelet) fill(t *testing.T, pod *v1.Pod, volume v1.Volume, folder string) error {
	t.Helper()
	require.NoError(t, os.MkdirAll(folder, 0o755))
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
	}
	if volume.ConfigMap != nil {
		data, err := k.configMap(t, pod, volume.ConfigMap.Name)
		for name, text := range data {
			write(name, text)
		}
		return err
	}
	require.NotNil(t, volume.Projected, "no other volumes are known: %s", volume.Name)
	for _, source := range volume.Projected.Sources {
		switch {
		case source.ServiceAccountToken != nil:
			token, err := k.token(t, pod, source.ServiceAccountToken)
			if err != nil {
				return err
			}
			write(source.ServiceAccountToken.Path, token)
		case source.ConfigMap != nil:
			data, err := k.configMap(t, pod, source.ConfigMap.Name)
			if err != nil {
				return err
			}
			for _, item := range source.ConfigMap.Items {
				write(item.Path, data[item.Key])
			}
		case source.DownwardAPI != nil:
			for _, item := range source.DownwardAPI.Items {
				require.Equal(t, "metadata.namespace", item.FieldRef.FieldPath)
				write(item.Path, pod.Namespace)
			}
		}
	}
	return nil
}

func (k *kubelet) configMap(t *testing.T, pod *v1.Pod, name string) (map[string]string, error) {
	t.Helper()
	object, err := k.client.CoreV1().ConfigMaps(pod.Namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return object.Data, nil
}

// token gets what the projected volume asks for, and holds it against what the security policy promises of it: it is the API
// server's, nobody else's, and ends within the hour.
func (k *kubelet) token(t *testing.T, pod *v1.Pod, source *v1.ServiceAccountTokenProjection) (string, error) {
	t.Helper()
	spec := authentication.TokenRequestSpec{ExpirationSeconds: source.ExpirationSeconds, BoundObjectRef: &authentication.BoundObjectReference{
		Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID,
	}}
	if source.Audience != "" {
		spec.Audiences = []string{source.Audience}
	}
	answer, err := k.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(t.Context(), pod.Spec.ServiceAccountName,
		&authentication.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	review := func(audiences ...string) bool {
		result, err := k.client.AuthenticationV1().TokenReviews().Create(t.Context(), &authentication.TokenReview{
			Spec: authentication.TokenReviewSpec{Token: answer.Status.Token, Audiences: audiences}}, metav1.CreateOptions{})
		require.NoError(t, err)
		return result.Status.Authenticated
	}
	assert.False(t, review("vault"), "it is for nobody else") // that the API server takes it, the program finds out
	return answer.Status.Token, nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}
