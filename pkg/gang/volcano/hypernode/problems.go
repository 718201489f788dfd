package hypernode

import (
	"fmt"
	"iter"

	"k8s.io/apimachinery/pkg/types"
)

// Problem is what is ignored of one HyperNode.
type Problem struct {
	Name string
	UID  types.UID
	// Sentence is one line, the same for the same HyperNodes and nodes, without a full stop.
	Sentence string
}

// overlap counts the nodes that one HyperNode selects in vain.
type overlap struct {
	first string // by name
	in    *HyperNode
	count int
}

// Problems returns what is ignored, by the HyperNodes' names. nodes are all nodes and their labels. It costs what
// [Tree.Path] does for each.
func (t *Tree) Problems(nodes iter.Seq2[string, map[string]string]) []Problem {
	overlaps := map[*HyperNode]overlap{}
	for node, labels := range nodes {
		in, inVain := t.where(node, labels)
		for _, h := range inVain {
			o := overlaps[h]
			if o.count == 0 || node < o.first {
				o.first, o.in = node, in[0]
			}
			o.count++
			overlaps[h] = o
		}
	}
	var out []Problem
	for _, h := range t.all {
		sentence := ""
		switch p, o := t.problems[h], overlaps[h]; {
		case p == nil && o.count == 0:
			continue
		case p == nil:
			sentence = o.String()
		case p.more > 0 || o.count > 0:
			sentence = fmt.Sprintf("%s (and %d more)", p.first, p.more+min(1, o.count))
		default:
			sentence = p.first
		}
		out = append(out, Problem{h.Name, h.UID, sentence})
	}
	return out
}

func (o overlap) String() string {
	if o.count == 1 {
		return fmt.Sprintf("node %q is in %q already", o.first, o.in.Name)
	}
	return fmt.Sprintf("%d nodes are in others already, %q in %q", o.count, o.first, o.in.Name)
}
