// Command phalanx-scheduler is the scheduler: kube-scheduler with gangs that start all at once or not at all.
package main

import (
	"os"

	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // build information as a metric

	"github.com/phalanx-scheduler/phalanx/pkg/scheduler"
)

func main() { os.Exit(scheduler.Main()) }
