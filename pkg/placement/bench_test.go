package placement_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

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

// BenchmarkSolveRoles is the solver alone for gangs of two roles that must stand in one block, on a cluster where nothing runs,
// on a used one, and on one that is short of CPUs too:
//
//   - launcher: a launcher that asks for CPUs, and workers with whole nodes of 8 GPUs;
//   - serving: 4 prefill members with 4 GPUs, and 8 decode members with 2;
//   - small: a launcher, and workers with one GPU and CPUs.
func BenchmarkSolveRoles(b *testing.B) {
	const gpu, cpu = 0, 1
	ask := func(gpus, cpus int64) fabric.Request {
		return fabric.Request{{Resource: gpu, Quantity: gpus}, {Resource: cpu, Quantity: cpus}}
	}
	class := func(members int, request fabric.Request) placement.Class {
		return placement.Class{Members: members, Minimum: members, Request: request}
	}
	gangs := []struct {
		name    string
		classes []placement.Class
	}{
		{"launcher=1+8", []placement.Class{class(8, ask(8, 8)), class(1, ask(0, 4))}},
		{"launcher=1+64", []placement.Class{class(64, ask(8, 8)), class(1, ask(0, 4))}},
		{"launcher=1+256", []placement.Class{class(256, ask(8, 8)), class(1, ask(0, 4))}},
		{"serving=4+8", []placement.Class{class(4, ask(4, 4)), class(8, ask(2, 2))}},
		{"small=1+64", []placement.Class{class(64, ask(1, 2)), class(1, ask(0, 4))}},
	}
	for _, nodes := range []int{100, 1_000, 5_000, 15_000} {
		for _, use := range []struct {
			name string
			free func(node int) []int64
		}{
			{"unused", func(int) []int64 { return []int64{8, 64} }},
			{"used", func(i int) []int64 { return []int64{[]int64{8, 8, 8, 7, 6, 4, 3, 0}[i*7919>>4%8], 64} }},
			{"short", func(i int) []int64 { return []int64{int64(i * i % 9), int64(8 + i%5)} }},
		} {
			for _, gang := range gangs {
				b.Run(fmt.Sprintf("nodes=%d/%s/%s", nodes, use.name, gang.name), func(b *testing.B) {
					f, _ := racks(nodes)
					f.Resource("cpu")
					for i := range f.Tree().Len() {
						f.Set(fabric.Node{Name: f.Tree().Node(i), Domains: f.Tree().Path(2, f.Tree().Of(2, i)), Free: use.free(i)})
					}
					problem := placement.Problem{Classes: gang.classes, Required: 1}
					var solver placement.Solver
					if _, refused := solver.Solve(f, problem); refused != nil {
						b.Skipf("%d members of the first class, of whom %d fit", refused.Need, refused.Have)
					}
					var plan placement.Plan
					for b.Loop() {
						plan, _ = solver.Solve(f, problem)
					}
					b.ReportMetric(float64(plan.Cost.Domains[1]), "racks")
					b.ReportMetric(float64(plan.Cost.Domains[2]), "nodes")
					b.ReportMetric(float64(plan.Cost.Slots[0]), "slots")
				})
			}
		}
	}
}

// BenchmarkFirst is the first plan of a scheduler that has just started: all nodes come, in no order, and a gang of 64 members
// that must stand in one block is solved. It tells what the fabric keeps of a node, and how the time grows: the slope of its
// logarithm over that of the nodes, which is 1 if twice the nodes take twice the time.
func BenchmarkFirst(b *testing.B) {
	var sizes, times []float64
	for _, nodes := range []int{100, 1_000, 5_000, 15_000, 100_000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			sorted, request := racks(nodes)
			came := make([]fabric.Node, nodes)
			for i, at := range rand.New(rand.NewPCG(1, 1)).Perm(nodes) {
				tree := sorted.Tree()
				came[i] = fabric.Node{Name: tree.Node(at), Domains: tree.Path(2, tree.Of(2, at)), Free: []int64{8}, IsWhole: true}
			}
			problem := placement.Problem{
				Classes:  []placement.Class{{Request: request, Members: 64, Minimum: 64}},
				Minimum:  64,
				Required: 1,
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var f *fabric.Fabric
			soonest := time.Hour // other work on the machine does not count
			for b.Loop() {
				start := time.Now()
				f = fabric.New("block", "rack")
				f.Resource("gpu")
				for _, n := range came {
					f.Set(n)
				}
				var solver placement.Solver
				if _, refused := solver.Solve(f, problem); refused != nil {
					b.Fatalf("refused: %+v", refused)
				}
				soonest = min(soonest, time.Since(start))
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(nodes), "B/node")
			runtime.KeepAlive(f)
			sizes = append(sizes, math.Log(float64(nodes)))
			times = append(times, math.Log(float64(soonest)))
			b.ReportMetric(float64(soonest)/float64(nodes), "ns/node")
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
