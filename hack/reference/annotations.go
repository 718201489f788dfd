package main

import (
	"fmt"
	"go/ast"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// key is a label or an annotation of ours.
type key struct {
	constant, name  string
	kind, on, means string
	usedBy          map[string]bool
}

// comment is the form of the comments of such constants.
var comment = regexp.MustCompile(`^(\w+) is an? (annotation|label) of ([^:]+): (.+)\.$`)

func annotationsPage() (string, error) {
	keys, err := findKeys()
	if err != nil {
		return "", err
	}
	policy, err := os.ReadFile("manifests/admission/policy.yaml")
	if err != nil {
		return "", err
	}
	_, read, _ := strings.Cut(string(policy), "- name: unread")
	said, shown := [][]string{}, [][]string{}
	for _, k := range keys {
		var users []string
		for _, user := range slices.Sorted(maps.Keys(k.usedBy)) {
			users = append(users, fmt.Sprintf("[%s](../%s)", strings.TrimPrefix(user, "pkg/"), user))
		}
		row := []string{code(k.name), k.kind, k.means, strings.Join(users, ", ")}
		if k.on == "nodes" {
			shown = append(shown, row)
			continue
		}
		if !strings.Contains(read, "'"+k.name+"'") {
			return "", fmt.Errorf("manifests/admission takes annotation %s for one that nobody reads", k.name)
		}
		said = append(said, append([]string{row[0], k.on}, row[2:]...))
	}
	return `# Annotations and labels

All that begin with ` + "`phalanx.dev/`" + `. Values are explained in [topology.md](topology.md#wishes) and
[gpu.md](gpu.md#what-a-pod-may-ask-for). A wrong value keeps a pod or a gang waiting, with a sentence that says what is wrong; with
[manifests/admission](../manifests/admission) the API server refuses it at once, and warns of keys that nobody reads.

## What users may say

Annotations. Those of other projects that are understood as well are listed in [topology.md](topology.md#wishes).

` + table([]string{"annotation", "on", "means", "read by"}, said) + `
## What the reporter says of a node

Nobody else should write these; an admission policy holds each reporter to its own node.

` + table([]string{"key", "is", "means", "used by"}, shown), nil
}

// findKeys finds the constants of pkg that begin with KeyPrefix, in the order in which they stand, and who uses them.
func findKeys() ([]*key, error) {
	var keys []*key
	byConstant := map[string]*key{}
	folders := map[string]map[string]*ast.File{}
	err := filepath.WalkDir("pkg", func(folder string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || entry.Name() == "testdata" {
			return err
		}
		files, err := parseFolder(folder)
		folders[folder] = files
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		for _, name := range slices.Sorted(maps.Keys(folders[folder])) {
			found, err := declared(folders[folder][name])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			for _, k := range found {
				keys, byConstant[folder+"."+k.constant] = append(keys, k), k
			}
		}
	}
	for folder, files := range folders {
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				use, isUse := "", false
				switch n := n.(type) {
				case *ast.ValueSpec:
					return len(n.Names) == 0 || byConstant[folder+"."+n.Names[0].Name] == nil // its declaration is no use
				case *ast.SelectorExpr:
					if of, isName := n.X.(*ast.Ident); isName {
						for _, home := range []string{"pkg/gang", "pkg/reporter/publish"} {
							if filepath.Base(home) == of.Name {
								use, isUse = home+"."+n.Sel.Name, true
							}
						}
					}
				case *ast.Ident:
					use, isUse = folder+"."+n.Name, true
				}
				if k := byConstant[use]; isUse && k != nil {
					k.usedBy[folder] = true
				}
				return true
			})
		}
	}
	for _, k := range keys {
		if len(k.usedBy) == 0 {
			return nil, fmt.Errorf("nobody uses %s", k.constant)
		}
	}
	return keys, nil
}

// declared returns the keys that a file declares.
func declared(file *ast.File) ([]*key, error) {
	var keys []*key
	for _, declaration := range file.Decls {
		group, isGroup := declaration.(*ast.GenDecl)
		if !isGroup {
			continue
		}
		for _, spec := range group.Specs {
			value, isValue := spec.(*ast.ValueSpec)
			if !isValue || len(value.Values) != 1 {
				continue
			}
			suffix, isKey := afterPrefix(value.Values[0])
			if !isKey {
				continue
			}
			doc := value.Doc
			if doc == nil && !group.Lparen.IsValid() {
				doc = group.Doc
			}
			text := strings.Join(strings.Fields(doc.Text()), " ")
			parts := comment.FindStringSubmatch(text)
			if strings.HasPrefix(text, value.Names[0].Name+" is the condition of ") {
				continue
			}
			if parts == nil || parts[1] != value.Names[0].Name {
				return nil, fmt.Errorf("the comment of %s does not say `... is an annotation of pods: what it means.`: %q", value.Names[0].Name, text)
			}
			keys = append(keys, &key{
				constant: parts[1], name: "phalanx.dev/" + suffix, kind: parts[2], on: parts[3], means: parts[4], usedBy: map[string]bool{},
			})
		}
	}
	return keys, nil
}

// afterPrefix returns the text that an expression adds to KeyPrefix.
func afterPrefix(expression ast.Expr) (string, bool) {
	sum, isSum := expression.(*ast.BinaryExpr)
	if !isSum {
		return "", false
	}
	name := ""
	switch x := sum.X.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	literal, isLiteral := sum.Y.(*ast.BasicLit)
	if name != "KeyPrefix" || !isLiteral {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}
