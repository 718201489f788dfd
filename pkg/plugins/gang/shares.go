package gang

import (
	"cmp"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	fwk "k8s.io/kube-scheduler/framework"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"

	"github.com/phalanx-scheduler/phalanx/pkg/plugins/gang/internal/cluster"
)

// Members that keep each other off a node, by a host port or by anti-affinity, take from each other what the solver can count:
// a share of which each node has one. Who will have none of some beside him takes all of it, those take a little of it each. So
// such gangs are planned as exactly as any other.

// share is what a class takes of a thing of which each node has [cluster.Whole].
type share struct {
	name   string
	amount int64
}

// maxShares bounds how many things classes are kept apart by; beyond they are searched for places one by one.
const maxShares = 16

// takeShares gives each class what keeps it apart from others on one node. It is false if there is more to it than shares
// can say.
func takeShares(classes []*class) bool {
	ports := map[string]*hostPorts{}
	for _, c := range classes {
		c.shares = nil
		for _, port := range schedutil.GetHostPorts(c.pod()) {
			name := nameOf(port)
			if ports[name] == nil {
				ports[name] = &hostPorts{}
			}
			ports[name].add(port.HostIP)
		}
	}
	for _, c := range classes {
		for _, port := range schedutil.GetHostPorts(c.pod()) {
			name := nameOf(port)
			for _, taken := range ports[name].takenBy(port.HostIP) {
				c.take(share{name + taken, cluster.Whole})
			}
		}
	}
	terms := 0
	for _, c := range classes {
		for _, term := range repulsions(c.pod()) {
			meant, isClear := meantBy(term, classes)
			switch {
			case !isClear:
				return false
			case len(meant) == 0:
				continue
			case term.TopologyKey != v1.LabelHostname || !slices.Contains(meant, c) && len(c.members) > 1:
				return false // two of one class may stand together, and neither beside the others: no share says that
			}
			terms++
			name := "nodes apart from each other"
			if terms > 1 {
				name += fmt.Sprintf(" (%d)", terms)
			}
			c.take(share{name, cluster.Whole})
			for _, other := range meant {
				if other != c {
					other.take(share{name, 1})
				}
			}
		}
	}
	return !slices.ContainsFunc(classes, func(c *class) bool { return len(c.shares) > maxShares })
}

func (c *class) take(s share) {
	if !slices.Contains(c.shares, s) {
		c.shares = append(c.shares, s)
	}
}

func nameOf(port v1.ContainerPort) string {
	return fmt.Sprintf("host port %d/%s", port.HostPort, cmp.Or(port.Protocol, v1.ProtocolTCP))
}

// hostPorts are the addresses on which a port is wanted. A port on all addresses is in the way of the same one on any.
type hostPorts struct{ addresses []string }

func isAnyAddress(address string) bool { return address == "" || address == fwk.DefaultBindAllHostIP }

func (p *hostPorts) add(address string) {
	if !isAnyAddress(address) && !slices.Contains(p.addresses, address) {
		p.addresses = append(p.addresses, address)
	}
}

// takenBy is the ends of the shares' names that somebody on an address takes.
func (p *hostPorts) takenBy(address string) []string {
	switch {
	case len(p.addresses) == 0:
		return []string{""}
	case !isAnyAddress(address):
		return []string{" on " + address}
	}
	var all []string
	for _, a := range p.addresses {
		all = append(all, " on "+a)
	}
	return all
}

// meantBy returns the classes that a term means. It is not clear if that depends on the labels of a namespace, or if it means
// some of a class and others not.
func meantBy(term fwk.AffinityTerm, classes []*class) (meant []*class, isClear bool) {
	for _, c := range classes {
		isNamed := term.Namespaces.Has(c.pod().Namespace) || term.NamespaceSelector.Empty()
		if !isNamed && term.NamespaceSelector.String() == labels.Nothing().String() {
			continue
		}
		count := 0
		for _, member := range c.members {
			if term.Selector.Matches(labels.Set(member.Labels)) {
				count++
			}
		}
		switch {
		case count == 0:
			continue
		case count < len(c.members) || !isNamed:
			return nil, false
		}
		meant = append(meant, c)
	}
	return meant, true
}

// share gives all classes of a try what keeps them apart, those of the whole gang and those of its parts. It is false if there
// is more to it than shares can say.
func (t *try) share(parts []part, nodes []fwk.NodeInfo) bool {
	var whole, inParts []*class
	for i := range t.classes {
		whole = append(whole, &t.classes[i])
	}
	for i := range parts {
		for j := range parts[i].classes {
			inParts = append(inParts, &parts[i].classes[j])
		}
	}
	if !takeShares(whole) || !takeShares(inParts) {
		return false
	}
	isApart := slices.ContainsFunc(whole, func(c *class) bool { return len(repulsions(c.pod())) > 0 })
	if !isApart || hostnamesDiffer(nodes) {
		return true
	}
	for _, c := range slices.Concat(whole, inParts) {
		c.shares = nil // which are by node
	}
	return false
}

// hostnamesDiffer is true if the label by which anti-affinity tells nodes apart does so.
func hostnamesDiffer(nodes []fwk.NodeInfo) bool {
	if !slices.ContainsFunc(nodes, func(n fwk.NodeInfo) bool { return n.Node().Labels[v1.LabelHostname] != n.Node().Name }) {
		return true // as names do
	}
	seen := make(map[string]bool, len(nodes))
	for _, n := range nodes {
		hostname := n.Node().Labels[v1.LabelHostname]
		if hostname == "" || seen[hostname] {
			return false
		}
		seen[hostname] = true
	}
	return true
}
