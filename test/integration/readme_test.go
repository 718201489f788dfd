package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/cluster"
)

func readme(t *testing.T) string {
	t.Helper()
	root, err := cluster.Root()
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	return string(raw)
}

func TestTheReadmesManifestRuns(t *testing.T) {
	t.Parallel()
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	require.Len(t, found, 1, "every manifest of the README is tried here")
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	require.NoError(t, os.WriteFile(file, []byte(found[0][1]), 0o600))
	w := newWorld(t, shared, 4)
	w.selectOwnNodes()
	require.Equal(t, 4, w.applyFile(file))
	w.waitRunning("train", 4)
	w.waitPhase(volcanoGroups, "train", "Running")
}

// TestTheReadmesFoldersAreWhatTestsInstall holds the commands of the README to folders that other tests apply to a cluster:
// manifests/default to the shared one, both in test/install.
func TestTheReadmesFoldersAreWhatTestsInstall(t *testing.T) {
	t.Parallel()
	var folders []string
	for _, found := range regexp.MustCompile(`kubectl apply -k (\S+)`).FindAllStringSubmatch(readme(t), -1) {
		folders = append(folders, found[1])
	}
	require.Equal(t, "manifests/default manifests/drop-in", strings.Join(folders, " "))
}
