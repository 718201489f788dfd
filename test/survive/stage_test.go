package survive

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
	"github.com/phalanx-scheduler/phalanx/test/controlplane"
)

// stage is the part of the cluster that one seed plays on: all nodes, and a namespace.
type stage struct {
	t *testing.T
	*cluster.Cluster
	ns string
}

var now = metav1.DeleteOptions{GracePeriodSeconds: new(int64)}

// set makes the nodes and the residents.
func (s *stage) set(w *World) {
	s.t.Helper()
	_, err := s.Client.CoreV1().Namespaces().Create(s.t.Context(), &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.ns}}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	require.NoError(s.t, controlplane.CreateNodes(s.t.Context(), s.Client, w.Nodes))
	s.create(w.Residents)
}

// clear takes all of it away, for the next seed.
func (s *stage) clear() {
	s.t.Helper()
	core := s.Client.CoreV1()
	require.NoError(s.t, core.Pods(s.ns).DeleteCollection(s.t.Context(), now, metav1.ListOptions{}))
	require.NoError(s.t, core.PersistentVolumeClaims(s.ns).DeleteCollection(s.t.Context(), now, metav1.ListOptions{}))
	require.NoError(s.t, core.PersistentVolumes().DeleteCollection(s.t.Context(), now, metav1.ListOptions{}))
	require.NoError(s.t, core.Nodes().DeleteCollection(s.t.Context(), now, metav1.ListOptions{}))
}

func (s *stage) create(pods []*v1.Pod) {
	s.t.Helper()
	for _, pod := range pods {
		_, err := s.Client.CoreV1().Pods(s.ns).Create(s.t.Context(), pod, metav1.CreateOptions{})
		require.NoError(s.t, err)
	}
}

// provide makes a gang's volumes and claims.
func (s *stage) provide(g *Gang) {
	s.t.Helper()
	for i := range g.Volumes {
		_, err := s.Client.CoreV1().PersistentVolumes().Create(s.t.Context(), g.Volumes[i], metav1.CreateOptions{})
		require.NoError(s.t, err)
		_, err = s.Client.CoreV1().PersistentVolumeClaims(s.ns).Create(s.t.Context(), g.Claims[i], metav1.CreateOptions{})
		require.NoError(s.t, err)
	}
}

// submit makes a gang's PodGroup and its pods.
func (s *stage) submit(g *Gang) {
	s.t.Helper()
	_, err := s.Dynamic.Resource(Groups[g.Dialect]).Namespace(s.ns).Create(s.t.Context(), g.PodGroup(s.ns), metav1.CreateOptions{})
	require.NoError(s.t, err)
	s.create(g.Pods)
}

// withdraw deletes pods, and the gang's PodGroup if none is left.
func (s *stage) withdraw(g *Gang, pods []v1.Pod) {
	s.t.Helper()
	for _, pod := range pods {
		require.NoError(s.t, s.Client.CoreV1().Pods(s.ns).Delete(s.t.Context(), pod.Name, now))
	}
	if len(s.members(g)) == 0 {
		require.NoError(s.t, s.Dynamic.Resource(Groups[g.Dialect]).Namespace(s.ns).Delete(s.t.Context(), g.Name, metav1.DeleteOptions{}))
	}
}

func (s *stage) members(g *Gang) []v1.Pod {
	s.t.Helper()
	list, err := s.Client.CoreV1().Pods(s.ns).List(s.t.Context(), metav1.ListOptions{LabelSelector: gangLabel + "=" + g.Name})
	require.NoError(s.t, err)
	return list.Items
}

// facts reads what the API says now.
func (s *stage) facts() *Facts {
	s.t.Helper()
	f := &Facts{Volumes: map[string]*v1.PersistentVolume{}}
	nodes, err := s.Client.CoreV1().Nodes().List(s.t.Context(), metav1.ListOptions{})
	require.NoError(s.t, err)
	for i := range nodes.Items {
		f.Nodes = append(f.Nodes, &nodes.Items[i])
	}
	pods, err := s.Client.CoreV1().Pods(s.ns).List(s.t.Context(), metav1.ListOptions{})
	require.NoError(s.t, err)
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName != "" {
			f.Pods = append(f.Pods, &pods.Items[i])
		}
	}
	volumes, err := s.Client.CoreV1().PersistentVolumes().List(s.t.Context(), metav1.ListOptions{})
	require.NoError(s.t, err)
	for i := range volumes.Items {
		claim := volumes.Items[i].Spec.ClaimRef
		f.Volumes[claim.Namespace+"/"+claim.Name] = &volumes.Items[i]
	}
	return f
}

// await waits until a gang's members are as they are wanted; false if that takes longer than the patience.
func (s *stage) await(g *Gang, patience time.Duration, isSo func(bound, waiting int) bool) bool {
	s.t.Helper()
	err := wait.PollUntilContextTimeout(s.t.Context(), 20*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		bound, waiting := 0, 0
		for _, pod := range s.members(g) {
			if pod.Spec.NodeName != "" {
				bound++
			} else if sentence(&pod) != "" {
				waiting++
			}
		}
		return isSo(bound, waiting), nil
	})
	return err == nil
}

// sentence is why a member was refused, "" if it was not.
func sentence(pod *v1.Pod) string {
	for _, c := range pod.Status.Conditions {
		isFinal := c.Type == v1.PodScheduled && c.Status == v1.ConditionFalse && c.Reason == v1.PodReasonUnschedulable
		if isFinal && !strings.HasPrefix(c.Message, "GangIncomplete") && !strings.HasPrefix(c.Message, "GangNotFound") {
			return c.Message
		}
	}
	return ""
}

var rejectedMetric = regexp.MustCompile(`(?m)^phalanx_plans_rejected_total (\S+)$`)

// plansRejected is how many plans the filters turned away, by the scheduler's metrics.
func plansRejected(t *testing.T, c *cluster.Cluster, s *cluster.Scheduler) string {
	t.Helper()
	config := rest.CopyConfig(c.AdminConfig())
	certificate, err := tls.X509KeyPair(config.CertData, config.KeyData)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true, // the endpoint's own is signed by nobody
	}}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://%s/metrics", s.Address), nil)
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	found := rejectedMetric.FindSubmatch(body)
	require.NotNil(t, found, "HTTP %s: %.200s", response.Status, body)
	return string(found[1])
}
