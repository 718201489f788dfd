// Command lint finds mistakes that the compiler and go vet let pass. It runs under go vet, which gives it packages that are compiled already
// and remembers what was found sound:
//
//	go vet -vettool=bin/lint ./...
//
// make analyze does. It is no part of make lint, since the first time it reads all of Kubernetes.
//
// On the list is what finds mistakes and is seldom wrong. Not on it is what judges taste, what go fix does (modernize), and what was wrong
// in all that it found here: errcheck, about what is printed or closed, nilerr and usetesting. It is not golangci-lint, of which the
// build alone was given up after half an hour, on two busy cores.
package main

import (
	"github.com/charithe/durationcheck"
	"github.com/gordonklaus/ineffassign/pkg/ineffassign"
	"golang.org/x/tools/go/analysis/passes/nilness"
	"golang.org/x/tools/go/analysis/passes/unusedwrite"
	"golang.org/x/tools/go/analysis/unitchecker"
)

func main() {
	unitchecker.Main(
		durationcheck.Analyzer, // a duration times a duration
		ineffassign.Analyzer,   // a value that nobody reads
		nilness.Analyzer,       // a nil that will be followed
		unusedwrite.Analyzer,   // a field that is set in a copy
	)
}
