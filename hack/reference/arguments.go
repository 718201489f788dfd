package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	gangplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gang"
	gpuplugin "github.com/phalanx-scheduler/phalanx/pkg/plugins/gpu"
)

func argumentsPage() (string, error) {
	gang, err := arguments("pkg/plugins/gang", &gangplugin.GangArgs{}, gangplugin.AddToScheme, nil)
	if err != nil {
		return "", err
	}
	gpu, err := arguments("pkg/plugins/gpu", &gpuplugin.GPUArgs{}, gpuplugin.AddToScheme, map[string]any{
		"reporterNamespace": gpuplugin.DefaultReporterNamespace,
		"staleAfterSeconds": gpuplugin.DefaultStaleAfterSeconds,
		"maxStalePercent":   gpuplugin.DefaultMaxStalePercent,
	})
	if err != nil {
		return "", err
	}
	head := []string{"field", "type", "default", "it"}
	return `# Arguments of the plugins

For administrators. They stand under ` + "`pluginConfig`" + ` of a profile in the scheduler's
[KubeSchedulerConfiguration](https://kubernetes.io/docs/reference/scheduling/config/), whose other fields are kube-scheduler's. A wrong
value, and a field that is not here, keeps the scheduler from starting.

` + "```yaml" + `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: phalanx
  pluginConfig:
  - {name: Gang, args: {scheduleTimeoutSeconds: 60}}
  - {name: GPU, args: {weights: {health: 4}}}
` + "```" + `

## Gang

Levels, presets and wishes are explained in [topology.md](topology.md).

` + table(head, gang) + `
## GPU

What the weights weigh is explained in [gpu.md](gpu.md#which-node-is-the-best). The fields about reporters are shared by all profiles: it is
enough to say them in one, and those that say them must agree.

` + table(head, gpu), nil
}

// arguments returns a row for each field of a plugin's arguments. Defaults are those that the scheme fills in, or else these.
func arguments(folder string, object runtime.Object, addToScheme func(*runtime.Scheme) error, shared map[string]any) ([][]string, error) {
	scheme := runtime.NewScheme()
	if err := addToScheme(scheme); err != nil {
		return nil, err
	}
	scheme.Default(object)
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	defaults := map[string]any{}
	if err := json.Unmarshal(raw, &defaults); err != nil {
		return nil, err
	}
	for name, value := range shared {
		if _, isSet := defaults[name]; isSet {
			return nil, fmt.Errorf("%s of %T has a default in the scheme and is said to have none", name, object)
		}
		defaults[name] = value
	}
	s, err := parse(folder)
	if err != nil {
		return nil, err
	}
	return s.fields(reflect.TypeOf(object).Elem().Name(), "", defaults)
}

// structs are the struct types of a package, by name.
type structs map[string]*ast.StructType

func parse(folder string) (structs, error) {
	files, err := parseFolder(folder)
	if err != nil {
		return nil, err
	}
	found := structs{}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, isType := n.(*ast.TypeSpec); isType {
				if body, isStruct := spec.Type.(*ast.StructType); isStruct {
					found[spec.Name.Name] = body
				}
			}
			return true
		})
	}
	return found, nil
}

// parseFolder reads the Go files of a folder but for tests, by their names.
func parseFolder(folder string) (map[string]*ast.File, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	files := map[string]*ast.File{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		if files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// words are what types are called to people.
var words = map[string]string{
	"string": "text", "AfterRepair": "text", "bool": "true or false", "Duration": `duration, as "90s"`,
	"int": "whole number", "int32": "whole number", "int64": "whole number",
}

// fields returns a row for each field of a struct, and of those below it.
func (s structs) fields(name, under string, defaults map[string]any) ([][]string, error) {
	body, isKnown := s[name]
	if !isKnown {
		return nil, fmt.Errorf("there is no struct %s", name)
	}
	var rows [][]string
	for _, field := range body.Fields.List {
		if len(field.Names) == 0 {
			continue // metav1.TypeMeta
		}
		tag, _ := strconv.Unquote(field.Tag.Value)
		key, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		value := defaults[key]
		meaning, err := meaningOf(field, value)
		if err != nil {
			return nil, err
		}
		kind, element, isList := typeOf(field.Type)
		row := []string{code(under + key), words[kind], "", meaning}
		if isList {
			row[0], row[1] = code(under+key+"[]"), "list"
		}
		if value != nil {
			row[2] = code(fmt.Sprint(value))
		}
		if _, isStruct := s[element]; isStruct {
			if row[1] == "" {
				row[1], row[2] = "object", ""
			}
			inside, _ := value.(map[string]any)
			children, err := s.fields(element, strings.Trim(row[0], "`")+".", inside)
			if err != nil {
				return nil, err
			}
			rows = append(append(rows, row), children...)
			continue
		}
		if row[1] == "" {
			return nil, fmt.Errorf("%s.%s is a %s, which has no word for people yet", name, field.Names[0], kind)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// typeOf returns the name of a type without its package, and that of a list's elements.
func typeOf(expression ast.Expr) (name, element string, isList bool) {
	switch e := expression.(type) {
	case *ast.StarExpr:
		return typeOf(e.X)
	case *ast.ArrayType:
		name, _, _ := typeOf(e.Elt)
		return name, name, true
	case *ast.SelectorExpr:
		return e.Sel.Name, e.Sel.Name, false
	case *ast.Ident:
		return e.Name, e.Name, false
	}
	return fmt.Sprintf("%T", expression), "", false
}

var (
	// unset is how comments repeat a default.
	unset   = regexp.MustCompile(`(?:^|[;.] ?)\s*"?([\w.-]+)"? if unset`)
	docLink = regexp.MustCompile(`\[(\w+)\]`)
)

// meaningOf returns the comment of a field without its name in front and without the default, which must be the code's.
func meaningOf(field *ast.Field, value any) (string, error) {
	text := strings.Join(strings.Fields(field.Doc.Text()), " ")
	name := field.Names[0].Name
	meaning, isAbout := strings.CutPrefix(text, name+" ")
	if !isAbout {
		return "", fmt.Errorf("the comment of field %s does not begin with its name: %q", name, text)
	}
	said := unset.FindStringSubmatch(meaning)
	switch {
	case said == nil && value != nil && reflect.TypeOf(value).Kind() != reflect.Map:
		return "", fmt.Errorf("the comment of field %s does not say that it is %v if unset", name, value)
	case said != nil && said[1] != fmt.Sprint(value):
		return "", fmt.Errorf("the comment of field %s says that it is %s if unset, the code that it is %v", name, said[1], value)
	}
	meaning = strings.TrimSuffix(unset.ReplaceAllString(meaning, ""), ".")
	return docLink.ReplaceAllString(meaning, "$1"), nil
}
