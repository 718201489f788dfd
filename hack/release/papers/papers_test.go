package papers

import (
	"bytes"
	"os"
	"testing"
	"time"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
)

// TestOthersReadTheSBOM of a program that is at hand: this test.
func TestOthersReadTheSBOM(t *testing.T) {
	program, err := os.Executable()
	require.NoError(t, err)
	text, err := SBOM(program, "v1", time.Unix(0, 0))
	require.NoError(t, err)
	document, err := json.Read(bytes.NewReader(text))
	require.NoError(t, err)
	require.NoError(t, spdxlib.ValidateDocument(document))
	described, err := spdxlib.GetDescribedPackageIDs(document)
	require.NoError(t, err)
	assert.Len(t, described, 1)
	assert.Equal(t, "1970-01-01T00:00:00Z", document.CreationInfo.Created)
	ids := map[string]bool{}
	for _, p := range document.Packages {
		assert.False(t, ids[string(p.PackageSPDXIdentifier)], "%s is there twice", p.PackageSPDXIdentifier)
		ids[string(p.PackageSPDXIdentifier)] = true
	}
}

func TestWhatIsNoProgramOfGoHasNoSBOM(t *testing.T) {
	_, err := SBOM("papers_test.go", "v1", time.Unix(0, 0))
	assert.ErrorContains(t, err, "papers_test.go")
}

func TestOthersReadTheProvenance(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	origin := Origin{Version: "v1", Revision: commit, Builder: "https://example.com/machine", GoVersion: "go1.26.8", Bases: map[string]string{
		"local/b": "sha256:" + commit + commit[:24], "local/a": "sha256:" + commit + commit[:24],
	}}
	text, err := Provenance(".", []string{"papers_test.go", "sbom.go"}, origin)
	require.NoError(t, err)
	statement := &intoto.Statement{}
	require.NoError(t, protojson.Unmarshal(text, statement))
	require.NoError(t, statement.Validate())
	asJSON, err := protojson.Marshal(statement.Predicate)
	require.NoError(t, err)
	predicate := &slsa.Provenance{}
	require.NoError(t, protojson.Unmarshal(asJSON, predicate))
	require.NoError(t, predicate.Validate())
	dependencies := predicate.BuildDefinition.ResolvedDependencies
	require.Len(t, dependencies, 3)
	assert.Equal(t, commit, dependencies[0].Digest["gitCommit"])
	assert.Equal(t, "oci://local/a", dependencies[1].Uri, "in order")

	origin.Revision = "unknown"
	text, err = Provenance(".", []string{"sbom.go"}, origin)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "gitCommit", "what is not known is not said")
}
