package papers

import (
	"compress/gzip"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/hack/release/archive"
)

// Manifests renders a folder of manifests with the images in place of those of the same names.
func Manifests(folder string, images []types.Image) ([]byte, error) {
	overlay, err := os.MkdirTemp("", "manifests-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(overlay)
	if overlay, err = filepath.EvalSymlinks(overlay); err != nil {
		return nil, err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return nil, err
	}
	if folder, err = filepath.EvalSymlinks(folder); err != nil {
		return nil, err
	}
	relative, err := filepath.Rel(overlay, folder) // an overlay names nothing by its absolute path
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(types.Kustomization{Resources: []string{relative}, Images: images})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), text, 0o644); err != nil {
		return nil, err
	}
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), overlay)
	if err != nil {
		return nil, err
	}
	return rendered.AsYaml()
}

// Chart packs a Helm chart.
func Chart(folder, name, file string, created time.Time) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	w := gzip.NewWriter(out)
	return errors.Join(archive.Write(w, folder, name, created), w.Close(), out.Close())
}

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
