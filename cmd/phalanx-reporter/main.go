// Command phalanx-reporter says what a node's GPUs are: their health, memory and links.
package main

import (
	"os"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter/command"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/nvml"
)

func main() { os.Exit(command.Main(nvml.New(), nvml.Backend)) }
