package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Base is what an image stands on.
type Base struct {
	Name   string // as the label org.opencontainers.image.base.name has it
	Digest string // of the index of all platforms; "" for nothing
	index  v1.ImageIndex
}

// Scratch is nothing: a static program needs no more. In a cluster the certificates that ours need are the service account's.
var Scratch = Base{Name: "scratch"}

// IsScratch is true for nothing.
func (b Base) IsScratch() bool { return b.index == nil }

// Fetch gets a pinned base, name:tag@digest, from its registry into a folder, an OCI layout. The registry's answer is held to the digest.
func Fetch(ctx context.Context, pinned, folder string) error {
	ref, err := name.NewDigest(pinned)
	if err != nil {
		return err
	}
	index, err := remote.Index(ref, remote.WithContext(ctx))
	if err != nil {
		return err
	}
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	// What the base's makers add to platforms, such as attestations, is left where it is.
	return path.AppendIndex(index)
}

// Open reads the base of an image from an OCI layout: the folder is the layout, and has one image or index. Without the folder it is
// Scratch. One with the pinned digest gets the pinned name.
func Open(pinned, folder string) (Base, error) {
	path, err := layout.FromPath(folder)
	if errors.Is(err, os.ErrNotExist) {
		return Scratch, nil
	} else if err != nil {
		return Base{}, fmt.Errorf("base %s: %w", folder, err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		return Base{}, fmt.Errorf("base %s: %w", folder, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return Base{}, fmt.Errorf("base %s: %w", folder, err)
	}
	if len(manifest.Manifests) != 1 {
		return Base{}, fmt.Errorf("base %s: it has %d images and ought to have one", folder, len(manifest.Manifests))
	}
	only := manifest.Manifests[0]
	if only.MediaType.IsIndex() {
		if index, err = index.ImageIndex(only.Digest); err != nil {
			return Base{}, fmt.Errorf("base %s: %w", folder, err)
		}
	}
	base := Base{Name: "local/" + filepath.Base(folder), Digest: only.Digest.String(), index: index}
	if ref, err := name.NewDigest(pinned); err == nil && ref.DigestStr() == base.Digest {
		base.Name = pinned
	}
	return base, nil
}

// on returns the base's image for a platform.
func (b Base) on(platform v1.Platform) (v1.Image, error) {
	if b.IsScratch() {
		return empty.Image, nil
	}
	manifest, err := b.index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, candidate := range manifest.Manifests {
		fits := match.Platforms(platform)(candidate) || candidate.Platform == nil && len(manifest.Manifests) == 1
		if candidate.MediaType.IsImage() && fits {
			return b.index.Image(candidate.Digest)
		}
	}
	return nil, fmt.Errorf("base %s: it has no image for %s", b.Name, platform)
}
