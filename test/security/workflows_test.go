package security

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const workflowFolder = ".github/workflows/"

// workflow is as much of one as is looked at.
type workflow struct {
	On          any            `json:"true"` // which is how YAML 1.1 reads "on"
	Permissions any            `json:"permissions"`
	Jobs        map[string]job `json:"jobs"`
}

type job struct {
	Permissions    any    `json:"permissions"`
	TimeoutMinutes int    `json:"timeout-minutes"`
	Steps          []step `json:"steps"`
}

type step struct {
	Uses string         `json:"uses"`
	Run  string         `json:"run"`
	With map[string]any `json:"with"`
}

// mayWrite are the permissions beyond reading that a job of ours may have, and mayPublish those that one may have besides that makes a
// release.
var (
	mayWrite   = []string{"security-events", "id-token"}
	mayPublish = append([]string{"contents", "attestations"}, mayWrite...)
)

// publishes is true for a job that runs when a tag is pushed and never else, and does not have our code to run.
func (w workflow) publishes(j job) bool {
	on, _ := w.On.(map[string]any)
	push, _ := on["push"].(map[string]any)
	isForTags := len(on) == 1 && len(push) == 1 && push["tags"] != nil
	return isForTags && !slices.ContainsFunc(j.Steps, func(s step) bool { return strings.HasPrefix(s.Uses, "actions/checkout@") })
}

var (
	usesLine = regexp.MustCompile(`(?m)^\s*(?:- )?uses: (.*)$`)
	pinned   = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	// excused is how a step that fails is made to look well.
	excused = regexp.MustCompile(`continue-on-error|\|\| *(true|:)|exit-code: *["']?0|fail-build: *["']?false|if: *always|soft_fail|-no-fail`)
	// injected is text of others, which a shell would run.
	injected = regexp.MustCompile(`\$\{\{[^}]*(github\.event\.|github\.head_ref)`)
)

// faults lists what is wrong with a workflow, or has no place in one of ours.
func faults(text string) (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	var w workflow
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		return []string{err.Error()}
	}
	if p, ok := w.Permissions.(map[string]any); !ok || len(writes(p)) > 0 {
		say("the workflow's permissions are %v", w.Permissions)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Jobs)) {
		j := w.Jobs[name]
		if j.TimeoutMinutes == 0 {
			say("job %s has no timeout", name)
		}
		may := mayWrite
		if w.publishes(j) {
			may = mayPublish
		}
		if p, ok := j.Permissions.(map[string]any); j.Permissions != nil && (!ok || !containsAll(may, writes(p))) {
			say("job %s may %v", name, j.Permissions)
		}
		for _, s := range j.Steps {
			if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false {
				say("job %s keeps its token on disk", name)
			}
			if injected.MatchString(s.Run) {
				say("job %s runs what others wrote", name)
			}
		}
	}
	for _, found := range usesLine.FindAllStringSubmatch(text, -1) {
		if !pinned.MatchString(found[1]) {
			say("%s is not pinned", found[1])
		}
	}
	if found := excused.FindString(text); found != "" {
		say("it cannot fail: %s", found)
	}
	if strings.Contains(text, "pull_request_target") {
		say("it gives our token to the code of others")
	}
	return all
}

// writes are the permissions that are more than reading.
func writes(permissions map[string]any) (all []string) {
	for name, level := range permissions {
		if level != "read" && level != "none" {
			all = append(all, name)
		}
	}
	return all
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func TestWorkflowsMayLittleAndRunWhatIsPinned(t *testing.T) {
	pins := map[string]string{}
	for name, text := range workflows(t) {
		assert.Empty(t, faults(text), name)
		for _, found := range usesLine.FindAllStringSubmatch(text, -1) {
			action, pin, _ := strings.Cut(found[1], "@")
			repository := strings.Join(strings.Split(action, "/")[:2], "/")
			if other, ok := pins[repository]; ok {
				assert.Equal(t, other, pin, "%s uses two versions of %s", name, repository)
			}
			pins[repository] = pin
		}
	}
}

func TestABadWorkflowIsSeen(t *testing.T) {
	const sound = `
permissions: {contents: read}
jobs:
  a:
    timeout-minutes: 5
    permissions: {contents: read, security-events: write}
    steps:
    - uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2
      with: {persist-credentials: false}
    - run: make test
`
	require.Empty(t, faults(sound))
	for name, change := range map[string]struct{ old, new, want string }{
		"no permissions":                  {"permissions: {contents: read}\njobs", "jobs", "the workflow's permissions are <nil>"},
		"all permissions":                 {"permissions: {contents: read}\njobs", "permissions: write-all\njobs", "the workflow's permissions are write-all"},
		"a job that may push":             {"security-events: write", "contents: write", "job a may "},
		"an action by its tag":            {"@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2", "@v6", "actions/checkout@v6 is not pinned"},
		"a pin that does not say of what": {" # v6.0.2", "", "is not pinned"},
		"a token on disk":                 {"persist-credentials: false", "fetch-depth: 0", "job a keeps its token on disk"},
		"a step that cannot fail":         {"make test", "make test || true", "it cannot fail: || true"},
		"a failure that is passed over":   {"- run: make test", "- run: make test\n      continue-on-error: true", "it cannot fail: continue-on-error"},
		"text of others":                  {"make test", "echo ${{ github.event.issue.title }}", "job a runs what others wrote"},
		"no timeout":                      {"timeout-minutes: 5", "name: a", "job a has no timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := strings.Replace(sound, change.old, change.new, 1)
			require.NotEqual(t, sound, broken)
			assert.Contains(t, strings.Join(faults(broken), "; "), change.want)
		})
	}
}

// TestOnlyAJobWithoutOurCodeMayPublish: to write a release takes a tag and a job that does nothing else.
func TestOnlyAJobWithoutOurCodeMayPublish(t *testing.T) {
	const sound = `
on:
  push: {tags: ["v*"]}
permissions: {contents: read}
jobs:
  a:
    timeout-minutes: 5
    permissions: {contents: write, attestations: write, id-token: write}
    steps:
    - run: gh release create
`
	require.Empty(t, faults(sound))
	for name, change := range map[string]struct{ old, new string }{
		"on every push":            {`{tags: ["v*"]}`, "{branches: [main]}"},
		"on pull requests as well": {`push: {tags: ["v*"]}`, "push: {tags: [\"v*\"]}\n  pull_request:"},
		"with our code at hand":    {"- run: gh", "- uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2\n      with: {persist-credentials: false}\n    - run: gh"},
		"with more than it needs":  {"id-token: write", "packages: write"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := strings.Replace(sound, change.old, change.new, 1)
			require.NotEqual(t, sound, broken)
			assert.Contains(t, strings.Join(faults(broken), "; "), "job a may ")
		})
	}
}

func TestActionlintHasNoObjection(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=hack/tools/go.mod", "actionlint")
	cmd.Dir = root(t)
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err, "%s", out)
}

// TestEveryScannerRuns: each kind of finding has a workflow that looks for it, on every pull request or weekly.
func TestEveryScannerRuns(t *testing.T) {
	all := strings.Join(slices.Collect(maps.Values(workflows(t))), "\n")
	for name, part := range map[string]string{
		"CodeQL": "github/codeql-action/analyze@", "gosec": "run: make gosec", "govulncheck": "run: make govulncheck",
		"grype": "anchore/scan-action@", "scorecard": "ossf/scorecard-action@", "CI": "run: .ci/run",
	} {
		assert.Contains(t, all, part, name)
	}
	if len(dockerfiles(t)) > 0 {
		assert.Regexp(t, `anchore/scan-action@(?s:.{0,120})image:`, all, "images are built here, and none is scanned")
	}
	for name, text := range workflows(t) {
		if name != "ci.yml" && name != "release.yml" {
			assert.Regexp(t, `cron: "\d+ \d+ \* \* (\d|\*)"`, text, "%s looks at what becomes known later", name)
		}
	}
}

func TestDependabotLooksAtEverythingWeekly(t *testing.T) {
	var config struct {
		Updates []struct {
			Ecosystem   string   `json:"package-ecosystem"`
			Directory   string   `json:"directory"`
			Directories []string `json:"directories"`
			Schedule    struct {
				Interval string `json:"interval"`
			} `json:"schedule"`
			Groups map[string]struct {
				Patterns []string `json:"patterns"`
			} `json:"groups"`
		} `json:"updates"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, ".github/dependabot.yml")), &config))
	covered := map[string]bool{}
	for _, update := range config.Updates {
		assert.Contains(t, []string{"weekly", "daily"}, update.Schedule.Interval, update.Ecosystem)
		for _, directory := range append(update.Directories, update.Directory) {
			covered[update.Ecosystem+" "+directory] = true
		}
		if update.Ecosystem == "gomod" {
			assert.Contains(t, update.Groups["kubernetes"].Patterns, "k8s.io/*", "Kubernetes' modules come together")
		}
	}
	delete(covered, "gomod ") // where there is a list of directories
	want := map[string]bool{"github-actions /": true}
	for _, file := range tracked(t, "*go.mod") {
		want["gomod "+path.Clean("/"+path.Dir(file))] = true
	}
	for _, file := range dockerfiles(t) {
		want["docker "+path.Clean("/"+path.Dir(file))] = true
	}
	assert.Equal(t, want, covered)
}

// TestKubernetesModulesAreOfOneMinor looks at what is compiled, after replacements.
func TestKubernetesModulesAreOfOneMinor(t *testing.T) {
	for _, file := range tracked(t, "*go.mod") {
		t.Run(file, func(t *testing.T) {
			minors := map[string][]string{}
			for module, version := range requirements(t, filepath.Join(root(t), file)) {
				if found := regexp.MustCompile(`^v[01]\.([1-9]\d+)\.\d+$`).FindStringSubmatch(version); found != nil && strings.HasPrefix(module, "k8s.io/") {
					minors[found[1]] = append(minors[found[1]], module)
				}
			}
			assert.LessOrEqual(t, len(minors), 1, "%v", minors)
		})
	}
}

// requirements are the versions that a go.mod names, after its replacements.
func requirements(t *testing.T, file string) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", file).Output()
	require.NoError(t, err)
	type module struct{ Path, Version string }
	var parsed struct {
		Require []module
		Replace []struct{ Old, New module }
	}
	require.NoError(t, json.Unmarshal(out, &parsed))
	versions := map[string]string{}
	for _, r := range parsed.Require {
		versions[r.Path] = r.Version
	}
	for _, r := range parsed.Replace {
		if _, isRequired := versions[r.Old.Path]; isRequired && r.New.Version != "" {
			versions[r.Old.Path] = r.New.Version
		}
	}
	return versions
}

// workflows are the texts of all, by file name.
func workflows(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), workflowFolder, "*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := map[string]string{}
	for _, file := range files {
		all[filepath.Base(file)] = read(t, workflowFolder+filepath.Base(file))
	}
	return all
}

func dockerfiles(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(tracked(t, "*"), func(file string) bool {
		return !regexp.MustCompile(`^(Dockerfile|Containerfile)(\..+)?$`).MatchString(path.Base(file))
	})
}
