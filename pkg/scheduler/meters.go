package scheduler

import (
	"k8s.io/component-base/metrics"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	core "k8s.io/kubernetes/pkg/scheduler"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/repair"
	gangplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gang"
)

// meters returns what a replica measures while it leads: of one that does not, the same would count twice.
func meters(cc *appconfig.CompletedConfig, sched *core.Scheduler, edge *edge) ([]metrics.StableCollector, error) {
	room, err := gangplugin.NewRoom(sched, edge.hyperNodes, argsOf(&cc.ComponentConfig.Profiles[0]))
	return []metrics.StableCollector{NewWaitingMeter(edge.ledger), NewRepairMeter(edge.ledger), room}, err
}

// RepairsEnded counts nothing before it is registered, as the others are when this replica leads.
var RepairsEnded = metrics.NewCounterVec(&metrics.CounterOpts{
	Subsystem:      "phalanx",
	Name:           "repairs_total",
	Help:           "Repairs of gangs that lost members while they ran, by how they ended: whole, over, timeout or restarted.",
	StabilityLevel: metrics.ALPHA,
}, []string{"result"})

func countRepair(result repair.Result) { RepairsEnded.WithLabelValues(string(result)).Inc() }

var gangsUnderRepair = metrics.NewDesc("phalanx_gangs_under_repair",
	"Gangs that lost members while they ran, and for whose replacements places are kept.",
	nil, nil, metrics.ALPHA, "")

// NewRepairMeter returns what counts the gangs of a ledger that are under repair.
func NewRepairMeter(l *ledger.Ledger) metrics.StableCollector { return &repairMeter{ledger: l} }

// repairMeter counts the gangs under repair.
type repairMeter struct {
	metrics.BaseStableCollector
	ledger *ledger.Ledger
}

// DescribeWithStability implements metrics.StableCollector.
func (*repairMeter) DescribeWithStability(into chan<- *metrics.Desc) { into <- gangsUnderRepair }

// CollectWithStability implements metrics.StableCollector.
func (m *repairMeter) CollectWithStability(into chan<- metrics.Metric) {
	into <- metrics.NewLazyConstMetric(gangsUnderRepair, metrics.GaugeValue, float64(m.ledger.CountRepairs()))
}

var gangsWaiting = metrics.NewDesc("phalanx_gangs_waiting",
	"Gangs with a member that has no node, by why they wait; without a reason those that are about to be tried.",
	[]string{"reason"}, nil, metrics.ALPHA, "")

// waitingMeter counts the gangs that wait. Its series do not grow with them: each reason has one.
type waitingMeter struct {
	metrics.BaseStableCollector
	ledger *ledger.Ledger
}

// NewWaitingMeter counts the gangs of a ledger that wait, by why they do.
func NewWaitingMeter(l *ledger.Ledger) metrics.StableCollector { return &waitingMeter{ledger: l} }

// DescribeWithStability implements metrics.StableCollector.
func (*waitingMeter) DescribeWithStability(into chan<- *metrics.Desc) { into <- gangsWaiting }

// CollectWithStability implements metrics.StableCollector.
func (m *waitingMeter) CollectWithStability(into chan<- metrics.Metric) {
	counts := m.ledger.CountWaiting()
	for _, reason := range append(gang.Reasons(), "") {
		into <- metrics.NewLazyConstMetric(gangsWaiting, metrics.GaugeValue, float64(counts[reason]), string(reason))
	}
}
