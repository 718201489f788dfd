package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

const (
	// rootModule is the module whose root folder holds hack/controlplane and bin/controlplane.
	rootModule = "github.com/phalanx-scheduler/phalanx"
	// guardBinary is built next to the programs it guards.
	guardBinary = "guard"
	// lockFile keeps processes that start together from building the same thing twice.
	lockFile = ".lock"
)

// binary is one program of the control plane and how to build it.
type binary struct {
	name string
	// pkg is the import path of its main package.
	pkg string
	// version is what the program is, for people: v1.37.2. It is also stamped into Kubernetes' programs.
	version string
	// module is the folder whose go.mod decides what is compiled.
	module string
	// sources are the files whose content, besides flags and toolchain, decides whether a build is still good.
	sources []string
	// ldflags beyond those that every program gets.
	ldflags string
	// hint tells a waiting person what to expect.
	hint string
}

// MinorVariable names the environment variable that says which Kubernetes minor's API server and controllers run, as in "1.34": a
// module under hack/controlplane. Unset means the one that the scheduler is built from.
const MinorVariable = "PHALANX_TEST_KUBERNETES"

const (
	// moduleFolder holds a module for each minor, currentModule is that of the scheduler's.
	moduleFolder  = "hack/controlplane"
	modulePrefix  = "kubernetes-"
	currentModule = modulePrefix + "1.37"
)

// release is programs, by the module under hack/controlplane that they are built from: one build list cannot hold two versions of
// k8s.io/kubernetes. The version of the first part's module names the folder for all of them.
type release []part

type part struct {
	module string
	pkgs   []string
}

// releaseOf is a control plane whose API server and controllers come from a module. The programs beside them need not be as old.
func releaseOf(module string) release {
	return release{
		{module, []string{"k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kube-controller-manager"}},
		{currentModule, []string{"go.etcd.io/etcd/server/v3", "k8s.io/kubernetes/cmd/kubectl", "sigs.k8s.io/kwok/cmd/kwok"}},
	}
}

// kubeletRelease is built for who asks for it alone: the control plane's own nodes are kwok's.
var kubeletRelease = release{{currentModule, []string{"k8s.io/kubernetes/cmd/kubelet"}}}

// hints are for the programs that take long.
var hints = map[string]string{
	"kubelet":                 "a minute or two the first time",
	"kube-apiserver":          "a few minutes the first time",
	"kube-controller-manager": "a minute or two the first time",
}

// EnsureBinaries builds the control plane's programs where they are missing or out of date, and returns the folder that
// holds them. It looks for the repository from the working directory upwards. Progress goes to w, one line for each
// program that is really built; nil means none.
//
// A build is good as long as the hash of its go.mod, go.sum, flags and Go version is the one written beside it. Processes
// that ask at the same time wait for one another; the lock is the kernel's and dies with its holder. [MinorVariable] chooses
// the Kubernetes version.
func EnsureBinaries(ctx context.Context, w io.Writer) (string, error) {
	module := currentModule
	if minor := os.Getenv(MinorVariable); minor != "" {
		module = modulePrefix + minor
	}
	return releaseOf(module).ensure(ctx, w)
}

// EnsureKubelet does the same for a kubelet, and returns its path.
func EnsureKubelet(ctx context.Context, w io.Writer) (string, error) {
	dir, err := kubeletRelease.ensure(ctx, w)
	return filepath.Join(dir, "kubelet"), err
}

func (r release) ensure(ctx context.Context, w io.Writer) (string, error) {
	if w == nil {
		w = io.Discard
	}
	root, err := repositoryRoot()
	if err != nil {
		return "", err
	}
	dir, binaries, err := r.binaries(root)
	if err != nil {
		return "", err
	}
	toolchain, err := goToolchain(ctx)
	if err != nil {
		return "", err
	}
	missing, err := outdated(dir, binaries, toolchain)
	if err != nil || len(missing) == 0 {
		return dir, err
	}

	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, filepath.Join(dir, lockFile), func() {
		fmt.Fprintln(w, "waiting for another process that builds the control plane")
	})
	if err != nil {
		return "", fmt.Errorf("waiting to build the control plane: %w", err)
	}
	defer unlock()

	// Whoever held the lock before may have built it all.
	if missing, err = outdated(dir, binaries, toolchain); err != nil {
		return "", err
	}
	for i, b := range missing {
		label := fmt.Sprintf("%d of %d", i+1, len(missing))
		if b.hint != "" {
			label += "; " + b.hint
		}
		report := startProgress(w, fmt.Sprintf("building %s %s (%s)", b.name, b.version, label))
		err := build(ctx, dir, b, toolchain)
		report(err)
		if err != nil {
			return "", fmt.Errorf("building %s %s: %w", b.name, b.version, err)
		}
	}
	return dir, nil
}

// binaries lists what the release consists of and the folder for it.
func (r release) binaries(root string) (dir string, list []binary, err error) {
	guard := filepath.Join(root, "test", "controlplane", guardBinary)
	guardSources, err := filepath.Glob(filepath.Join(guard, "*.go"))
	if err != nil {
		return "", nil, err
	}
	list = []binary{{
		name: guardBinary, pkg: rootModule + "/test/controlplane/" + guardBinary, version: "of this repository",
		module: root, sources: guardSources,
	}}
	for i, part := range r {
		kubernetes, programs, err := part.binaries(filepath.Join(root, moduleFolder))
		if err != nil {
			return "", nil, err
		}
		if i == 0 {
			dir = filepath.Join(root, "bin", "controlplane", kubernetes)
		}
		list = append(list, programs...)
	}
	return dir, list, nil
}

func (p part) binaries(modules string) (kubernetes string, list []binary, err error) {
	module := filepath.Join(modules, p.module)
	versions, err := requiredVersions(filepath.Join(module, "go.mod"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil, fmt.Errorf("no control plane can be built from %s/%s, which does not exist; %s is one of %s", moduleFolder, p.module, MinorVariable, strings.Join(minors(modules), ", "))
	}
	if err != nil {
		return "", nil, err
	}
	if kubernetes = versions["k8s.io/kubernetes"]; kubernetes == "" {
		return "", nil, fmt.Errorf("%s/go.mod does not require k8s.io/kubernetes", module)
	}
	for _, pkg := range p.pkgs {
		b := binary{name: programName(pkg), pkg: pkg, version: versionOf(pkg, versions), module: module}
		b.sources = []string{filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum")}
		b.hint = hints[b.name]
		if strings.HasPrefix(pkg, "k8s.io/kubernetes/") {
			b.ldflags = kubernetesStamp(kubernetes)
		}
		list = append(list, b)
	}
	return kubernetes, list, nil
}

// minors are those that there is a module for.
func minors(modules string) []string {
	found, _ := filepath.Glob(filepath.Join(modules, modulePrefix+"*")) // the pattern is sound
	for i, path := range found {
		found[i] = strings.TrimPrefix(filepath.Base(path), modulePrefix)
	}
	return found
}

// programName is the name of the program that a main package makes: the last element of its path that says something.
func programName(pkg string) string {
	if pkg == "go.etcd.io/etcd/server/v3" {
		return "etcd"
	}
	return pkg[strings.LastIndex(pkg, "/")+1:]
}

// versionOf is the version of the module that the package is in.
func versionOf(pkg string, versions map[string]string) string {
	for path := pkg; path != "."; path = filepath.Dir(path) {
		if v := versions[path]; v != "" {
			return v
		}
	}
	return "of unknown version"
}

// kubernetesStamp makes Kubernetes' programs say which release they are. The release build does it from git; a build from
// a module has no git, and without this discovery says v0.0.0-master and clients that look at the version refuse it. There
// is no commit to name, so none is claimed.
func kubernetesStamp(version string) string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, kv := range []string{
			"gitVersion=" + version, "gitMajor=" + major, "gitMinor=" + minor, "gitCommit=", "gitTreeState=archive",
		} {
			flags = append(flags, "-X "+pkg+"."+kv)
		}
	}
	return strings.Join(flags, " ")
}

// apiServerVersion asks an API server's program which release it is.
func apiServerVersion(ctx context.Context, binDir string) (*version.Version, error) {
	program := filepath.Join(binDir, apiServerName)
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("asking %s for its version: %w", program, err)
	}
	said := strings.TrimSpace(string(out)) // Kubernetes v1.37.2
	return version.ParseSemantic(strings.TrimPrefix(said, "Kubernetes "))
}

// repositoryRoot is the nearest folder upwards whose go.mod is the root module's.
func repositoryRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if m := moduleLine.FindSubmatch(content); m != nil && string(m[1]) == rootModule {
			return dir, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod of %s in %s or above: run this inside the repository", rootModule, wd)
		}
	}
}

var (
	moduleLine  = regexp.MustCompile(`(?m)^module (\S+)$`)
	requireLine = regexp.MustCompile(`(?m)^\s*(?:require\s+)?(\S+) (v\S+)(?:\s+//.*)?$`)
)

// requiredVersions reads the versions that a go.mod requires. Replaced modules appear with the version required, which is
// right for the few that are asked for here: they are not replaced.
func requiredVersions(path string) (map[string]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	versions := map[string]string{}
	for _, m := range requireLine.FindAllStringSubmatch(string(content), -1) {
		versions[m[1]] = m[2]
	}
	return versions, nil
}

// goToolchain names the compiler and the platform, which decide whether a build is still good.
func goToolchain(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOOS", "GOARCH").Output()
	if err != nil {
		return "", fmt.Errorf("asking go for its version: %w", err)
	}
	return strings.Join(strings.Fields(string(out)), " "), nil
}

// outdated returns the binaries whose stamp is missing or not the one that a build today would write.
func outdated(dir string, binaries []binary, toolchain string) ([]binary, error) {
	var list []binary
	for _, b := range binaries {
		want, err := b.stamp(toolchain)
		if err != nil {
			return nil, err
		}
		have, err := os.ReadFile(stampPath(dir, b))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		_, missing := os.Stat(filepath.Join(dir, b.name))
		if missing != nil || string(have) != want {
			list = append(list, b)
		}
	}
	return list, nil
}

// stamp is a hash of everything that decides what the binary is.
func (b binary) stamp(toolchain string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, toolchain, b.arguments(""))
	for _, path := range b.sources {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, filepath.Base(path), len(content))
		h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil)) + "\n", nil
}

func stampPath(dir string, b binary) string {
	return filepath.Join(dir, "."+b.name+".stamp")
}
