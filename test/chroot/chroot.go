// Package chroot runs programs in root folders of their own, as the user that pods have: as much of a container as tests need.
package chroot

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// Enter is how a command line begins that runs a program in a root folder, as user 65532 where the test may change users. It skips the
// test on a machine that does not let it change the root folder.
func Enter(t *testing.T, folder string) []string {
	t.Helper()
	if os.Geteuid() == 0 {
		return []string{"chroot", "--userspec=65532:65532", folder}
	}
	if out, err := exec.CommandContext(t.Context(), "unshare", "--map-root-user", "chroot", "/", "true").CombinedOutput(); err != nil {
		t.Skipf("this machine lets nobody but root change the root folder: %v %s", err, out)
	}
	return []string{"unshare", "--map-root-user", "chroot", folder}
}

var libraryPath = regexp.MustCompile(`(?m)^\s+(?:\S+ => )?(/\S+) \(0x`)

// Libraries are those that a program is linked with; none for a static one.
func Libraries(t *testing.T, program string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ldd", program).CombinedOutput()
	if err != nil {
		require.Contains(t, string(out), "not a dynamic executable")
		return nil
	}
	var paths []string
	for _, match := range libraryPath.FindAllStringSubmatch(string(out), -1) {
		paths = append(paths, match[1])
	}
	return paths
}

// Copy copies a file, with the folders that it takes, so that everybody may read and run it.
func Copy(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	in, err := os.Open(from)
	require.NoError(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(out, in)
	require.NoError(t, err)
	require.NoError(t, out.Close())
}
