package gang

import (
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// domainsPlanned is how close together gangs are planned: a plan that a filter turns away in the end counts, too.
var domainsPlanned = metrics.NewHistogramVec(&metrics.HistogramOpts{
	Subsystem:      "phalanx",
	Name:           "plan_domains",
	Help:           "Domains of a level that the members of a gang stand in by one plan.",
	Buckets:        metrics.ExponentialBuckets(1, 2, 11),
	StabilityLevel: metrics.ALPHA,
}, []string{"level"})

func init() { legacyregistry.MustRegister(domainsPlanned) }

// measureSpan counts the domains that a plan touches, at the configured levels and on nodes. It costs one step for each member.
func (g *Gang) measureSpan(t *try) {
	c := g.clusters[""]
	if len(t.plan) < 2 || c == nil {
		return
	}
	nodes := sets.New[int]()
	for _, place := range t.plan {
		if node, ok := c.Fabric().Number(place.node); ok {
			nodes.Insert(node)
		}
	}
	tree := c.Fabric().Tree()
	for depth := 1; depth <= tree.Depth(); depth++ {
		domains := sets.New[int]()
		for node := range nodes {
			domains.Insert(tree.Of(depth, node))
		}
		domainsPlanned.WithLabelValues(tree.LevelName(depth)).Observe(float64(len(domains)))
	}
	domainsPlanned.WithLabelValues(tree.LevelName(tree.Depth() + 1)).Observe(float64(len(nodes)))
}
