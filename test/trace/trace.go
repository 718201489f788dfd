// Package trace holds what real clusters have told of themselves: the hosts and switches of one, the jobs of another.
//
// Purpose: real gangs on a real fabric instead of invented ones, in one copy for the demo and the quality replay. Where the
// data comes from, and under which licences, README.md says. Invariant: nothing is changed but names, which
// the topology has as hashes only. Cost: a reader reads the whole file.
package trace

import (
	"bytes"
	_ "embed"
)

//go:embed lingjun/topo.csv
var lingjun []byte

//go:embed kalos/jobs.csv
var kalos []byte

// Lingjun returns the hosts of the Lingjun cluster, in the order of the trace.
func Lingjun() ([]Host, error) { return ReadHosts(bytes.NewReader(lingjun)) }

// Kalos returns the jobs of the Kalos cluster, in the order of their arrival.
func Kalos() ([]Job, error) { return ReadJobs(bytes.NewReader(kalos)) }
