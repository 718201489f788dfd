package placement_test

import (
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// racks makes a fabric of so many nodes with 8 GPUs each, 10 racks to a block and at most 100 nodes to a rack.
func racks(nodes int) (*fabric.Fabric, fabric.Request) {
	f := fabric.New("block", "rack")
	gpu := f.Resource("gpu")
	for i := range nodes {
		rack := i / min(100, max(1, nodes/10))
		f.Set(fabric.Node{
			Name:    fmt.Sprintf("n%d", i),
			Domains: []string{fmt.Sprintf("b%d", rack/10), fmt.Sprintf("r%d", rack%10)},
			Free:    []int64{8},
			IsWhole: true,
		})
	}
	f.Tree()
	return f, fabric.Request{{Resource: gpu, Quantity: 1}}
}

// BenchmarkSolve is the solver alone: a gang of members with one GPU each that must stand in one block, on nodes of which one
// changed since the plan before.
func BenchmarkSolve(b *testing.B) {
	for _, nodes := range []int{100, 1_000, 5_000, 15_000, 100_000} {
		for _, members := range []int{4, 64, 512, 1_024} {
			if members > nodes {
				continue // a block of 10 racks holds 80 % of its nodes in members
			}
			b.Run(fmt.Sprintf("nodes=%d/members=%d", nodes, members), func(b *testing.B) {
				f, request := racks(nodes)
				problem := placement.Problem{
					Classes:  []placement.Class{{Request: request, Members: members, Minimum: members}},
					Minimum:  members,
					Required: 1,
				}
				var solver placement.Solver
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					f.Set(fabric.Node{Name: "n7", Domains: []string{"b0", "r0"}, Free: []int64{int64(i % 8)}})
					if _, refused := solver.Solve(f, problem); refused != nil {
						b.Fatalf("refused: %+v", refused)
					}
				}
			})
		}
	}
}

// BenchmarkSolveRoles is a gang of two roles: a leader that asks for CPUs, and workers with GPUs and CPUs.
func BenchmarkSolveRoles(b *testing.B) {
	for _, nodes := range []int{100, 1_000, 5_000, 15_000} {
		for _, workers := range []int{8, 64, 256} {
			if workers > nodes {
				continue
			}
			b.Run(fmt.Sprintf("nodes=%d/workers=%d", nodes, workers), func(b *testing.B) {
				f, request := racks(nodes)
				cpu := f.Resource("cpu")
				for i := range f.Tree().Len() {
					block, rack := f.Tree().Of(1, i), f.Tree().Of(2, i)
					f.Set(fabric.Node{
						Name:    f.Tree().Node(i),
						Domains: []string{f.Tree().Domain(1, block).Name, f.Tree().Domain(2, rack).Name},
						Free:    []int64{int64(i * i % 9), int64(8 + i%5)},
					})
				}
				problem := placement.Problem{
					Classes: []placement.Class{
						{Request: append(request, fabric.Amount{Resource: cpu, Quantity: 2}), Members: workers, Minimum: workers},
						{Request: fabric.Request{{Resource: cpu, Quantity: 4}}, Members: 1, Minimum: 1},
					},
					Required: 1,
				}
				var solver placement.Solver
				var plan placement.Plan
				for b.Loop() {
					var refused *placement.Refusal
					if plan, refused = solver.Solve(f, problem); refused != nil {
						b.Fatalf("refused: %+v", refused)
					}
				}
				b.ReportMetric(float64(plan.Cost.Domains[1]), "racks")
				b.ReportMetric(float64(plan.Cost.Domains[2]), "nodes")
				b.ReportMetric(float64(plan.Cost.Slots[0]), "slots")
			})
		}
	}
}

// BenchmarkFirst is the first plan of a scheduler that has just started: all nodes come, and a gang of 64 members that must
// stand in one block is solved. It tells what the fabric keeps of a node, and how the time grows: the slope of its logarithm
// over that of the nodes, which is 1 if twice the nodes take twice the time.
func BenchmarkFirst(b *testing.B) {
	var sizes, times []float64
	for _, nodes := range []int{1_000, 5_000, 15_000, 100_000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var f *fabric.Fabric
			for b.Loop() {
				var request fabric.Request
				f, request = racks(nodes)
				problem := placement.Problem{
					Classes:  []placement.Class{{Request: request, Members: 64, Minimum: 64}},
					Minimum:  64,
					Required: 1,
				}
				var solver placement.Solver
				if _, refused := solver.Solve(f, problem); refused != nil {
					b.Fatalf("refused: %+v", refused)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(nodes), "B/node")
			runtime.KeepAlive(f)
			sizes = append(sizes, math.Log(float64(nodes)))
			times = append(times, math.Log(float64(b.Elapsed())/float64(b.N)))
			b.ReportMetric(slope(sizes, times), "slope")
		})
	}
}

// slope is that of the line with the least squares; 0 through less than two points.
func slope(x, y []float64) float64 {
	n, sumX, sumY, sumXX, sumXY := float64(len(x)), 0.0, 0.0, 0.0, 0.0
	for i := range x {
		sumX, sumY, sumXX, sumXY = sumX+x[i], sumY+y[i], sumXX+x[i]*x[i], sumXY+x[i]*y[i]
	}
	if n < 2 {
		return 0
	}
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
}
