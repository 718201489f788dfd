package offer

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/links"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/claims"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/wish"
)

// golden is a report of package gpu's: what the reporter says of that system while nobody uses it.
func golden(t testing.TB, system string) *gpu.Report {
	text, err := os.ReadFile("../../../../gpu/testdata/" + system + ".json")
	require.NoError(t, err)
	r, err := gpu.Parse([]byte(strings.TrimSpace(string(text))))
	require.NoError(t, err)
	return &r
}

// scene is a node with pods, as the test tells it. Without a system it has 8 GPUs and no report.
type scene struct {
	system  string
	report  func(r *gpu.Report)
	text    string // the annotation, instead of a report
	node    func(n *v1.Node)
	pods    []pod
	driver  func(r *gpu.Report) *claims.View
	isStale bool
}

// pod is one on the node: it asked for so many GPUs, and shows these by position. A position of -1 is a device that the report
// does not know.
type pod struct {
	gpus      int
	shows     []int
	isRunning bool
	unhealthy bool // so the device plugin takes those that it shows
}

func (s scene) offer(t testing.TB) Offer {
	object := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{}, Annotations: map[string]string{}}}
	setGPUs(object, 8, 8)
	var r *gpu.Report
	if s.system != "" {
		r = golden(t, s.system)
		setGPUs(object, len(r.GPUs), len(r.GPUs))
		if s.report != nil {
			s.report(r)
		}
		text, err := r.Encode()
		require.NoError(t, err)
		s.text = string(text)
	}
	if s.text != "" {
		object.Annotations[gang.GPUReportKey] = s.text
	}
	if s.node != nil {
		s.node(object)
	}
	var pods []fwk.PodInfo
	for i, p := range s.pods {
		info, err := framework.NewPodInfo(p.object(fmt.Sprint("pod-", i), r))
		require.NoError(t, err)
		pods = append(pods, info)
	}
	var driver *claims.View
	if s.driver != nil {
		driver = s.driver(r)
	}
	n := Read(object, driver, nil)
	return Offer{Node: n, Taken: n.TakenBy(pods), IsStale: s.isStale}
}

func setGPUs(n *v1.Node, capacity, allocatable int) {
	n.Status.Capacity = v1.ResourceList{GPU: *resource.NewQuantity(int64(capacity), resource.DecimalSI)}
	n.Status.Allocatable = v1.ResourceList{GPU: *resource.NewQuantity(int64(allocatable), resource.DecimalSI)}
}

// withdrawn has the device plugin withdraw so many of 8 GPUs.
func withdrawn(count int) func(n *v1.Node) {
	return func(n *v1.Node) { setGPUs(n, 8, 8-count) }
}

func labelled(pairs ...string) func(n *v1.Node) {
	return func(n *v1.Node) {
		for i := 0; i < len(pairs); i += 2 {
			n.Labels[pairs[i]] = pairs[i+1]
		}
	}
}

func (p pod) object(name string, r *gpu.Report) *v1.Pod {
	out := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name)}}
	asks := v1.ResourceList{GPU: *resource.NewQuantity(int64(p.gpus), resource.DecimalSI)}
	out.Spec.Containers = []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Requests: asks, Limits: asks}}}
	out.Spec.NodeName = "n1"
	if p.isRunning {
		out.Status.Phase = v1.PodRunning
	}
	health := v1.ResourceHealthStatusHealthy
	if p.unhealthy {
		health = v1.ResourceHealthStatusUnhealthy
	}
	shown := v1.ResourceStatus{Name: GPU}
	for i, at := range p.shows {
		uuid := fmt.Sprint("GPU-of-nobody-", i)
		if at >= 0 {
			uuid = r.GPUs[at].UUID
		}
		shown.Resources = append(shown.Resources, v1.ResourceHealth{ResourceID: v1.ResourceID(uuid), Health: health})
	}
	if len(p.shows) > 0 {
		out.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "c", AllocatedResourcesStatus: []v1.ResourceStatus{shown}}}
	}
	return out
}

// bad puts GPUs into a state.
func bad(state gpu.State, positions ...int) func(r *gpu.Report) {
	return func(r *gpu.Report) {
		for _, at := range positions {
			r.GPUs[at].State = state
		}
	}
}

// leaks takes 60 GiB of GPUs of 80.
func leaks(positions ...int) func(r *gpu.Report) {
	return func(r *gpu.Report) {
		for _, at := range positions {
			r.GPUs[at].FreeMiB = gpu.RoundFreeMiB(r.GPUs[at].MemoryMiB, 20<<10)
		}
	}
}

func both(changes ...func(r *gpu.Report)) func(r *gpu.Report) {
	return func(r *gpu.Report) {
		for _, change := range changes {
			change(r)
		}
	}
}

// one asks for so many GPUs in one container.
func one(gpus int) Need { return Need{Count: gpus, Largest: gpus, Sets: 1} }

func (n Need) with(w wish.Wish) Need { n.Wish = w; return n }

var (
	memory40  = wish.Wish{MemoryMiB: 40 << 10}
	nvlink    = wish.Wish{Link: wish.Link{Kind: links.NVLink, IsRequired: true}}
	sameNUMA  = wish.Wish{Link: wish.Link{Kind: links.SameNUMA, IsRequired: true}}
	preferred = wish.Wish{Link: wish.Link{Kind: links.NVLink}}
)

func h100s(pods ...pod) scene { return scene{system: "h100", pods: pods} }
