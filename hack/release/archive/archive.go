// Package archive packs folders so that the same files give the same bytes, wherever and whenever.
package archive

import (
	"archive/tar"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"
)

// Write packs the files of a folder as a tar stream, with names that begin with prefix. They come in order, and owners, modes and times
// are not those of this machine. Of links it packs what they lead to.
func Write(out io.Writer, folder, prefix string, created time.Time) error {
	w := tar.NewWriter(out)
	if err := pack(w, folder, prefix, created); err != nil {
		return err
	}
	return w.Close()
}

func pack(w *tar.Writer, folder, prefix string, created time.Time) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		file, name := filepath.Join(folder, entry.Name()), path.Join(prefix, entry.Name())
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if info.IsDir() {
			if err := pack(w, file, name, created); err != nil {
				return err
			}
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: created, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	return nil
}
