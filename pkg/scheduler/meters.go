package scheduler

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/component-base/metrics"
	appconfig "k8s.io/kubernetes/cmd/kube-scheduler/app/config"
	core "k8s.io/kubernetes/pkg/scheduler"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gang/ledger"
	gangplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gang"
)

// meters returns what a replica measures while it leads: of one that does not, the same would count twice.
func meters(cc *appconfig.CompletedConfig, sched *core.Scheduler, edge *edge) ([]metrics.StableCollector, error) {
	var args runtime.Object
	for _, config := range cc.ComponentConfig.Profiles[0].PluginConfig {
		if config.Name == gangplugin.Name {
			args = config.Args
		}
	}
	room, err := gangplugin.NewRoom(sched, edge.hyperNodes, args)
	return []metrics.StableCollector{NewWaitingMeter(edge.ledger), room}, err
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
