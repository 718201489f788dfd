package oracle

import (
	"maps"
	"slices"
	"time"
)

// SetRequired tells which node label names the domains that the gang requires one of, "" for none, from now on: members that
// have their place already are judged by what was told before.
func (j *Judge) SetRequired(gang Gang, label string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.record(gang).required = label
}

// domainOf is the domain that a member comes to: a node that lacks the label is one by itself. "" if no level is required, or
// nobody has told of the node.
func (j *Judge) domainOf(p pod) string {
	if !p.isMember || p.node == "" {
		return ""
	}
	label := j.record(p.gang).required
	n := j.node(p.node)
	if label == "" || n.capacity == nil {
		return ""
	}
	if domain, ok := n.labels[label]; ok {
		return domain
	}
	return "node " + n.name
}

// gather books where a member takes room, and looks whether it is beside the others.
func (j *Judge) gather(at time.Time, before, now pod) {
	if before.domain != "" && before.node != "" {
		domains := j.record(before.gang).domains
		if domains[before.domain]--; domains[before.domain] == 0 {
			delete(domains, before.domain)
		}
	}
	if now.domain == "" || now.node == "" {
		return
	}
	r := j.record(now.gang)
	r.domains[now.domain]++
	if r.domains[now.domain] == 1 && len(r.domains) > 1 {
		j.found = append(j.found, Scattered{Gang: r.gang, Level: r.required, At: at, Domains: slices.Sorted(maps.Keys(r.domains))})
	}
}
