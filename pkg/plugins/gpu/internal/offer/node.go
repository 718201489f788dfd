package offer

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/claims"
	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu/internal/wish"
)

// GPU is the resource of whole GPUs.
const GPU v1.ResourceName = "nvidia.com/gpu"

// The labels that NVIDIA's GPU feature discovery and MIG manager put on nodes.
const (
	productLabel  = "nvidia.com/gpu.product"
	memoryLabel   = "nvidia.com/gpu.memory" // MiB
	majorLabel    = "nvidia.com/gpu.compute.major"
	minorLabel    = "nvidia.com/gpu.compute.minor"
	replicasLabel = "nvidia.com/gpu.replicas"
	cliqueLabel   = "nvidia.com/gpu.clique"
	migLabel      = "nvidia.com/mig.config.state"
)

// Node is what a node's object says of its GPUs. Build it with [Read].
type Node struct {
	// Capacity is how many the device plugin has, Allocatable how many of them it takes for healthy. On a node without a plugin
	// they are those of a DRA driver.
	Capacity, Allocatable int
	// Domain is the multi-node NVLink domain that they are in, "" for none.
	Domain string
	// Problem says what is wrong with the report, if the node has one that counts as none.
	Problem string

	text    string
	parsed  *report // what text says, whatever the capacity
	mistake string  // why it says nothing
	report  *report // parsed, nil unless it can be true
	labels  facts   // what labels say of every GPU
	isRecut bool    // its MIG instances are being made anew

	driver *claims.View // what DRA says of the node, nil for nothing
	// isDriven is true if the DRA driver has the GPUs to itself. Of those in the report claims hold claimed, and nobody gets
	// reserved by their count: the driver has them and the device plugin others, or they are not offered at all.
	isDriven          bool
	reserved, claimed set
}

// HasReport is true if the node has a report that counts.
func (n *Node) HasReport() bool { return n.report != nil }

// facts are what does not change of a GPU.
type facts struct {
	product    string // in words
	capability gpu.Capability
	memoryMiB  int // 0 if unknown
}

// Read reads a node, and what DRA says of it, if anything. before is what was read of it earlier, or nil: a report whose text is
// the same is not parsed again.
func Read(object *v1.Node, driver *claims.View, before *Node) *Node {
	n := &Node{
		Capacity:    count(object.Status.Capacity),
		Allocatable: count(object.Status.Allocatable),
		labels:      factsOf(object.Labels),
		Domain:      object.Labels[cliqueLabel],
		driver:      driver,
	}
	if n.Capacity == 0 && driver != nil && len(driver.Offered) > 0 {
		n.isDriven = true
		n.Capacity = len(driver.Offered)
		n.Allocatable = n.Capacity - driver.Tainted
	}
	if state := object.Labels[migLabel]; state == "pending" || state == "rebooting" {
		n.isRecut = true
	}
	n.text = object.Annotations[gang.GPUReportKey]
	switch {
	case n.text == "":
		return n
	case before != nil && before.text == n.text:
		n.parsed, n.mistake = before.parsed, before.mistake
	default:
		if parsed, err := gpu.Parse([]byte(n.text)); err != nil {
			n.mistake = clip(fmt.Sprintf("annotation %s: %v", gang.GPUReportKey, err))
		} else {
			n.parsed = newReport(&parsed)
		}
	}
	n.believe()
	return n
}

// believe takes the report for true if it can be.
func (n *Node) believe() {
	switch {
	case n.parsed == nil:
		n.Problem = n.mistake
	case n.Capacity == 0: // the device plugin has not come yet, or has gone: nothing is offered
	case !n.share():
		n.Problem = fmt.Sprintf("annotation %s: it tells of %d GPUs, the node has a capacity of %d %s", gang.GPUReportKey, n.parsed.whole.len(), n.Capacity, GPU)
	default:
		n.report = n.parsed
		if n.parsed.domain != "" {
			n.Domain = n.parsed.domain
		}
	}
}

// share tells the GPUs of the device plugin from those of the driver, and is false if there are more in the report than either has.
func (n *Node) share() bool {
	if n.driver != nil {
		for at := range n.parsed.whole.positions {
			switch uuid := n.parsed.gpus[at].uuid; {
			case n.driver.Held[uuid]:
				n.claimed |= 1 << at
				fallthrough
			case n.driver.Offered[uuid]:
				n.reserved |= 1 << at
			}
		}
	}
	switch {
	case n.isDriven:
		n.reserved = n.parsed.whole &^ n.reserved // which nobody gives away
	case n.parsed.whole.len() <= n.Capacity: // both give away the same ones, or there is no driver
		n.reserved = 0
	}
	return (n.parsed.whole &^ n.reserved).len() <= n.Capacity
}

// whole is the GPUs of the report that pods get by their count.
func (n *Node) whole() set { return n.report.whole &^ n.reserved }

// longestProblem keeps what quotes a report short enough for an event.
const longestProblem = 300

func clip(text string) string {
	if len(text) <= longestProblem {
		return text
	}
	return strings.ToValidUTF8(text[:longestProblem], "") + "…"
}

// mostGPUs is beyond any node, and keeps sums small.
const mostGPUs = 1 << 20

func count(list v1.ResourceList) int {
	q, ok := list[GPU]
	if !ok {
		return 0
	}
	return int(min(max(q.Value(), 0), mostGPUs))
}

// factsOf is what labels say of every GPU of a node. The memory of one that several pods share is nobody's own.
func factsOf(labels map[string]string) facts {
	f := facts{product: wish.Words(labels[productLabel])}
	f.capability.Major = number(labels[majorLabel])
	f.capability.Minor = number(labels[minorLabel])
	if number(labels[replicasLabel]) <= 1 {
		f.memoryMiB = number(labels[memoryLabel])
	}
	return f
}

// number is 0 for what is none, or absurd.
func number(text string) int {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}
