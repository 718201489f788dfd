// Package image makes OCI images of built programs, without a daemon and without a registry.
//
// An image is its base and one layer with our files, as the Dockerfile's last stage says. Nothing in it depends on when, where or by
// whom it was made: the same files and arguments give the same digest.
package image

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/phalanx-scheduler/phalanx/hack/release/recipe"
)

const (
	baseName   = "org.opencontainers.image.base.name"
	baseDigest = "org.opencontainers.image.base.digest"
)

// Files says where a built file lies for an architecture.
type Files func(built, arch string) string

// Index makes an image for each architecture. They are sorted by it, if archs are.
func Index(from recipe.Image, base Base, archs []string, files Files, created time.Time) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range archs {
		platform := v1.Platform{OS: "linux", Architecture: arch}
		image, err := build(from, base, platform, files, created)
		if err != nil {
			return nil, fmt.Errorf("image %s for %s: %w", from.Name, platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	return index, nil
}

func build(from recipe.Image, base Base, platform v1.Platform, files Files, created time.Time) (v1.Image, error) {
	image, err := base.on(platform)
	if err != nil {
		return nil, err
	}
	if base.IsScratch() {
		image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	}
	mediaType := types.OCILayer
	if kind, err := image.MediaType(); err != nil {
		return nil, err
	} else if kind == types.DockerManifestSchema2 { // the two are not to be mixed
		mediaType = types.DockerLayer
	}
	layer, err := pack(from, base, platform.Architecture, files, created, mediaType)
	if err != nil {
		return nil, err
	}
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, MediaType: mediaType, History: v1.History{
		Created: v1.Time{Time: created}, CreatedBy: "hack/release",
	}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = platform.OS, platform.Architecture, v1.Time{Time: created}
	config.Config.User, config.Config.Entrypoint, config.Config.Cmd = from.User, from.Entrypoint, nil
	if config.Config.Labels == nil {
		config.Config.Labels = map[string]string{}
	}
	for key, value := range from.Labels {
		config.Config.Labels[key] = value
	}
	config.Config.Labels[baseName] = base.Name
	if base.Digest != "" {
		config.Config.Labels[baseDigest] = base.Digest
	}
	return mutate.ConfigFile(image, config)
}

// pack makes the layer of our files, which belong to root and nobody may write.
func pack(from recipe.Image, base Base, arch string, files Files, created time.Time, mediaType types.MediaType) (v1.Layer, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, file := range from.Files {
		content, err := os.ReadFile(files(file.Built, arch))
		if err != nil {
			return nil, err
		}
		if err := runs(content, base, arch); err != nil {
			return nil, fmt.Errorf("%s: %w", file.Built, err)
		}
		if path.Dir(file.Path) != "/" {
			return nil, fmt.Errorf("%s: files lie in the root folder", file.Path)
		}
		header := &tar.Header{Name: strings.TrimPrefix(file.Path, "/"), Mode: 0o555, Size: int64(len(content)), ModTime: created, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil },
		tarball.WithMediaType(mediaType))
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// runs is an error if a program cannot start on a base: it is for another machine, or asks for a loader where there is none.
func runs(program []byte, base Base, arch string) error {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return err
	}
	defer f.Close()
	if machines[arch] != f.Machine {
		return fmt.Errorf("it is for %s, the image for %s", f.Machine, arch)
	}
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP && base.IsScratch() {
			return fmt.Errorf("it is linked with glibc, which an empty base does not have: give a base, or a program built without cgo")
		}
	}
	return nil
}
