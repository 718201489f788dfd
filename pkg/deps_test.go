// Package pkg holds no code of its own: it tests which package may import which.
package pkg

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/phalanx-scheduler/phalanx/"

// rules is the house's floor plan, from the ground up: a package may import those of ours that it names, and outside of
// the standard library what the words in brackets allow:
//
//	std         the standard library alone
//	lean        nothing of Kubernetes' but sigs.k8s.io/yaml: what runs on each GPU node is small
//	nvml        the same, and NVIDIA's library
//	api         Kubernetes' API types and clients, no scheduler
//	agent       the same, and NVIDIA's library, but nothing that servers of Kubernetes' are made of
//	scheduler   all of Kubernetes' scheduler
const rules = `
pkg/gpu                         [std]
pkg/gpu/health                  [std]       pkg/gpu
pkg/gpu/links                   [std]       pkg/gpu
pkg/fabric                      [std]
pkg/placement                   [std]       pkg/fabric
pkg/explain                     [std]       pkg/fabric pkg/placement
pkg/gang                        [api]
pkg/gang/internal/object        [api]       pkg/gang
pkg/gang/internal/objecttest    [api]       pkg/gang
pkg/gang/internal/operators     [api]       pkg/gang pkg/gang/coscheduling pkg/gang/native pkg/gang/volcano
pkg/gang/coscheduling           [api]       pkg/gang pkg/gang/internal/object
pkg/gang/native                 [api]       pkg/gang pkg/gang/internal/object
pkg/gang/volcano                [api]       pkg/gang pkg/gang/internal/object
pkg/gang/volcano/hypernode      [api]       pkg/gang pkg/gang/internal/object
pkg/gang/feed                   [api]
pkg/gang/repair                 [api]       pkg/gang
pkg/gang/parking                [api]       pkg/gang
pkg/gang/ledger                 [api]       pkg/gang pkg/gang/feed pkg/gang/parking pkg/gang/repair
pkg/gang/scribe                 [api]       pkg/gang pkg/gang/ledger
pkg/plugins/internal/arguments   [scheduler]
pkg/plugins/gang/internal/cluster [scheduler] pkg/fabric pkg/gang/volcano/hypernode pkg/placement
pkg/plugins/gang                [scheduler] pkg/explain pkg/fabric pkg/gang pkg/gang/ledger pkg/gang/parking pkg/gang/repair pkg/gang/volcano/hypernode pkg/placement pkg/plugins/gang/internal/cluster pkg/plugins/gpu pkg/plugins/internal/arguments
pkg/plugins/gpu/internal/wish   [api]       pkg/gang pkg/gpu pkg/gpu/links
pkg/plugins/gpu/internal/pulse  [api]
pkg/plugins/gpu/internal/claims [api]
pkg/plugins/gpu/internal/offer  [scheduler] pkg/gang pkg/gpu pkg/gpu/links pkg/plugins/gpu/internal/claims pkg/plugins/gpu/internal/wish
pkg/plugins/gpu                 [scheduler] pkg/plugins/gpu/internal/claims pkg/plugins/gpu/internal/offer pkg/plugins/gpu/internal/pulse pkg/plugins/gpu/internal/wish pkg/plugins/internal/arguments
pkg/scheduler                   [scheduler] pkg/gang pkg/gang/coscheduling pkg/gang/ledger pkg/gang/native pkg/gang/parking pkg/gang/repair pkg/gang/scribe pkg/gang/volcano pkg/gang/volcano/hypernode pkg/plugins/gang pkg/plugins/gpu
pkg/reporter                    [lean]      pkg/gpu pkg/gpu/health
pkg/reporter/internal/fake      [lean]      pkg/gpu pkg/reporter
pkg/reporter/nvml               [nvml]      pkg/gpu pkg/reporter
pkg/reporter/rounds             [lean]      pkg/gpu pkg/gpu/health pkg/reporter
pkg/reporter/apiserver          [api]
pkg/reporter/publish            [api]       pkg/gang pkg/gpu
pkg/reporter/serve              [api]       pkg/gpu pkg/gpu/health pkg/reporter
pkg/reporter/command            [api]       pkg/gpu pkg/gpu/health pkg/reporter pkg/reporter/apiserver pkg/reporter/publish pkg/reporter/rounds pkg/reporter/serve
cmd/phalanx-reporter            [agent]     pkg/reporter/command pkg/reporter/nvml
cmd/phalanx-scheduler           [scheduler] pkg/scheduler
`

// forbidden are the import paths that a word in brackets does not allow. Nothing in pkg or cmd may import tests or what only
// tests need.
var forbidden = map[string][]string{
	"std":       {"."}, // whatever has a dot in its first element comes from outside
	"lean":      {"k8s.io", "sigs.k8s.io/controller-runtime", "github.com/NVIDIA"},
	"nvml":      {"k8s.io", "sigs.k8s.io/controller-runtime"},
	"api":       {"k8s.io/kubernetes", "k8s.io/kube-scheduler", "sigs.k8s.io/controller-runtime", "github.com/NVIDIA"},
	"agent":     {"k8s.io/kubernetes", "k8s.io/kube-scheduler", "k8s.io/apiserver", "k8s.io/client-go/kubernetes", "sigs.k8s.io/controller-runtime"},
	"scheduler": {"sigs.k8s.io/controller-runtime", "github.com/NVIDIA"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps=false", "-json=ImportPath,Imports,Deps", "../pkg/...", "../cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1") // without, half of pkg/reporter/nvml is not there
	out, err := cmd.Output()
	require.NoError(t, err)
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

type rule struct {
	word string
	ours []string
}

func parseRules(t *testing.T) map[string]rule {
	t.Helper()
	parsed := map[string]rule{}
	for _, line := range strings.Split(strings.TrimSpace(rules), "\n") {
		fields := strings.Fields(line)
		word := strings.Trim(fields[1], "[]")
		require.Contains(t, forbidden, word)
		parsed[fields[0]] = rule{word: word, ours: fields[2:]}
	}
	return parsed
}

// breaches says which imports of a package its rule does not allow.
func breaches(p goPackage, r rule) []string {
	var out []string
	for _, path := range p.Imports {
		if ours, ok := strings.CutPrefix(path, module); ok && !slices.Contains(r.ours, ours) {
			out = append(out, path)
		}
	}
	for _, path := range p.Deps {
		if strings.HasPrefix(path, module+"test/") || strings.HasPrefix(path, module+"hack/") {
			out = append(out, path)
		}
		first, _, _ := strings.Cut(path, "/")
		for _, banned := range forbidden[r.word] {
			isOutside := banned == "." && strings.Contains(first, ".") && !strings.HasPrefix(path, module)
			if isOutside || path == banned || strings.HasPrefix(path, banned+"/") {
				out = append(out, path)
			}
		}
	}
	return out
}

func TestPackagesImportWhatTheFloorPlanAllows(t *testing.T) {
	parsed := parseRules(t)
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if name == "pkg" {
			continue
		}
		r, ok := parsed[name]
		if !ok {
			t.Errorf("%s has no rule: add it to the floor plan", name)
			continue
		}
		seen[name] = true
		for _, path := range breaches(p, r) {
			t.Errorf("%s must not import %s", name, path)
		}
	}
	for name := range parsed {
		if !seen[name] {
			t.Errorf("%s has a rule and does not exist", name)
		}
	}
}

func TestABreachIsSeen(t *testing.T) {
	for name, p := range map[string]goPackage{
		"a package of ours that the rule does not name": {Imports: []string{module + "pkg/scheduler"}},
		"a test package anywhere below":                 {Deps: []string{module + "test/controlplane"}},
		"the scheduler where only the API is allowed":   {Deps: []string{"k8s.io/kubernetes/pkg/scheduler"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Len(t, breaches(p, rule{word: "api", ours: []string{"pkg/gang"}}), 1)
		})
	}
	require.Len(t, breaches(goPackage{Deps: []string{"k8s.io/api/core/v1", "sort"}}, rule{word: "std"}), 1)
}
