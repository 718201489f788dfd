// Package recipe reads from the Dockerfile what an image is, so that images built with a daemon and without one are made by the same
// lines. It knows the little that a last stage of ours needs; anything else is an error that names the line, and not left out.
package recipe

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Image is what one last stage says.
type Image struct {
	Name       string // the stage's
	Base       string // name:tag@digest
	Labels     map[string]string
	Files      []File
	User       string
	Entrypoint []string
}

// File is one that is copied from a build stage.
type File struct {
	Built string // its name as it was built, without a folder
	Path  string // where it is in the image
}

// Read returns the images of a Dockerfile: the stages that no other is built on or copies from. Values that it names as $NAME are
// taken from args.
func Read(dockerfile io.Reader, args map[string]string) ([]Image, error) {
	parsed, err := parser.Parse(dockerfile)
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	var images []Image
	for _, stage := range stages {
		if slices.ContainsFunc(stages, func(other instructions.Stage) bool { return uses(other, stage.Name) }) {
			continue
		}
		image, err := read(stage, args)
		if err != nil {
			return nil, fmt.Errorf("stage %q: %w", stage.Name, err)
		}
		images = append(images, image)
	}
	return images, nil
}

func uses(stage instructions.Stage, name string) bool {
	return stage.BaseName == name || slices.ContainsFunc(stage.Commands, func(c instructions.Command) bool {
		from, ok := c.(*instructions.CopyCommand)
		return ok && from.From == name
	})
}

func read(stage instructions.Stage, args map[string]string) (Image, error) {
	image := Image{Name: stage.Name, Base: stage.BaseName, Labels: map[string]string{}}
	lex := shell.NewLex('\\')
	expand := func(word string) (string, error) {
		expanded, unmatched, err := lex.ProcessWord(word, values(args))
		if len(unmatched) > 0 {
			return "", fmt.Errorf("%s has no value", word)
		}
		return expanded, err
	}
	for _, command := range stage.Commands {
		if c, ok := command.(instructions.SupportsSingleWordExpansion); ok {
			if err := c.Expand(expand); err != nil {
				return image, err
			}
		}
		if err := image.add(command); err != nil {
			return image, fmt.Errorf("line %d: %w", command.Location()[0].Start.Line, err)
		}
	}
	if image.Name == "" || image.User == "" || len(image.Entrypoint) == 0 {
		return image, fmt.Errorf("a last stage has a name, USER and ENTRYPOINT")
	}
	return image, nil
}

func (image *Image) add(command instructions.Command) error {
	switch c := command.(type) {
	case *instructions.ArgCommand: // has a value by now, or expanding it fails
	case *instructions.LabelCommand:
		for _, label := range c.Labels {
			image.Labels[label.Key] = label.Value
		}
	case *instructions.CopyCommand:
		if c.From == "" || len(c.SourcePaths) != 1 || c.Chown != "" || c.Chmod != "" || !path.IsAbs(c.DestPath) || strings.HasSuffix(c.DestPath, "/") {
			return fmt.Errorf("COPY has the form COPY --from=STAGE FILE /PATH")
		}
		image.Files = append(image.Files, File{Built: path.Base(c.SourcePaths[0]), Path: c.DestPath})
	case *instructions.UserCommand:
		image.User = c.User
	case *instructions.EntrypointCommand:
		if c.PrependShell {
			return fmt.Errorf("ENTRYPOINT is a list: there is no shell")
		}
		image.Entrypoint = c.CmdLine
	default:
		return fmt.Errorf("%s: a last stage has ARG, LABEL, COPY, USER and ENTRYPOINT alone", strings.ToUpper(command.Name()))
	}
	return nil
}

// values are what a Dockerfile's words are expanded with.
type values map[string]string

func (v values) Get(name string) (string, bool) { value, ok := v[name]; return value, ok }
func (v values) Keys() (keys []string) {
	for key := range v {
		keys = append(keys, key)
	}
	return keys
}
