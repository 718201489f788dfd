// Package archive packs folders so that the same files give the same bytes, wherever and whenever.
package archive

import (
	"archive/tar"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// Write packs the files of a folder as a tar stream, with names that begin with prefix. They come in order, and owners, modes and times
// are not those of this machine.
func Write(out io.Writer, folder, prefix string, created time.Time) error {
	w := tar.NewWriter(out)
	files := os.DirFS(folder)
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		header := &tar.Header{Name: path.Join(prefix, name), Mode: 0o644, Size: int64(len(content)), ModTime: created, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	return w.Close()
}
