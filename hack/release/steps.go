package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/phalanx-scheduler/phalanx/hack/release/image"
	"github.com/phalanx-scheduler/phalanx/hack/release/papers"
	"github.com/phalanx-scheduler/phalanx/hack/release/recipe"
)

// patience is how long a registry may take for one base. Where there is no network, no answer comes at once.
const patience = 2 * time.Minute

// getBases puts the bases where images look for them.
func (r *release) getBases(ctx context.Context, images []recipe.Image) error {
	if err := os.RemoveAll(r.bases); err != nil {
		return err
	}
	for _, wanted := range images {
		folder := filepath.Join(r.bases, wanted.Name)
		switch r.base {
		case "empty":
		case "pinned", "auto":
			ctx, cancel := context.WithTimeout(ctx, patience)
			err := image.Fetch(ctx, wanted.Base, folder)
			cancel()
			if err != nil && r.base == "pinned" {
				return fmt.Errorf("base of %s: %w", wanted.Name, err)
			}
			if err != nil {
				fmt.Printf("%s: its base cannot be fetched: %v\n", wanted.Name, err)
				if err := os.RemoveAll(folder); err != nil {
					return err
				}
			}
		default:
			given := filepath.Join(r.base, wanted.Name)
			if _, err := os.Stat(given); os.IsNotExist(err) {
				break
			}
			if err := os.CopyFS(folder, os.DirFS(given)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *release) makeImages(images []recipe.Image) error {
	for _, wanted := range images {
		base, err := image.Open(wanted.Base, filepath.Join(r.bases, wanted.Name))
		if err != nil {
			return err
		}
		archs, err := r.archs(wanted.Name)
		if err != nil {
			return err
		}
		files := r.program
		if base.IsScratch() {
			files = r.standalone
		}
		index, err := image.Index(wanted, base, archs, files, r.created())
		if err != nil {
			return err
		}
		if err := image.Save(index, wanted.Name+":"+r.version, r.imageFile(wanted.Name), r.created()); err != nil {
			return err
		}
		if err := r.tell(wanted, base, index, archs); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) imageFile(name string) string { return filepath.Join(r.dist, name+".oci.tar") }

// standalone is a program that needs nothing around it, if there is one.
func (r *release) standalone(name, arch string) string {
	program := r.program(name, arch)
	f, err := elf.Open(program)
	if err != nil {
		return program // whose reader will say what is wrong
	}
	defer f.Close()
	other := filepath.Join(r.static, filepath.Base(program))
	if _, err := os.Stat(other); err == nil && f.Section(".interp") != nil {
		return other
	}
	return program
}

// tell says what an image is, and what it is not.
func (r *release) tell(made recipe.Image, base image.Base, index v1.ImageIndex, archs []string) error {
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	note := ""
	switch {
	case !base.IsScratch() && base.Name != made.Base:
		note = "; this is not the base that the Dockerfile pins"
	case base.IsScratch() && r.standalone(made.Name, archs[0]) != r.program(made.Name, archs[0]):
		note = "; it holds a program built without cgo, which cannot talk to GPUs: it is for trying the manifests"
	case base.IsScratch():
		note = "; that is all a static program needs, but not the base that the Dockerfile pins"
	}
	fmt.Printf("%s %s for %v, on base %s%s\n", r.imageFile(made.Name), digest, archs, base.Name, note)
	return nil
}

// writePapers writes what belongs to the programs and images of dist. The last two are about all that is there before them.
func (r *release) writePapers(images []recipe.Image) error {
	origin := papers.Origin{
		Version: r.version, Revision: r.revision, IsModified: r.isModified, Builder: r.builder, GoVersion: r.goIs, Bases: map[string]string{},
	}
	var pinned []types.Image
	for _, made := range images {
		archs, err := r.archs(made.Name)
		if err != nil {
			return err
		}
		for _, arch := range archs {
			text, err := papers.SBOM(r.program(made.Name, arch), r.version, r.created())
			if err != nil {
				return err
			}
			if err := os.WriteFile(r.program(made.Name, arch)+".spdx.json", text, 0o644); err != nil {
				return err
			}
		}
		base, err := image.Open(made.Base, filepath.Join(r.bases, made.Name))
		if err != nil {
			return err
		}
		if !base.IsScratch() {
			origin.Bases[base.Name] = base.Digest
		}
		digest, err := image.DigestOf(r.imageFile(made.Name))
		if err != nil {
			return err
		}
		pinned = append(pinned, types.Image{Name: made.Name, NewName: filepath.Join(r.registry, made.Name), NewTag: r.version, Digest: digest})
	}
	manifests := filepath.Join(r.repository, "manifests")
	rendered, err := papers.Manifests(filepath.Join(manifests, "default"), pinned)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.dist, "install.yaml"), rendered, 0o644); err != nil {
		return err
	}
	if err := papers.Chart(filepath.Join(manifests, "chart"), "phalanx", filepath.Join(r.dist, "phalanx-chart.tgz"), r.created()); err != nil {
		return err
	}
	return r.seal(origin)
}

const (
	provenanceFile = "provenance.intoto.json"
	sumsFile       = "SHA256SUMS"
)

// seal writes the provenance of all files, and the checksums of those and it.
func (r *release) seal(origin papers.Origin) error {
	for _, file := range []string{provenanceFile, sumsFile} {
		if err := os.Remove(filepath.Join(r.dist, file)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	files, err := papers.Files(r.dist)
	if err != nil {
		return err
	}
	text, err := papers.Provenance(r.dist, files, origin)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.dist, provenanceFile), text, 0o644); err != nil {
		return err
	}
	sums, err := papers.Sums(r.dist, append(files, provenanceFile))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dist, sumsFile), sums, 0o644)
}
