package security

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// promise is one sentence that SECURITY.md says, and the tests that fail when it is not so.
type promise struct {
	ID       string   `json:"id"`
	Sentence string   `json:"sentence"`
	Tests    []string `json:"tests"` // package.Function
}

// here is this package, all of whose tests belong to a promise.
const here = "test/security"

func TestEveryPromiseHasATestAndEveryTestAPromise(t *testing.T) {
	assert.Empty(t, broken(promises(t), read(t, "SECURITY.md"), testFunctions(t)))
}

func TestABrokenPromiseIsSeen(t *testing.T) {
	sound := promise{ID: "a", Sentence: "It holds.", Tests: []string{here + ".TestA"}}
	said := func(sentences string) string {
		return "# Security\n\n## What we promise\n\n" + sentences + "\n## More\n\n- Other.\n"
	}
	for name, test := range map[string]struct {
		promises []promise
		security string
		want     string
	}{
		"all is well":                     {[]promise{sound}, said("- It\n  holds.\n"), ""},
		"a promise names no test":         {[]promise{{ID: "a", Sentence: "It holds."}, {ID: "b", Sentence: "So it does.", Tests: sound.Tests}}, said("- It holds.\n- So it does.\n"), "promise a has no test"},
		"its test does not exist":         {[]promise{{ID: "a", Sentence: "It holds.", Tests: []string{here + ".TestA", "pkg/gone.TestB"}}}, said("- It holds.\n"), "promise a names pkg/gone.TestB, which make test does not run"},
		"a test has no promise":           {[]promise{{ID: "a", Sentence: "It holds.", Tests: []string{"pkg/x.TestX"}}}, said("- It holds.\n"), "no promise names " + here + ".TestA"},
		"SECURITY.md does not say it":     {[]promise{sound}, said(""), `SECURITY.md does not say "It holds."`},
		"SECURITY.md says it elsewhere":   {[]promise{{ID: "a", Sentence: "Other.", Tests: sound.Tests}}, said("- Other, too.\n"), `SECURITY.md does not say "Other."; SECURITY.md says "Other, too.", which is no promise`},
		"SECURITY.md promises more":       {[]promise{sound}, said("- It holds.\n- It flies.\n"), `SECURITY.md says "It flies.", which is no promise`},
		"two promises have the same name": {[]promise{sound, sound}, said("- It holds.\n"), "there are two promises a"},
		"a promise has no sentence":       {[]promise{sound, {ID: "b", Tests: sound.Tests}}, said("- It holds.\n"), `SECURITY.md does not say ""`},
	} {
		t.Run(name, func(t *testing.T) {
			exist := map[string]bool{here + ".TestA": true, "pkg/x.TestX": true}
			assert.Equal(t, test.want, strings.Join(broken(test.promises, test.security, exist), "; "))
		})
	}
}

// TestTheStandardsNamePromises holds the tables of standards to promises that exist: each row names some, or says what is not done.
func TestTheStandardsNamePromises(t *testing.T) {
	rows := standards(read(t, "SECURITY.md"))
	require.Greater(t, len(rows), 20, "three standards, row by row")
	for _, row := range rows {
		if !strings.Contains(row, "`") {
			assert.Regexp(t, "The administrator's|Not yet", row)
		}
		assertPromised(t, row)
	}
}

// TestTheThreatModelNamesPromises looks at the last column of its tables, which says by what a claim is shown.
func TestTheThreatModelNamesPromises(t *testing.T) {
	rows := 0
	for line := range strings.Lines(read(t, "docs/threat-model.md")) {
		if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) == 5 && !strings.Contains(line, "---") {
			rows++
			assertPromised(t, cells[3])
		}
	}
	require.Greater(t, rows, 20)
}

// assertPromised looks for what stands in backquotes as the name of a promise.
func assertPromised(t *testing.T, text string) {
	t.Helper()
	for _, name := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(text, -1) {
		isKnown := slices.ContainsFunc(promises(t), func(p promise) bool { return p.ID == name[1] })
		assert.True(t, isKnown, "%s is no promise: %s", name[1], text)
	}
}

// TestThePolicySaysWhatAReporterNeeds: where to report and where not, how soon what happens, and what is supported.
func TestThePolicySaysWhatAReporterNeeds(t *testing.T) {
	security := unwrapped(read(t, "SECURITY.md"))
	for _, part := range []string{
		"/security/advisories/new", "Do not open a public issue", "within 48 hours", "within 7 days",
		"| critical | 7 days |", "| high | 14 days |", "| medium | 30 days |", "| low | 60 days |",
		"## Supported versions", "with credit", "docs/threat-model.md", "docs/runbook.md",
	} {
		assert.Contains(t, security, part)
	}
	assert.Contains(t, read(t, ".github/ISSUE_TEMPLATE/config.yml"), "/security/advisories/new")
}

// broken lists everything that is not as it should be between promises, what SECURITY.md says, and the tests that exist.
func broken(promises []promise, security string, exist map[string]bool) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	said := sentences(security)
	seen, named, promised := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range promises {
		if seen[p.ID] {
			say("there are two promises %s", p.ID)
		}
		seen[p.ID], promised[p.Sentence] = true, true
		if len(p.Tests) == 0 {
			say("promise %s has no test", p.ID)
		}
		for _, test := range p.Tests {
			named[test] = true
			if !exist[test] {
				say("promise %s names %s, which make test does not run", p.ID, test)
			}
		}
		if !slices.Contains(said, p.Sentence) {
			say("SECURITY.md does not say %q", p.Sentence)
		}
	}
	for _, sentence := range said {
		if !promised[sentence] {
			say("SECURITY.md says %q, which is no promise", sentence)
		}
	}
	for test := range exist {
		if strings.HasPrefix(test, here+".") && !named[test] {
			say("no promise names %s", test)
		}
	}
	return problems
}

// sentences are the bullets of the section "What we promise", each on one line.
func sentences(security string) (list []string) {
	for i, bullet := range strings.Split("\n"+section(security, "What we promise"), "\n- ") {
		if i > 0 {
			list = append(list, strings.TrimSpace(unwrapped(bullet)))
		}
	}
	return list
}

// standards are the rows of all tables in the section "Standards".
func standards(security string) (rows []string) {
	for line := range strings.Lines(section(security, "Standards")) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| requirement") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	return rows
}

// section is the text under a heading of the second level.
func section(text, heading string) string {
	_, rest, _ := strings.Cut(text, "\n## "+heading+"\n")
	content, _, _ := strings.Cut(rest, "\n## ")
	return content
}

// unwrapped is a text without its line breaks.
func unwrapped(text string) string { return strings.Join(strings.Fields(text), " ") }

func promises(t *testing.T) []promise {
	t.Helper()
	var file struct {
		Promises []promise `json:"promises"`
	}
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, "docs/promises.yaml")), &file))
	require.NotEmpty(t, file.Promises)
	return file.Promises
}

// testFunctions are the tests that make test runs, as package.Function. Fuzz tests run on their seeds.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	root := root(t)
	for _, folder := range []string{"pkg", "cmd", "test"} { // as in the Makefile
		require.NoError(t, filepath.WalkDir(filepath.Join(root, folder), func(file string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() {
				if _, err := os.Stat(filepath.Join(file, "go.mod")); err == nil {
					return filepath.SkipDir // a module of its own
				}
				return nil
			}
			if !strings.HasSuffix(file, "_test.go") {
				return nil
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(root, file)
			for _, d := range parsed.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name != "TestMain" && regexp.MustCompile("^(Test|Fuzz)[A-Z]").MatchString(f.Name.Name) {
					found[path.Dir(filepath.ToSlash(relative))+"."+f.Name.Name] = true
				}
			}
			return err
		}))
	}
	return found
}

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(content)
}

func root(t *testing.T) string {
	t.Helper()
	root, err := cluster.Root()
	require.NoError(t, err)
	return root
}
