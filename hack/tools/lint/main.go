// Lint finds mistakes that the compiler and go vet let pass. It runs under go vet, which gives it packages that are compiled already
// and remembers what was found sound:
//
//	go vet -vettool=bin/lint ./...
//
// make analyze does. It is no part of make lint: the first time it reads all of Kubernetes, and over all packages it has not been seen to
// its end yet, over pkg/gpu, pkg/fabric, pkg/placement and pkg/explain it has.
//
// On the list is what finds mistakes and is seldom wrong. Not on it is what judges taste. It is not golangci-lint, of which the
// build alone was given up after half an hour, on two busy cores.
package main

import (
	"slices"

	"github.com/charithe/durationcheck"
	"github.com/gordonklaus/ineffassign/pkg/ineffassign"
	"github.com/gostaticanalysis/nilerr"
	"github.com/kisielk/errcheck/errcheck"
	"github.com/ldez/usetesting"
	"golang.org/x/tools/go/analysis/passes/modernize"
	"golang.org/x/tools/go/analysis/passes/nilness"
	"golang.org/x/tools/go/analysis/passes/unusedwrite"
	"golang.org/x/tools/go/analysis/unitchecker"
)

func main() {
	unitchecker.Main(append(slices.Clone(modernize.Suite), // what the language says shorter by now
		durationcheck.Analyzer,   // a duration times a duration
		errcheck.Analyzer,        // an error that nobody looks at
		ineffassign.Analyzer,     // a value that nobody reads
		nilerr.Analyzer,          // an error that is found and not returned
		nilness.Analyzer,         // a nil that will be followed
		unusedwrite.Analyzer,     // a field that is set in a copy
		usetesting.NewAnalyzer(), // a test that outlives what it made
	)...)
}
