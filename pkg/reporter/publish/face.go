package publish

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

const (
	// ConditionType is the condition's.
	ConditionType v1.NodeConditionType = "GPUHealthy"
)

// The labels.
const (
	// ProductKey is a label of nodes: the GPUs' model, if they are of one.
	ProductKey = gang.KeyPrefix + "gpu-product"
	// LinkKey is a label of nodes: the kind of NVLinks between its GPUs.
	LinkKey = gang.KeyPrefix + "gpu-link"
)

// The condition's reasons.
const (
	allHealthy   = "AllHealthy"
	someDegraded = "SomeDegraded"
	someUnusable = "SomeUnusable"
)

// longestMessage keeps the condition readable, however many GPUs are ill.
const longestMessage = 1024

// face is what a node shows of its GPUs.
type face struct {
	report    string
	labels    map[string]string
	condition v1.NodeCondition // without times
}

func (f face) equal(other face) bool {
	return f.report == other.report && maps.Equal(f.labels, other.labels) && f.condition == other.condition
}

// faceOf is what a report should look like.
func faceOf(report *gpu.Report, text []byte) face {
	f := face{report: string(text), labels: map[string]string{LinkKey: report.Links.Kind.String()}, condition: conditionOf(report)}
	if product := labelValue(productOf(report)); product != "" {
		f.labels[ProductKey] = product
	}
	if !report.Fabric.IsZero() {
		f.labels[gang.GPUCliqueKey] = fmt.Sprintf("%s.%d", report.Fabric.UUID, report.Fabric.Clique)
	}
	return f
}

// productOf is the model of all GPUs, "" if they are of several.
func productOf(report *gpu.Report) string {
	product := ""
	for _, g := range report.GPUs {
		if product != "" && g.Product != product {
			return ""
		}
		product = g.Product
	}
	return product
}

var notInLabels = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// labelValue makes of a model's name what a label may have: "NVIDIA-H100-80GB-HBM3".
func labelValue(text string) string {
	value := notInLabels.ReplaceAllString(text, "-")
	const longest = 63
	return strings.Trim(value[:min(len(value), longest)], "._-")
}

// conditionOf sums a report up. Degraded GPUs work.
func conditionOf(report *gpu.Report) v1.NodeCondition {
	var ill []string
	usable := len(report.GPUs)
	for _, g := range report.GPUs {
		if g.State >= gpu.Drain {
			usable--
		}
		if g.State == gpu.OK {
			continue
		}
		text := fmt.Sprintf("GPU %d is in state %s", g.Index, g.State)
		if len(g.Reasons) > 0 {
			text += ": " + strings.Join(g.Reasons, ", ")
		}
		ill = append(ill, text)
	}
	if report.Missing > 0 {
		ill = append(ill, fmt.Sprintf("%d do not say who they are", report.Missing))
	}
	if report.Links.IsDown {
		ill = append(ill, "the switches between them are down")
	}
	c := v1.NodeCondition{Type: ConditionType, Status: v1.ConditionTrue, Reason: allHealthy}
	switch {
	case usable < len(report.GPUs) || report.Missing > 0 || report.Links.IsDown:
		c.Status, c.Reason = v1.ConditionFalse, someUnusable
	case len(ill) > 0:
		c.Reason = someDegraded
	}
	c.Message = fmt.Sprintf("%d of %d GPUs are usable", usable, len(report.GPUs)+report.Missing)
	if len(ill) > 0 {
		c.Message += ". " + strings.Join(ill, "; ")
	}
	c.Message = c.Message[:min(len(c.Message), longestMessage)]
	return c
}

// faceOn is what a node shows, and since when the condition has its status.
func faceOn(node *v1.Node) (f face, since time.Time) {
	f = face{report: node.Annotations[gang.GPUReportKey], labels: map[string]string{}}
	for _, key := range []string{ProductKey, LinkKey, gang.GPUCliqueKey} {
		if value, ok := node.Labels[key]; ok {
			f.labels[key] = value
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == ConditionType {
			f.condition = v1.NodeCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message}
			since = c.LastTransitionTime.Time
		}
	}
	return f, since
}

// part is what shows the face on a node. It says nothing of what is others'.
func (f face) part(node string, now, since time.Time) map[string]any {
	condition := f.condition
	condition.LastHeartbeatTime, condition.LastTransitionTime = metav1.NewTime(now), metav1.NewTime(since)
	return map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{"name": node, "labels": f.labels, "annotations": map[string]string{gang.GPUReportKey: f.report}},
		"status":   map[string]any{"conditions": []v1.NodeCondition{condition}},
	}
}

// isWorse is true if a report is so in a way that pods must be kept away for: what is shown should be corrected at once. It is
// true too if nobody knows what is shown.
func isWorse(shown string, report *gpu.Report) bool {
	before, err := gpu.Parse([]byte(shown))
	if err != nil {
		return true
	}
	if report.Missing > before.Missing || report.Links.IsDown && !before.Links.IsDown {
		return true
	}
	known := map[string]*gpu.GPU{}
	for i := range report.GPUs {
		known[report.GPUs[i].UUID] = &report.GPUs[i]
	}
	for _, old := range before.GPUs {
		g := known[old.UUID]
		if g == nil || g.State > old.State || g.IsMIG && !old.IsMIG {
			return true
		}
	}
	return false
}
