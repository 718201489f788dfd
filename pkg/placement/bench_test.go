package placement_test

import (
	"fmt"
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
