package cluster

import (
	"slices"
	"strings"

	fwk "k8s.io/kube-scheduler/framework"

	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// closing is which nodes are closed to pods of one sort, by what nodes are like and by their pods.
type closing struct {
	by      []uint8 // as in [placement.Exclusions]
	reasons []string
	closed  int
	seen    position
	epoch   uint64
}

// Close adds to exclusions the nodes that are closed to pods of one sort, which the key stands for. verdict says why a node is, ""
// if it is not; it may depend on the node with its pods, and on nothing else while the epoch is the same. What was there
// stays as it was. The answer is remembered, and costs the nodes that changed since, and a copy if any are closed.
func (c *Cluster) Close(e *placement.Exclusions, key string, epoch uint64, verdict func(fwk.NodeInfo) string) *placement.Exclusions {
	s, isNew := c.closings.of(key)
	switch {
	case isNew:
		s.by = make([]uint8, c.tree.Len())
	case s.epoch != epoch:
		s.seen = position{}
	}
	s.epoch = epoch
	hasOpened := false
	for i := range c.changes.since(&s.seen, c.tree.Len()) {
		before := s.by[i]
		s.by[i] = s.number(verdict(c.Info(i)))
		switch isClosed, wasClosed := s.by[i] != 0, before != 0; {
		case isClosed && !wasClosed:
			s.closed++
		case wasClosed && !isClosed:
			s.closed--
			hasOpened = true
		}
	}
	if hasOpened {
		c.helped++
	}
	if s.closed == 0 {
		return e
	}
	out := &placement.Exclusions{Reasons: slices.Clone(e.Reasons), By: slices.Clone(e.By)}
	first := len(out.Reasons)
	out.Reasons = append(out.Reasons, s.reasons[:min(len(s.reasons), maxReasons-first)]...)
	for i, reason := range s.by {
		if reason != 0 && out.By[i] == 0 {
			out.By[i] = uint8(min(first+int(reason), len(out.Reasons)))
		}
	}
	return out
}

// number is that of a reason, 0 for none.
func (s *closing) number(reason string) uint8 {
	if reason == "" {
		return 0
	}
	reason = Words(reason)
	i := slices.Index(s.reasons, reason)
	if i < 0 && len(s.reasons) < maxReasons {
		i, s.reasons = len(s.reasons), append(s.reasons, reason)
	}
	if i < 0 {
		i = maxReasons - 1
	}
	return uint8(i + 1)
}

// Words makes what a filter says of a node the end of a sentence that counts nodes.
func Words(reason string) string {
	return strings.TrimPrefix(strings.TrimPrefix(reason, "node(s) "), "had ")
}
