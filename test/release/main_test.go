// Package release proves of images and of what comes with a release that they are what they say. It reads them with nothing but the
// standard library, since what wrote them is not to be asked.
//
// By default it looks at a release of the programs in bin/, made by the same steps as a real one: the reporter on a base with this
// machine's glibc, the scheduler on none. With -dist it looks at a release that is there.
package release

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/chroot"
	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

var given = flag.String("dist", "", "the `folder` of the release to look at, from the repository's root")

// programs are what images are made of; each image is called as its program.
var programs = []string{"phalanx-scheduler", "phalanx-reporter"}

// When the release under test was made, and of what: not of the tree that is worked on while it is tested.
const (
	epoch    = "1767225600" // 2026-01-01
	revision = "0123456789abcdef0123456789abcdef01234567"
)

func root(t *testing.T) string {
	t.Helper()
	root, err := cluster.Root()
	require.NoError(t, err)
	return root
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(content)
}

// version is what the Makefile stamps programs with.
func version(t *testing.T) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^VERSION *\?= (\S+)$`).FindStringSubmatch(read(t, root(t), "Makefile"))
	require.NotNil(t, found)
	return found[1]
}

// scratch is a folder for all tests of a run.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if scratch, err = os.MkdirTemp("", "release-"); err != nil {
		panic(err)
	}
	if err := os.Chmod(scratch, 0o755); err != nil { // programs run as another user there
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(code)
}

// remembered does something once for each name, since images are large.
func remembered[T any](do func(t *testing.T, name string) T) func(*testing.T, string) T {
	known := map[string]T{}
	return func(t *testing.T, name string) T {
		t.Helper()
		if _, ok := known[name]; !ok {
			known[name] = do(t, name)
		}
		return known[name]
	}
}

// dist is the folder of the release under test.
func dist(t *testing.T) string {
	t.Helper()
	if *given != "" {
		return filepath.Join(root(t), *given)
	}
	return made(t, "dist")
}

var made = remembered(func(t *testing.T, name string) string {
	if runtime.GOOS != "linux" {
		t.Skip("images are of programs for Linux, which bin/ does not have")
	}
	into := filepath.Join(scratch, name)
	bin, err := cluster.BuildScheduler(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(scratch, "given"), 0o755))
	for _, program := range programs {
		from := filepath.Join(filepath.Dir(bin), program)
		chroot.Copy(t, from, filepath.Join(into, program+"-linux-"+runtime.GOARCH))
		if libraries := chroot.Libraries(t, from); len(libraries) > 0 {
			writeBase(t, filepath.Join(scratch, "given", program), libraries)
		}
	}
	pack(t, into)
	return into
})

// pack makes images and papers of the programs in a folder.
func pack(t *testing.T, into string, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", "-s", "pack", "DIST="+into, "BASE="+filepath.Join(scratch, "given"), "BASES="+filepath.Join(scratch, "bases"),
		"SOURCE_DATE_EPOCH="+epoch, "REVISION="+revision, "MODIFIED=false")
	cmd.Dir, cmd.Env = root(t), append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
}

// binaries are the programs of the release, for all architectures.
func binaries(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, program := range programs {
		files, err := filepath.Glob(filepath.Join(dist(t), program+"-linux-*"))
		require.NoError(t, err)
		files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, ".json") })
		require.NotEmpty(t, files)
		found = append(found, files...)
	}
	return found
}

// parse reads JSON of the release.
func parse[T any](t *testing.T, text string) (value T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &value))
	return value
}
