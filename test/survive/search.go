package survive

import (
	"math/bits"
	"slices"

	v1 "k8s.io/api/core/v1"
)

// set is a set of a gang's members, by number.
type set uint8

// maxMembers is how many members the search can tell apart.
const maxMembers = 8

// family says of each set of members whether there is room for it.
type family [1 << maxMembers]bool

// treeLevels are the labels of the domains that lie inside each other, broadest first.
var treeLevels = []string{ZoneKey, BlockKey, RackKey, v1.LabelHostname}

// bond ties a member to others in the same domain of a label.
type bond struct {
	from     int
	key      string
	to       set
	existing map[string]bool // domains where pods of other gangs are that it means, too
}

// group are members that a constraint spreads over domains.
type group struct {
	key      string
	members  set
	skew     int
	eligible map[string]bool
	floor    int // the fewest in a domain, as far as this part of the search goes
}

// home is members that must stand in one domain: of several, each a list of nodes.
type home struct {
	members set
	options [][]*v1.Node
}

// search looks for a place for a gang.
type search struct {
	facts       *Facts
	gang        *Gang
	pods        []*v1.Pod
	free        map[*v1.Node]amounts
	allowed     map[*v1.Node]set
	repulsions  []bond
	attractions []bond
	groups      []group
	homes       []home
}

// Fits is true if there is a place for enough of the gang's members. They are judged as they stand in the end: a scheduler
// that places one after the other may not get there.
func (f *Facts) Fits(g *Gang) bool {
	s := &search{facts: f, gang: g, pods: g.Pods, free: map[*v1.Node]amounts{}, allowed: map[*v1.Node]set{}}
	for _, node := range f.Nodes {
		s.free[node] = f.free(node)
		for i, pod := range s.pods {
			if s.mayStand(pod, node) {
				s.allowed[node] |= 1 << i
			}
		}
	}
	s.readBonds()
	s.readGroups()
	if g.Required != "" {
		all := set(1<<len(s.pods) - 1)
		s.homes = append(s.homes, home{all, append(s.domains(g.Required), s.without(g.Required)...)})
	}
	return s.settle(0)
}

// mayStand is true for nodes that could take the pod if its gang had no other.
func (s *search) mayStand(pod *v1.Pod, node *v1.Node) bool {
	if s.facts.objection(pod, node) != "" {
		return false
	}
	for _, other := range s.facts.Pods {
		on := s.facts.node(other.Spec.NodeName)
		if on == node && collide(pod, other) || repels(pod, node, other, on) || repels(other, on, pod, node) {
			return false
		}
	}
	for _, term := range attractions(pod) {
		if _, ok := node.Labels[term.TopologyKey]; !ok {
			return false
		}
	}
	for _, c := range spreads(pod) {
		if _, ok := node.Labels[c.TopologyKey]; !ok {
			return false
		}
	}
	return true
}

// readBonds finds out which members tie themselves to which. Those who only mean each other must all stand in one domain:
// each that follows the first must follow it there.
func (s *search) readBonds() {
	founders := map[string]set{}
	for i, pod := range s.pods {
		for _, term := range repulsions(pod) {
			s.repulsions = append(s.repulsions, s.bondOf(i, term))
		}
		for _, term := range attractions(pod) {
			if b := s.bondOf(i, term); len(b.existing) == 0 && picks(pod, term.LabelSelector, pod) {
				founders[term.TopologyKey] |= 1 << i
			} else {
				s.attractions = append(s.attractions, b)
			}
		}
	}
	for key, members := range founders {
		s.homes = append(s.homes, home{members, s.domains(key)})
	}
}

func (s *search) bondOf(i int, term v1.PodAffinityTerm) bond {
	b := bond{from: i, key: term.TopologyKey, existing: map[string]bool{}}
	for j, other := range s.pods {
		if j != i && picks(s.pods[i], term.LabelSelector, other) {
			b.to |= 1 << j
		}
	}
	for _, other := range s.facts.Pods {
		if domain, ok := s.facts.node(other.Spec.NodeName).Labels[term.TopologyKey]; ok && picks(s.pods[i], term.LabelSelector, other) {
			b.existing[domain] = true
		}
	}
	return b
}

// readGroups takes it that members mean only themselves and those who say the same.
func (s *search) readGroups() {
	for i, pod := range s.pods {
		for _, c := range spreads(pod) {
			at := slices.IndexFunc(s.groups, func(g group) bool {
				return g.key == c.TopologyKey && picks(s.pods[bits.TrailingZeros8(uint8(g.members))], c.LabelSelector, pod)
			})
			if at < 0 {
				at = len(s.groups)
				s.groups = append(s.groups, group{key: c.TopologyKey, skew: int(c.MaxSkew), eligible: map[string]bool{}})
			}
			s.groups[at].members |= 1 << i
			for _, node := range s.facts.Nodes {
				if isEligible(pod, c, node) {
					s.groups[at].eligible[node.Labels[c.TopologyKey]] = true
				}
			}
		}
	}
}

// domains are the nodes by the value of a label.
func (s *search) domains(key string) [][]*v1.Node {
	var out [][]*v1.Node
	index := map[string]int{}
	for _, node := range s.facts.Nodes {
		value, ok := node.Labels[key]
		if !ok {
			continue
		}
		i, isKnown := index[value]
		if !isKnown {
			i = len(out)
			index[value] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], node)
	}
	return out
}

// without are the nodes that lack a label, each a domain of its own: a gang on one node is in one rack, whatever its name.
func (s *search) without(key string) [][]*v1.Node {
	var out [][]*v1.Node
	for _, node := range s.facts.Nodes {
		if _, ok := node.Labels[key]; !ok {
			out = append(out, []*v1.Node{node})
		}
	}
	return out
}

// settle tries all domains for those who must stand in one, from the i-th home on.
func (s *search) settle(i int) bool {
	if i == len(s.homes) {
		return s.level(0)
	}
	before := s.allowed
	defer func() { s.allowed = before }()
	return slices.ContainsFunc(s.homes[i].options, func(nodes []*v1.Node) bool {
		s.allowed = map[*v1.Node]set{}
		for node, members := range before {
			if !slices.Contains(nodes, node) {
				members &^= s.homes[i].members
			}
			s.allowed[node] = members
		}
		return s.settle(i + 1)
	})
}

// level tries all counts that the emptiest domain of a group may have, from the i-th group on.
func (s *search) level(i int) bool {
	if i == len(s.groups) {
		return s.isEnough(s.room(s.facts.Nodes, treeLevels))
	}
	g := &s.groups[i]
	most := bits.OnesCount8(uint8(g.members)) / max(1, len(g.eligible))
	for g.floor = 0; g.floor <= most; g.floor++ {
		if s.level(i + 1) {
			return true
		}
	}
	return false
}

func (s *search) isEnough(room family) bool {
	for members := range 1 << len(s.pods) {
		if !room[members] || bits.OnesCount(uint(members)) < max(1, s.gang.Minimum) {
			continue
		}
		perRole := map[string]int{}
		for i, pod := range s.pods {
			perRole[roleOf(pod)] += members >> i & 1
		}
		isShort := false
		for role, minimum := range s.gang.MinPerRole {
			isShort = isShort || perRole[role] < minimum
		}
		if !isShort {
			return true
		}
	}
	return false
}

// room is which members find room on nodes, as far as rules go that concern these levels.
func (s *search) room(nodes []*v1.Node, levels []string) family {
	if len(levels) == 0 {
		return s.on(nodes[0])
	}
	domains := (&search{facts: &Facts{Nodes: nodes}}).domains(levels[0])
	out := family{true}
	for _, domain := range domains {
		inside := s.room(domain, levels[1:])
		for members := range inside {
			inside[members] = inside[members] && s.holds(levels[0], domain[0].Labels[levels[0]], set(members))
		}
		out = s.join(out, inside)
	}
	for _, node := range nodes {
		if _, ok := node.Labels[levels[0]]; !ok {
			out = s.join(out, s.room([]*v1.Node{node}, levels[1:]))
		}
	}
	return out
}

// join is what finds room if some members go here and others there.
func (s *search) join(here, there family) family {
	var out family
	for a := range here {
		if !here[a] {
			continue
		}
		rest := (1<<len(s.pods) - 1) &^ a
		for b := rest; ; b = (b - 1) & rest { // all subsets of the rest
			if there[b] {
				out[a|b] = true
			}
			if b == 0 {
				break
			}
		}
	}
	return out
}

// on is what finds room on one node.
func (s *search) on(node *v1.Node) family {
	out := family{true}
	for members := 1; members < 1<<len(s.pods); members++ {
		if set(members)&^s.allowed[node] != 0 || !out[members&(members-1)] {
			continue
		}
		left, ports := amounts{}, 0
		for name, amount := range s.free[node] {
			left[name] = amount
		}
		for i, pod := range s.pods {
			if members>>i&1 == 0 {
				continue
			}
			left.take(pod)
			for j := range i {
				if members>>j&1 == 1 && collide(pod, s.pods[j]) {
					ports++
				}
			}
		}
		out[members] = ports == 0 && left.scarce() == ""
	}
	return out
}

// holds is true if these and no other members may stand in one domain.
func (s *search) holds(key, domain string, members set) bool {
	for _, b := range s.repulsions {
		if b.key == key && members>>b.from&1 == 1 && members&b.to != 0 {
			return false
		}
	}
	for _, b := range s.attractions {
		if b.key == key && members>>b.from&1 == 1 && members&b.to == 0 && !b.existing[domain] {
			return false
		}
	}
	for _, g := range s.groups {
		count := bits.OnesCount8(uint8(members & g.members))
		if g.key == key && g.eligible[domain] && (count < g.floor || count > g.floor+g.skew) {
			return false
		}
	}
	return true
}
