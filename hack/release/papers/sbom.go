// Package papers writes what comes with a release: what is in each program (SPDX), how it was made (SLSA provenance), and checksums.
// Everything is read off the files themselves, and nothing of it depends on the machine or the time.
package papers

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"
)

const home = "https://github.com/phalanx-scheduler/phalanx"

// SBOM describes a built program in SPDX 2.3: the program, Go's standard library, and each module that the linker took in, as Go's own
// build information has them. C libraries that a program finds at run time are not among them.
func SBOM(program, version string, created time.Time) ([]byte, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	sum, err := sha(program)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(program)
	main := module(info.Main.Path, version)
	main.PackageFileName, main.PrimaryPackagePurpose = name, "APPLICATION"
	main.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: sum}}
	main.PackageLicenseDeclared = "Apache-2.0"
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: name,
		DocumentNamespace: fmt.Sprintf("%s/sbom/%s-%s", home, name, sum),
		CreationInfo: &v2_3.CreationInfo{
			Created:  created.UTC().Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "phalanx-hack-release"}, {CreatorType: "Organization", Creator: "phalanx-scheduler"}},
		},
		Packages:      []*v2_3.Package{main},
		Relationships: []*v2_3.Relationship{relation("DOCUMENT", common.TypeRelationshipDescribe, main)},
	}
	for _, dep := range append([]*debug.Module{{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}}, info.Deps...) {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		p := module(dep.Path, dep.Version)
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, relation(main.PackageSPDXIdentifier, common.TypeRelationshipContains, p))
	}
	if err := spdxlib.ValidateDocument(doc); err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = json.Write(doc, &text, json.Indent(" "))
	return text.Bytes(), err
}

// module is a package of the document. Its licence has not been looked into, so that is what is said.
func module(path, version string) *v2_3.Package {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, path)
	return &v2_3.Package{
		PackageName: path, PackageVersion: version, PackageSPDXIdentifier: common.ElementID("Package-" + id),
		PackageDownloadLocation: "NOASSERTION", PackageLicenseConcluded: "NOASSERTION", PackageLicenseDeclared: "NOASSERTION",
		PackageCopyrightText: "NOASSERTION",
		PackageExternalReferences: []*v2_3.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: "pkg:golang/" + path + "@" + version,
		}},
	}
}

func relation(from common.ElementID, kind string, to *v2_3.Package) *v2_3.Relationship {
	return &v2_3.Relationship{
		RefA: common.MakeDocElementID("", string(from)), Relationship: kind, RefB: common.MakeDocElementID("", string(to.PackageSPDXIdentifier)),
	}
}

func sha(file string) (string, error) {
	content, err := os.ReadFile(file)
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), err
}
