package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/hack/release/recipe"
)

var (
	created = time.Unix(1767225600, 0).UTC()
	hello   = recipe.Image{
		Name: "hello", User: "65532:65532", Entrypoint: []string{"/hello"}, Files: []recipe.File{{Built: "hello", Path: "/hello"}},
		Labels: map[string]string{"says": "hello"},
	}
)

// programs writes a program for each architecture: as much of one as is looked at. One that is linked asks for a loader.
func programs(t *testing.T, isLinked bool) Files {
	t.Helper()
	folder := t.TempDir()
	files := func(built, arch string) string { return filepath.Join(folder, built+"-"+arch) }
	for arch, machine := range machines {
		header := elf.Header64{
			Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64, Phoff: 64, Phentsize: 56,
		}
		if isLinked {
			header.Phnum = 1
		}
		var program bytes.Buffer
		require.NoError(t, binary.Write(&program, binary.LittleEndian, header))
		require.NoError(t, binary.Write(&program, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_INTERP)}))
		require.NoError(t, os.WriteFile(files("hello", arch), program.Bytes(), 0o755))
	}
	return files
}

// someBase is an index as a registry has it: images by platform, and an attestation that is for none.
func someBase(t *testing.T, archs ...string) v1.ImageIndex {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	for _, platform := range append(archs, "unknown") {
		image, err := random.Image(100, 1)
		require.NoError(t, err)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: platform}}})
	}
	return index
}

// saved is an image file of two architectures, which is a sound OCI layout.
func saved(t *testing.T, base Base) string {
	t.Helper()
	made, err := Index(hello, base, []string{"amd64", "arm64"}, programs(t, !base.IsScratch()), created)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "hello.oci.tar")
	require.NoError(t, Save(made, "hello:v1", file, created))
	digest, err := made.Digest()
	require.NoError(t, err)
	read, err := DigestOf(file)
	require.NoError(t, err)
	assert.Equal(t, digest.String(), read)
	folder := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "tar", "-x", "-f", file, "-C", folder).CombinedOutput()
	require.NoError(t, err, "%s", out)
	path, err := layout.FromPath(folder)
	require.NoError(t, err)
	all, err := path.ImageIndex()
	require.NoError(t, err)
	require.NoError(t, validate.Index(all))
	return file
}

// TestOthersReadWhatIsSaved as older Docker does.
func TestOthersReadWhatIsSaved(t *testing.T) {
	file := saved(t, Scratch)
	image, err := tarball.ImageFromPath(file, nil)
	require.NoError(t, err)
	require.NoError(t, validate.Image(image))
	config, err := image.ConfigFile()
	require.NoError(t, err)
	assert.Equal(t, "amd64", config.Architecture)
	assert.Equal(t, map[string]string{"says": "hello", baseName: "scratch"}, config.Config.Labels)
}

func TestABaseFromAFolder(t *testing.T) {
	index := someBase(t, "amd64", "arm64")
	folder := filepath.Join(t.TempDir(), "hello")
	path, err := layout.Write(folder, empty.Index)
	require.NoError(t, err)
	require.NoError(t, path.AppendIndex(index))
	digest, err := index.Digest()
	require.NoError(t, err)

	base, err := Open("example.com/base:1@"+digest.String(), folder)
	require.NoError(t, err)
	assert.Equal(t, "example.com/base:1@"+digest.String(), base.Name, "it is what is pinned")
	saved(t, base)

	base, err = Open("example.com/base:1@sha256:"+"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", folder)
	require.NoError(t, err)
	assert.Equal(t, "local/hello", base.Name, "it is something else, and gets no name that it does not have")
	assert.Equal(t, digest.String(), base.Digest)

	base, err = Open("example.com/base:1", filepath.Join(folder, "gone"))
	require.NoError(t, err)
	assert.True(t, base.IsScratch())
}

func TestAnImageThatCouldNotRunIsNotMade(t *testing.T) {
	static, linked := programs(t, false), programs(t, true)
	intel := Base{Name: "intel", index: someBase(t, "amd64")}
	for name, test := range map[string]struct {
		base  Base
		archs string
		files Files
		want  string
	}{
		"a program that is linked, on nothing": {Scratch, "amd64", linked, "image hello for linux/amd64: hello: it is linked with glibc, which an empty base does not have"},
		"a program for another machine":        {Scratch, "arm64", func(built, _ string) string { return static(built, "amd64") }, "it is for EM_X86_64, the image for arm64"},
		"a base for another machine":           {intel, "arm64", static, "base intel: it has no image for linux/arm64"},
		"no program":                           {Scratch, "amd64", func(string, string) string { return "gone" }, "open gone"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Index(hello, test.base, []string{test.archs}, test.files, created)
			assert.ErrorContains(t, err, test.want)
		})
	}
}
