package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRelease(t *testing.T) {
	root, err := repositoryRoot()
	require.NoError(t, err)
	for name, test := range map[string]struct {
		release release
		folder  string
		want    map[string]string
	}{
		"the control plane": {releaseOf(currentModule), "v1.37.2", map[string]string{
			"guard": "of this repository", "etcd": "v3.7.0", "kube-apiserver": "v1.37.2",
			"kube-controller-manager": "v1.37.2", "kubectl": "v1.37.2", "kwok": "v0.8.0",
		}},
		"an older API server with its controllers, the rest as always": {releaseOf("kubernetes-1.34"), "v1.34.4", map[string]string{
			"guard": "of this repository", "etcd": "v3.7.0", "kube-apiserver": "v1.34.4",
			"kube-controller-manager": "v1.34.4", "kubectl": "v1.37.2", "kwok": "v0.8.0",
		}},
		"a kubelet beside it": {kubeletRelease, "v1.37.2", map[string]string{"guard": "of this repository", "kubelet": "v1.37.2"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, binaries, err := test.release.binaries(root)
			require.NoError(t, err)
			assert.Equal(t, filepath.Join(root, "bin", "controlplane", test.folder), dir)
			versions := map[string]string{}
			for _, b := range binaries {
				versions[b.name] = b.version
				assert.NotEmpty(t, b.sources, b.name)
				if strings.HasPrefix(b.pkg, "k8s.io/kubernetes/") {
					assert.Contains(t, b.ldflags, "gitVersion="+b.version+" ", b.name)
				}
			}
			assert.Equal(t, test.want, versions)
		})
	}
	t.Run("a minor without a module is an error that names those with one", func(t *testing.T) {
		t.Setenv(MinorVariable, "1.33")
		_, err := EnsureBinaries(t.Context(), nil)
		assert.EqualError(t, err, "no control plane can be built from hack/controlplane/kubernetes-1.33, which does not exist; "+
			"PHALANX_TEST_KUBERNETES is one of 1.34, 1.35, 1.36, 1.37")
	})
}

func TestRequiredVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "go.mod")
	require.NoError(t, os.WriteFile(path, []byte(`module example.com/m

go 1.26.0

tool example.com/a/cmd/x

require example.com/a v1.2.3

require (
	example.com/b/v3 v3.0.0 // indirect
	example.com/c v0.1.0
)

replace example.com/c => example.com/d v0.9.0
`), 0o600))
	versions, err := requiredVersions(path)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"example.com/a": "v1.2.3", "example.com/b/v3": "v3.0.0", "example.com/c": "v0.1.0"}, versions)
	assert.Equal(t, "v3.0.0", versionOf("example.com/b/v3/cmd/y", versions))
	assert.Equal(t, "of unknown version", versionOf("example.com/z", versions))
}

func TestStamp(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "go.sum")
	write := func(path, content string) { require.NoError(t, os.WriteFile(path, []byte(content), 0o600)) }
	write(source, "one")
	b := binary{name: "program", pkg: "example.com/program", sources: []string{source}}
	const toolchain = "go1 linux amd64"
	isOutdated := func(b binary, toolchain string) bool {
		list, err := outdated(dir, []binary{b}, toolchain)
		require.NoError(t, err)
		return len(list) == 1
	}
	assert.True(t, isOutdated(b, toolchain), "never built")

	stamp, err := b.stamp(toolchain)
	require.NoError(t, err)
	write(stampPath(dir, b), stamp)
	assert.True(t, isOutdated(b, toolchain), "the program was removed")

	write(filepath.Join(dir, b.name), "")
	assert.False(t, isOutdated(b, toolchain), "built")
	assert.True(t, isOutdated(b, "go2 linux amd64"), "another compiler")
	stamped := b
	stamped.ldflags = kubernetesStamp("v1.37.3")
	assert.True(t, isOutdated(stamped, toolchain), "other flags")
	write(source, "two")
	assert.True(t, isOutdated(b, toolchain), "other modules")
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, func() { t.Error("nobody holds it") })
	require.NoError(t, err)

	t.Run("gives up waiting with its context, after saying once that it waits", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		_, err := lock(ctx, path, func() { told++; cancel() })
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 1, told)
	})

	t.Run("is had when its holder lets go", func(t *testing.T) {
		unlockLater, err := lock(t.Context(), path, unlock)
		require.NoError(t, err)
		unlockLater()
	})
}

func TestBuildFails(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	write("go.mod", "module example.com/broken\n\ngo 1.26.0\n")
	write("main.go", "package main\n\nfunc main() { this does not compile }\n")
	b := binary{name: "broken", pkg: "example.com/broken", module: dir}

	err := build(t.Context(), dir, b, "any")
	assert.ErrorContains(t, err, "main.go:3")
	assert.NoFileExists(t, filepath.Join(dir, "broken"))
	assert.NoFileExists(t, stampPath(dir, b))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, build(ctx, dir, b, "any"), context.Canceled)
}

func TestProgress(t *testing.T) {
	var w strings.Builder
	startProgress(&w, "building x v1 (1 of 2)")(nil)
	startProgress(&w, "building y v1 (2 of 2)")(errors.New("no"))
	assert.Equal(t, "building x v1 (1 of 2)\n  done in 0 s\nbuilding y v1 (2 of 2)\n  failed in 0 s\n", w.String())
}

func TestWithFreshPorts(t *testing.T) {
	cases := map[string]struct {
		errs []error // what the attempts end with, the last one from then on
		want int     // attempts
	}{
		"starts at once": {[]error{nil}, 1},
		"starts when the port is free the second time":    {[]error{errors.New("listen: address already in use"), nil}, 2},
		"does not repeat what would fail again":           {[]error{errors.New("unknown flag")}, 1},
		"gives up when every port is taken again at once": {[]error{errors.New("bind: address already in use")}, portAttempts},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			attempts := 0
			err := withFreshPorts(func() error {
				attempts++
				return c.errs[min(attempts, len(c.errs))-1]
			})
			assert.Equal(t, c.errs[len(c.errs)-1], err)
			assert.Equal(t, c.want, attempts)
		})
	}
}

func TestLogTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	assert.EqualError(t, withTail(errors.New("it failed"), path), "it failed (x.log is empty)")

	var all strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&all, "line %d\n", i)
	}
	require.NoError(t, os.WriteFile(path, []byte(all.String()), 0o600))
	tail, err := logTail(path)
	require.NoError(t, err)
	lines := strings.Split(tail, "\n")
	assert.Len(t, lines, tailLines)
	assert.Equal(t, "line 99999", lines[tailLines-1])
}

func TestOptions(t *testing.T) {
	t.Run("what was asked for in so many words wins over what a switch implies", func(t *testing.T) {
		o := Options{NativePodGroups: true, FeatureGates: map[string]bool{"TopologyAwareWorkloadScheduling": false, "A": true}}
		assert.Equal(t, "A=true,GenericWorkload=true,TopologyAwareWorkloadScheduling=false", switches(o.gates()))
		assert.Equal(t, "scheduling.k8s.io/v1beta1=true", switches(o.runtimeConfig()))
	})
	t.Run("flags come in a stable order, and one without values is left out", func(t *testing.T) {
		assert.Equal(t, []string{"--a=1", "--a=2", "--b=3"}, flags(map[string][]string{"b": {"3"}, "a": {"1", "2"}, "c": nil}))
	})
}
