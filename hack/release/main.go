// Command release makes images, and what else belongs to a release, of programs that the Makefile has built:
//
//	release bases     gets the base images that the Dockerfile pins, or says that there are none
//	release images    NAME.oci.tar for each last stage of the Dockerfile
//	release papers    SBOMs, manifests and chart, provenance, checksums
//
// Programs are NAME-linux-ARCH in the folder dist; images are made for each architecture that is there.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/phalanx-scheduler/phalanx/hack/release/recipe"
)

// release is what the flags say.
type release struct {
	repository, dist, bases, static        string // folders
	base, version, revision, builder, goIs string
	registry                               string
	isModified                             bool
	epoch                                  int64
}

func (r *release) created() time.Time { return time.Unix(r.epoch, 0).UTC() }

func main() {
	r := release{}
	flag.StringVar(&r.repository, "repository", ".", "the repository's root `folder`")
	flag.StringVar(&r.dist, "dist", "dist", "the `folder` that has the programs, and where everything goes")
	flag.StringVar(&r.bases, "bases", "bin/bases", "the `folder` of base images, OCI layouts by the name of their image")
	flag.StringVar(&r.static, "static", "bin/static", "the `folder` of programs that run on an empty base, where those of dist do not")
	flag.StringVar(&r.base, "base", "auto", "where bases come from: pinned (their registry), empty (there are none), auto (empty if they cannot be fetched) or a `folder` of OCI layouts")
	flag.StringVar(&r.version, "version", "", "the `version` that the programs are stamped with")
	flag.StringVar(&r.revision, "revision", "unknown", "the `commit`")
	flag.BoolVar(&r.isModified, "modified", false, "there are changes that the commit does not have")
	flag.Int64Var(&r.epoch, "epoch", 0, "when the release was made, in `seconds` since 1970: of the commit, so that it is always the same")
	flag.StringVar(&r.builder, "builder", "https://github.com/phalanx-scheduler/phalanx/tree/main/hack/release", "a `URI` that says on whose machine this runs")
	flag.StringVar(&r.goIs, "go", "", "the `version` of Go that built the programs")
	flag.StringVar(&r.registry, "registry", "", "what goes before the images' names in install.yaml: registry.example.com/team")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := r.run(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func (r *release) run(ctx context.Context, steps []string) error {
	images, err := r.recipes()
	if err != nil {
		return err
	}
	for _, step := range steps {
		switch step {
		case "bases":
			err = r.getBases(ctx, images)
		case "images":
			err = r.makeImages(images)
		case "papers":
			err = r.writePapers(images)
		default:
			err = fmt.Errorf("there is no step %q", step)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *release) recipes() ([]recipe.Image, error) {
	dockerfile, err := os.Open(filepath.Join(r.repository, "Dockerfile"))
	if err != nil {
		return nil, err
	}
	defer dockerfile.Close()
	return recipe.Read(dockerfile, map[string]string{
		"VERSION": r.version, "REVISION": r.revision, "CREATED": r.created().Format(time.RFC3339),
	})
}

// program is where a built program lies.
func (r *release) program(name, arch string) string {
	return filepath.Join(r.dist, name+"-linux-"+arch)
}

// archs are those that a program has been built for, in order.
func (r *release) archs(name string) ([]string, error) {
	files, err := filepath.Glob(r.program(name, "*"))
	if err != nil {
		return nil, err
	}
	var archs []string
	for _, file := range files {
		if arch := strings.TrimPrefix(filepath.Base(file), name+"-linux-"); !strings.Contains(arch, ".") {
			archs = append(archs, arch)
		}
	}
	if len(archs) == 0 {
		return nil, fmt.Errorf("%s: it has not been built", r.program(name, "*"))
	}
	slices.Sort(archs)
	return archs, nil
}
