package chaos

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// report encodes what a node with 8 GPUs tells, "" if it cannot be encoded.
func report(changes ...func(*gpu.Report)) string {
	golden, err := os.ReadFile("../../pkg/gpu/testdata/h100.json")
	if err != nil {
		return ""
	}
	r, err := gpu.Parse([]byte(strings.TrimSpace(string(golden))))
	if err != nil {
		return ""
	}
	for _, change := range changes {
		change(&r)
	}
	text, err := r.Encode()
	if err != nil {
		return ""
	}
	return string(text)
}

// doubtfulReports has nodes report anything: GPUs that come and go, more than there are, what cannot be read. No Lease is renewed, so
// that all of it goes stale. In the end nobody reports.
func (s *stage) doubtfulReports() {
	lost := func(at int) func(*gpu.Report) {
		return func(r *gpu.Report) { r.GPUs[at].State, r.GPUs[at].Reasons = gpu.Lost, []string{"XID 79"} }
	}
	says := []string{
		report(), report(lost(0)), report(lost(7)), `{"version":1}`, "not JSON",
		report(func(r *gpu.Report) { // less than there are
			r.GPUs = r.GPUs[:1]
		}),
		report(func(r *gpu.Report) { // all of the memory is in use
			for i := range r.GPUs {
				r.GPUs[i].FreeMiB = 0
			}
		}),
	}
	if says[0] == "" || says[1] == "" || says[2] == "" {
		s.t.Error("there is no report to tell")
	}
	end := time.Now().Add(lasting(20*time.Second, 3*time.Second))
	for time.Now().Before(end) && s.t.Context().Err() == nil {
		for _, node := range nodes(s.ns) {
			s.tellReport(node.Name, says[s.random.IntN(len(says))])
		}
	}
	for _, node := range nodes(s.ns) {
		s.tellReport(node.Name, nil)
	}
}

func (s *stage) tellReport(node string, report any) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{gang.GPUReportKey: report}}})
	s.must(err)
	s.insist(func(ctx context.Context) error {
		_, err := s.Client.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	})
}
