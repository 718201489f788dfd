package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

// spdx is what is read of https://spdx.github.io/spdx-spec/v2.3.
type spdx struct {
	SPDXVersion, DocumentNamespace string
	Packages                       []struct {
		SPDXID, Name, VersionInfo string
		Checksums                 []struct{ Algorithm, ChecksumValue string }
		ExternalRefs              []struct{ ReferenceType, ReferenceLocator string }
	}
	Relationships []struct{ SpdxElementID, RelationshipType, RelatedSpdxElement string }
}

// TestTheSBOMIsWhatGoSaysIsInTheProgram compares it with `go version -m`.
func TestTheSBOMIsWhatGoSaysIsInTheProgram(t *testing.T) {
	for _, file := range binaries(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want := map[string]string{}
			toolchain, main := inside(t, file, want)
			want["stdlib"] = toolchain
			document := parse[spdx](t, read(t, file+".spdx.json"))
			assert.Equal(t, "SPDX-2.3", document.SPDXVersion)
			have, described := map[string]string{}, ""
			for _, relationship := range document.Relationships {
				if relationship.RelationshipType == "DESCRIBES" {
					described = relationship.RelatedSpdxElement
				}
			}
			for _, p := range document.Packages {
				assert.Equal(t, "pkg:golang/"+p.Name+"@"+p.VersionInfo, p.ExternalRefs[0].ReferenceLocator)
				if p.SPDXID != described {
					assert.NotContains(t, have, p.Name, "twice")
					have[p.Name] = p.VersionInfo
					continue
				}
				assert.Equal(t, main, p.Name)
				assert.Equal(t, version(t), p.VersionInfo)
				assert.Equal(t, "SHA256", p.Checksums[0].Algorithm)
				assert.Equal(t, digest([]byte(read(t, file))), "sha256:"+p.Checksums[0].ChecksumValue, "it is about this very file")
			}
			assert.Equal(t, want, have)
			assert.Greater(t, len(have), 20)
			assert.Len(t, document.Relationships, len(document.Packages), "each is contained, and the program described")
		})
	}
}

// inside puts the modules of a program into a map, by their versions after replacements, and returns Go's version and the main module.
func inside(t *testing.T, program string, modules map[string]string) (toolchain, main string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", program).Output()
	require.NoError(t, err)
	lines := strings.Split(string(out), "\n")
	last := ""
	for _, line := range lines {
		switch cells := strings.Split(strings.TrimSpace(line), "\t"); cells[0] {
		case "mod":
			main = cells[1]
		case "dep":
			last = cells[1]
			modules[last] = cells[2]
		case "=>":
			delete(modules, last)
			modules[cells[1]] = cells[2]
		}
	}
	return regexp.MustCompile(`: go(\S+)`).FindStringSubmatch(lines[0])[1], main
}

// TestEveryFileHasItsChecksum: of two kinds, one of which sha256sum reads.
func TestEveryFileHasItsChecksum(t *testing.T) {
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	check.Dir = dist(t)
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var summed []string
	for line := range strings.Lines(read(t, dist(t), "SHA256SUMS")) {
		summed = append(summed, strings.Fields(line)[1])
	}
	provenance := parse[struct {
		Type          string `json:"_type"`
		PredicateType string
		Subject       []struct {
			Name   string
			Digest map[string]string
		}
		Predicate struct {
			BuildDefinition struct {
				BuildType            string
				ExternalParameters   map[string]any
				ResolvedDependencies []struct{ URI string }
			}
			RunDetails struct{ Builder struct{ ID string } }
		}
	}](t, read(t, dist(t), "provenance.intoto.json"))
	assert.Equal(t, "https://in-toto.io/Statement/v1", provenance.Type)
	assert.Equal(t, "https://slsa.dev/provenance/v1", provenance.PredicateType)
	assert.Equal(t, version(t), provenance.Predicate.BuildDefinition.ExternalParameters["version"])
	assert.NotEmpty(t, provenance.Predicate.RunDetails.Builder.ID)
	assert.Contains(t, provenance.Predicate.BuildDefinition.ResolvedDependencies[0].URI, "git+https://github.com/phalanx-scheduler/phalanx")
	var proven []string
	for _, subject := range provenance.Subject {
		proven = append(proven, subject.Name)
		assert.Equal(t, digest([]byte(read(t, dist(t), subject.Name))), "sha256:"+subject.Digest["sha256"], subject.Name)
	}
	entries, err := os.ReadDir(dist(t))
	require.NoError(t, err)
	var there []string
	for _, entry := range entries {
		there = append(there, entry.Name())
	}
	assert.ElementsMatch(t, there, append(slices.Clone(summed), "SHA256SUMS"))
	assert.ElementsMatch(t, there, append(slices.Clone(proven), "SHA256SUMS", "provenance.intoto.json"))
	assert.Greater(t, len(proven), 7)
}

// TestTheReleasesManifestsNameImagesByDigest: and are manifests/default in everything else.
func TestTheReleasesManifestsNameImagesByDigest(t *testing.T) {
	want, err := cluster.Render("manifests/default")
	require.NoError(t, err)
	var have []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(read(t, dist(t), "install.yaml")), 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		have = append(have, object)
	}
	require.Len(t, have, len(want))
	byName := map[string]map[string]any{}
	name := func(o *unstructured.Unstructured) string {
		return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
	}
	for _, object := range have {
		byName[name(object)] = object.Object
	}
	pinned := 0
	for _, object := range want {
		if kind := object.GetKind(); kind == "Deployment" || kind == "DaemonSet" {
			containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
			require.NoError(t, err)
			program := object.GetName()
			container := containers[0].(map[string]any)
			image := containers[0].(map[string]any)["image"].(string)
			container["image"] = image + "@" + open(t, program).top(t).Digest
			require.NoError(t, unstructured.SetNestedSlice(object.Object, containers, "spec", "template", "spec", "containers"))
			pinned++
		}
		assert.Equal(t, object.Object, byName[name(object)], name(object))
	}
	assert.Equal(t, len(programs), pinned)
}

// TestTheChartIsPackedAsItIs: with the manifests that it links to. find follows links.
func TestTheChartIsPackedAsItIs(t *testing.T) {
	folder := filepath.Join(root(t), "manifests", "chart")
	files, err := exec.CommandContext(t.Context(), "find", "-L", folder, "-type", "f", "-printf", "%P\\n").Output()
	require.NoError(t, err)
	want, have := map[string]string{}, map[string]string{}
	for _, name := range strings.Fields(string(files)) {
		want["phalanx/"+name] = read(t, folder, name)
	}
	require.Contains(t, want, "phalanx/files/base/deployment.yaml")
	unzipped, err := gzip.NewReader(strings.NewReader(read(t, dist(t), "phalanx-chart.tgz")))
	require.NoError(t, err)
	content, err := io.ReadAll(unzipped)
	require.NoError(t, err)
	each(t, string(content), func(header *tar.Header, content []byte) { have[header.Name] = string(content) })
	assert.Equal(t, want, have)
	assert.Contains(t, have["phalanx/Chart.yaml"], "appVersion: "+version(t)+"\n")
}

// TestTheSameTwice makes images and papers of the same programs anew, as somebody else elsewhere. That the programs themselves come out
// the same, `make reproducible` finds out, which takes too long here.
func TestTheSameTwice(t *testing.T) {
	if *given != "" {
		t.Skip("it was made already")
	}
	again := filepath.Join(t.TempDir(), "elsewhere", "deeper")
	require.NoError(t, os.MkdirAll(again, 0o700))
	for _, file := range binaries(t) {
		require.NoError(t, os.WriteFile(filepath.Join(again, filepath.Base(file)), []byte(read(t, file)), 0o700))
	}
	pack(t, again, "TZ=Asia/Kathmandu", "LANG=tr_TR.UTF-8", "TMPDIR="+t.TempDir(), "USER=somebody")
	entries, err := os.ReadDir(dist(t))
	require.NoError(t, err)
	for _, entry := range entries {
		one, err := os.ReadFile(filepath.Join(dist(t), entry.Name()))
		require.NoError(t, err)
		other, err := os.ReadFile(filepath.Join(again, entry.Name()))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(one, other), "%s differs", entry.Name())
	}
}

// TestProgramsSayNothingOfWhereTheyWereBuilt looks at a real release, whose programs are built for it.
func TestProgramsSayNothingOfWhereTheyWereBuilt(t *testing.T) {
	if *given == "" {
		t.Skip("bin/ is built with the paths of this machine")
	}
	for _, file := range binaries(t) {
		out, err := exec.CommandContext(t.Context(), "go", "version", "-m", file).Output()
		require.NoError(t, err)
		assert.Contains(t, string(out), "-trimpath=true")
		assert.NotContains(t, string(out), "vcs.")
		goroot, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT", "GOMODCACHE").Output()
		require.NoError(t, err)
		for _, path := range append(strings.Fields(string(goroot)), root(t)) {
			assert.NotContains(t, read(t, file), path+"/", "%s holds the path %s", file, path)
		}
	}
}
