// Package hypernode reads Volcano's HyperNodes, topology.volcano.sh/v1alpha1, as levels of the fabric.
//
// A HyperNode is a set of nodes that stand together, on a tier: the lower, the faster the network between them. It names its
// members, nodes or other HyperNodes, by exact name, by a regular expression, or nodes by their labels. No HyperNode names
// its parent: the members are the tree.
//
//	tier 3                      t
//	tier 2            s1                 (no s2)
//	tier 1        r1      r2               r3
//	nodes       n1 n2   n3 n4             n5 n6    n7
//
// Purpose: from whatever HyperNodes a cluster has, the domain of each node at each tier. While any HyperNode with a tier
// exists, HyperNodes are the fabric, and the node labels of the plugin's arguments are asked only by wishes that name them.
// Invariants: a [Tree] never changes; the same HyperNodes give the same Tree, in whatever order they came; nothing panics
// and nothing hangs, whatever is in them. Cost: see [Tree.Path].
//
// # Levels
//
// The tiers that exist are the levels, the highest is the broadest. A level is called by the tierName of its HyperNodes if
// all of them have the same and no lower tier has it, too, else "tier-N". Beyond the maxTiers lowest, tiers are ignored.
//
// A wish for tier N asks for one domain of a tier of at most N: it means the broadest tier that exists of those; a single
// node where N is below all tiers. A wish for a tier's name means the tier that is called so.
//
// A node stands in the HyperNode of the lowest tier that selects it, in that one's holder, and so on; above the last holder
// it may be selected by another one of a higher tier, so that all tiers can be written down by node selectors alone.
//
//   - A HyperNode without a holder on the next tier is its own domain there, and on all tiers above that it has no holder on:
//     n5 stands in r3 on tiers 1 and 2. A gap does not break it apart.
//   - A node in no HyperNode of a tier or of one below is its own domain there: n7 on every tier.
//
// # What is ignored
//
// HyperNodes are written by several hands, and may contradict each other. What contradicts is ignored, always the same of
// it, and the HyperNode that it is ignored of gets an event HyperNodeInvalid, once per change, by [Tree.Problems]:
//
//   - a HyperNode without a tier, or whose tier is no whole number of at least 0;
//   - a member whose selector has none or two of exactMatch, regexMatch and labelMatch, whose pattern does not compile or is
//     too large, or that selects HyperNodes by labels. A member is ignored as a whole: a label selector without its odd
//     half would select more;
//   - a HyperNode as a member of one that is not of a higher tier: so there can be no cycle;
//   - a second holder of one HyperNode, unless it holds the first: the holder of the lowest tier counts, among equals the
//     one whose name is lexically first;
//   - a second HyperNode of one tier that selects the same node, of which also the lexically first counts, and one
//     of a higher tier that is at odds with the holders of the first;
//   - HyperNodes beyond the first maxHyperNodes by name, and of the patterns that begin alike, or the selectors that
//     ask for the same label, those beyond the first maxAlike.
//
// A member that names what does not exist is no error: it may come.
package hypernode

const (
	// maxHyperNodes bounds what the tree costs. A cluster has fewer HyperNodes than nodes.
	maxHyperNodes = 10_000
	// maxAlike bounds how many patterns or selectors are tried on one name. Those that begin with ^ and then differ, or ask
	// for different labels, are not alike.
	maxAlike = 2000
	// maxTiers bounds the levels. Networks have three or four.
	maxTiers = 16
	// longestPattern bounds a regular expression in bytes, and largestPattern in instructions: repetitions make much of little.
	longestPattern = 1024
	largestPattern = 4096
)
