package volcano

import (
	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/internal/object"
)

// networkTopology reads the field of that name, of a PodGroup's spec or of one sub-group policy.
func networkTopology(parent *object.Reader, path ...string) gang.Wish {
	field := func(name string) []string { return append(append([]string(nil), path...), name) }
	tier, tierName := parent.Tier(field("highestTierAllowed")...), parent.TierName(field("highestTierName")...)
	switch {
	case tier == gang.Level{}:
		tier = tierName
	case tierName != gang.Level{}:
		parent.Complain(parent.Place(path...) + " has both highestTierAllowed and highestTierName: it must have one of them")
	}
	if parent.Choice([]string{"hard", "soft"}, field("mode")...) == "soft" {
		return gang.Wish{Preferred: tier}
	}
	return gang.Wish{Required: tier}
}

// subGroups reads the sub-group policies.
func subGroups(spec *object.Reader) []gang.SubGroup {
	var rules []gang.SubGroup
	seen := map[string]bool{}
	for _, policy := range spec.List("spec", "subGroupPolicy") {
		name := policy.Text("name")
		if seen[name] {
			policy.Complain(gang.Complaint(policy.Place("name"), object.Quote(name), "another name than those before it"))
		}
		seen[name] = true
		size, hasSize := policy.Int32(1, "subGroupSize")
		if !hasSize {
			size = 1
		}
		minimum, _ := policy.Int32(0, "minSubGroups")
		rules = append(rules, gang.SubGroup{
			Name:           name,
			Wish:           networkTopology(policy, "networkTopology"),
			Size:           size,
			Minimum:        minimum,
			Selector:       policy.Selector("labelSelector"),
			MatchLabelKeys: policy.Texts("matchLabelKeys"),
		})
	}
	return rules
}
