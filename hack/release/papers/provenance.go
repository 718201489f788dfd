package papers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// Origin is where a release comes from.
type Origin struct {
	Version    string
	Revision   string // the commit, or "unknown" outside of a repository
	IsModified bool   // there were changes that the commit does not have
	Builder    string // a URI: whose machine it was
	GoVersion  string
	Bases      map[string]string // digests of base images, by their names
}

// Provenance is an in-toto statement about files of a folder, with a SLSA provenance as its predicate. It is not signed: it says what
// its writer says. What GitHub attests of a release is signed.
func Provenance(folder string, files []string, from Origin) ([]byte, error) {
	parameters, err := structpb.NewStruct(map[string]any{
		"target": "release", "version": from.Version, "revision": from.Revision, "modified": from.IsModified,
	})
	if err != nil {
		return nil, err
	}
	internal, err := structpb.NewStruct(map[string]any{"go": from.GoVersion})
	if err != nil {
		return nil, err
	}
	predicate := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{
			BuildType: home + "/blob/main/SECURITY.md#checking-a-release", ExternalParameters: parameters, InternalParameters: internal,
			ResolvedDependencies: dependencies(from),
		},
		RunDetails: &slsa.RunDetails{Builder: &slsa.Builder{Id: from.Builder}},
	}
	if err := predicate.Validate(); err != nil {
		return nil, err
	}
	asStruct := &structpb.Struct{}
	text, err := protojson.Marshal(predicate)
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(text, asStruct); err != nil {
		return nil, err
	}
	statement := &intoto.Statement{Type: intoto.StatementTypeUri, PredicateType: "https://slsa.dev/provenance/v1", Predicate: asStruct}
	for _, file := range files {
		sum, err := sha(filepath.Join(folder, file))
		if err != nil {
			return nil, err
		}
		statement.Subject = append(statement.Subject, &intoto.ResourceDescriptor{Name: file, Digest: map[string]string{"sha256": sum}})
	}
	if err := statement.Validate(); err != nil {
		return nil, err
	}
	if text, err = protojson.Marshal(statement); err != nil {
		return nil, err
	}
	return settled(text)
}

// settled formats JSON: protojson puts in spaces at random, so that nobody relies on its bytes, which is what checksums do.
func settled(text []byte) ([]byte, error) {
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(value, "", " ")
	return append(out, '\n'), err
}

func dependencies(from Origin) []*intoto.ResourceDescriptor {
	source := &intoto.ResourceDescriptor{Uri: "git+" + home}
	if from.Revision != "unknown" {
		source.Uri += "@" + from.Revision
		source.Digest = map[string]string{"gitCommit": from.Revision}
	}
	all := []*intoto.ResourceDescriptor{source}
	for _, name := range sorted(from.Bases) {
		all = append(all, &intoto.ResourceDescriptor{
			Uri: "oci://" + name, Digest: map[string]string{"sha256": strings.TrimPrefix(from.Bases[name], "sha256:")},
		})
	}
	return all
}

// Sums is a file for sha256sum --check.
func Sums(folder string, files []string) ([]byte, error) {
	var lines bytes.Buffer
	for _, file := range files {
		sum, err := sha(filepath.Join(folder, file))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&lines, "%s  %s\n", sum, file)
	}
	return lines.Bytes(), nil
}

// Files lists a folder's files in order.
func Files(folder string) (names []string, err error) {
	entries, err := os.ReadDir(folder)
	for _, entry := range entries {
		if entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	return names, err
}
