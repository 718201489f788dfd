package image

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/phalanx-scheduler/phalanx/hack/release/archive"
)

// Save writes an index as an OCI layout in a tar file, which skopeo, crane, podman and containerd read, and newer Docker. It holds
// manifest.json too, for older Docker: that can name one platform only, the first. Name is a name with a tag.
func Save(index v1.ImageIndex, name, file string, created time.Time) error {
	folder, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	// The first is what containerd and Docker call it, the second what the standard knows.
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name[strings.LastIndexByte(name, ':')+1:],
	})); err != nil {
		return err
	}
	manifest, err := dockers(index, name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "manifest.json"), manifest, 0o644); err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(archive.Write(out, folder, "", created), out.Close())
}

// dockers is manifest.json, with the blobs of the layout.
func dockers(index v1.ImageIndex, name string) ([]byte, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return nil, err
	}
	inside, err := image.Manifest()
	if err != nil {
		return nil, err
	}
	blob := func(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }
	described := tarball.Descriptor{Config: blob(inside.Config.Digest), RepoTags: []string{name}}
	for _, layer := range inside.Layers {
		described.Layers = append(described.Layers, blob(layer.Digest))
	}
	return json.Marshal(tarball.Manifest{described})
}

// DigestOf returns the digest of the one index in a file that Save wrote.
func DigestOf(file string) (string, error) {
	in, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer in.Close()
	for r := tar.NewReader(in); ; {
		header, err := r.Next()
		if err != nil {
			return "", fmt.Errorf("%s: index.json: %w", file, err)
		}
		if header.Name != "index.json" {
			continue
		}
		var index v1.IndexManifest
		if err := json.NewDecoder(r).Decode(&index); err != nil {
			return "", fmt.Errorf("%s: index.json: %w", file, err)
		}
		if len(index.Manifests) != 1 {
			return "", fmt.Errorf("%s: index.json has %d images and ought to have one", file, len(index.Manifests))
		}
		return index.Manifests[0].Digest.String(), nil
	}
}
