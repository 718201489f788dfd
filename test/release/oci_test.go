package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is read and written here of https://github.com/opencontainers/image-spec.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType,omitempty"`
	Config        *descriptor  `json:"config,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
}

type config struct {
	platform
	Created time.Time `json:"created"`
	Config  struct {
		User         string
		Entrypoint   []string
		Cmd          []string
		Labels       map[string]string
		Volumes      map[string]struct{}
		ExposedPorts map[string]struct{}
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// layout is an image file: everything in it by its name.
type layout map[string][]byte

var open = remembered(func(t *testing.T, program string) layout {
	found := layout{}
	each(t, read(t, dist(t), program+".oci.tar"), func(header *tar.Header, content []byte) { found[header.Name] = content })
	require.JSONEq(t, `{"imageLayoutVersion": "1.0.0"}`, string(found["oci-layout"]))
	return found
})

// each goes through a tar file.
func each(t *testing.T, packed string, do func(*tar.Header, []byte)) {
	t.Helper()
	for r := tar.NewReader(strings.NewReader(packed)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		do(header, content)
	}
}

// blob returns what a descriptor describes, after a look whether it is that.
func (l layout) blob(t *testing.T, d descriptor) string {
	t.Helper()
	content, ok := l["blobs/"+strings.Replace(d.Digest, ":", "/", 1)]
	require.True(t, ok, "%s is missing", d.Digest)
	require.Len(t, content, int(d.Size))
	require.Equal(t, d.Digest, digest(content))
	return string(content)
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// top is what an image file is of: one index of all platforms.
func (l layout) top(t *testing.T) descriptor {
	t.Helper()
	outer := parse[manifest](t, string(l["index.json"]))
	require.Len(t, outer.Manifests, 1)
	require.Equal(t, indexType, outer.Manifests[0].MediaType)
	return outer.Manifests[0]
}

// image is that of one platform.
type image struct {
	platform
	manifest manifest
	config   config
	layers   []string // unpacked tar files, the base's first
}

// images are those of a program's image file, for all platforms.
var images = remembered(func(t *testing.T, program string) []image {
	l := open(t, program)
	var all []image
	for _, d := range parse[manifest](t, l.blob(t, l.top(t))).Manifests {
		require.Equal(t, manifestType, d.MediaType)
		one := image{platform: *d.Platform, manifest: parse[manifest](t, l.blob(t, d))}
		require.Equal(t, configType, one.manifest.Config.MediaType)
		one.config = parse[config](t, l.blob(t, *one.manifest.Config))
		require.Equal(t, one.platform, one.config.platform)
		require.Len(t, one.config.RootFS.DiffIDs, len(one.manifest.Layers))
		for i, layer := range one.manifest.Layers {
			unzipped, err := gzip.NewReader(strings.NewReader(l.blob(t, layer)))
			require.NoError(t, err)
			content, err := io.ReadAll(unzipped)
			require.NoError(t, err)
			require.Equal(t, one.config.RootFS.DiffIDs[i], digest(content))
			one.layers = append(one.layers, string(content))
		}
		all = append(all, one)
	}
	require.NotEmpty(t, all)
	return all
})

// unpack writes an image's files into a folder, as a container runtime does. Owners are kept where the test may. Nothing gets out of the
// folder, wherever a link leads.
func (one image) unpack(t *testing.T) string {
	t.Helper()
	into, err := os.MkdirTemp(scratch, "root-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(into, 0o755))
	files, err := os.OpenRoot(into)
	require.NoError(t, err)
	defer files.Close()
	for _, layer := range one.layers {
		each(t, layer, func(header *tar.Header, content []byte) {
			name, mode := strings.TrimPrefix(path.Clean("/"+header.Name), "/"), os.FileMode(header.Mode).Perm()
			if name == "" {
				return
			}
			require.NotContains(t, name, ".wh.", "what a layer takes away is not known")
			require.NoError(t, files.MkdirAll(path.Dir(name), 0o755))
			if header.Typeflag == tar.TypeDir {
				require.NoError(t, files.MkdirAll(name, mode))
			} else {
				require.NoError(t, files.RemoveAll(name))
			}
			switch header.Typeflag {
			case tar.TypeDir:
			case tar.TypeReg:
				require.NoError(t, files.WriteFile(name, content, mode))
			case tar.TypeSymlink:
				require.NoError(t, files.Symlink(header.Linkname, name))
			case tar.TypeLink:
				require.NoError(t, files.Link(strings.TrimPrefix(path.Clean("/"+header.Linkname), "/"), name))
			default:
				require.Fail(t, "what is it?", "%s %c", header.Name, header.Typeflag)
			}
			if os.Geteuid() == 0 {
				require.NoError(t, files.Lchown(name, header.Uid, header.Gid))
			}
		})
	}
	return into
}

// writeBase writes an image that has some of this machine's libraries, in the place of a distroless one, as skopeo would leave it.
func writeBase(t *testing.T, into string, libraries []string) {
	t.Helper()
	var unzipped, zipped bytes.Buffer
	gz := gzip.NewWriter(&zipped)
	w := tar.NewWriter(io.MultiWriter(gz, &unzipped))
	for _, library := range libraries {
		content := read(t, library)
		require.NoError(t, w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(library, "/"), Mode: 0o755, Size: int64(len(content))}))
		_, err := io.WriteString(w, content)
		require.NoError(t, err)
	}
	require.NoError(t, errors.Join(w.Close(), gz.Close()))
	put := func(mediaType string, content []byte) descriptor {
		d := descriptor{MediaType: mediaType, Digest: digest(content), Size: int64(len(content))}
		name := filepath.Join(into, "blobs", filepath.FromSlash(strings.Replace(d.Digest, ":", "/", 1)))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, content, 0o644))
		return d
	}
	text := func(value any) []byte {
		content, err := json.Marshal(value)
		require.NoError(t, err)
		return content
	}
	c := config{platform: platform{OS: "linux", Architecture: runtime.GOARCH}}
	c.Config.User, c.Config.Cmd = "0", []string{"/bin/sh"} // neither of which may be left
	c.RootFS.Type, c.RootFS.DiffIDs = "layers", []string{digest(unzipped.Bytes())}
	described := put(configType, text(c))
	m := put(manifestType, text(manifest{SchemaVersion: 2, MediaType: manifestType, Config: &described, Layers: []descriptor{put(layerType, zipped.Bytes())}}))
	require.NoError(t, os.WriteFile(filepath.Join(into, "index.json"), text(manifest{SchemaVersion: 2, Manifests: []descriptor{m}}), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(into, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

// TestOlderDockerFindsTheSameImage reads manifest.json, which knows one platform and no index.
func TestOlderDockerFindsTheSameImage(t *testing.T) {
	for _, program := range programs {
		l := open(t, program)
		saved := parse[[]struct {
			Config           string
			RepoTags, Layers []string
		}](t, string(l["manifest.json"]))
		require.Len(t, saved, 1)
		first := images(t, program)[0].manifest
		assert.Equal(t, []string{program + ":" + version(t)}, saved[0].RepoTags)
		assert.Equal(t, "blobs/"+strings.Replace(first.Config.Digest, ":", "/", 1), saved[0].Config)
		require.Len(t, saved[0].Layers, len(first.Layers))
		for i, layer := range first.Layers {
			assert.Equal(t, "blobs/"+strings.Replace(layer.Digest, ":", "/", 1), saved[0].Layers[i])
		}
		assert.Equal(t, program+":"+version(t), l.top(t).Annotations["io.containerd.image.name"])
		assert.Equal(t, version(t), l.top(t).Annotations["org.opencontainers.image.ref.name"])
	}
}
