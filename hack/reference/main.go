// Command reference writes the pages of docs that are derived from the code: metrics.md, arguments.md, annotations.md and cli.md.
//
//	go run ./hack/reference          writes them
//	go run ./hack/reference -check   fails if they say something else
//
// Invariants: what a page says of metrics comes out of the registries that are served, of defaults out of the functions that set
// them, of flags out of the commands; what things mean is their help and their comment in the code. What it cannot tell is an error,
// not a gap. The same code gives the same pages to the byte, whatever the environment.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pages are written by these, by their name under docs.
var pages = map[string]func() (string, error){
	"metrics.md":     metricsPage,
	"arguments.md":   argumentsPage,
	"annotations.md": annotationsPage,
	"cli.md":         cliPage,
}

const origin = "<!-- Made from the code by make generate: change it there. -->\n\n"

func main() {
	isCheck := flag.Bool("check", false, "write nothing, and fail if a page is not what the code says")
	flag.Parse()
	if err := run(*isCheck); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(isCheck bool) error {
	var stale []string
	for name, page := range pages {
		text, err := page()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		text = origin + text
		file := filepath.Join("docs", name)
		if !isCheck {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				return err
			}
			continue
		}
		if written, err := os.ReadFile(file); err != nil || !bytes.Equal(written, []byte(text)) {
			stale = append(stale, file)
		}
	}
	if len(stale) > 0 {
		slices.Sort(stale)
		return fmt.Errorf("not what the code says: %s; make generate writes them", strings.Join(stale, ", "))
	}
	return nil
}

// table writes a table of Markdown.
func table(head []string, rows [][]string) string {
	var out strings.Builder
	line := func(cells []string) {
		out.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line(head)
	out.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, row := range rows {
		cells := slices.Clone(row)
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		line(cells)
	}
	return out.String()
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}
