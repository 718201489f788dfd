package main

import (
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter/command"
	"github.com/phalanx-scheduler/phalanx/pkg/scheduler"
)

func cliPage() (string, error) {
	for _, name := range []string{"NODE_NAME", "POD_NAMESPACE"} { // they are defaults
		if err := os.Unsetenv(name); err != nil {
			return "", err
		}
	}
	reporter := command.New(nil, "", nil)
	var rows [][]string
	reporter.Flags().VisitAll(func(flag *pflag.Flag) {
		name := code("--" + flag.Name)
		if flag.Shorthand != "" {
			name = code("-"+flag.Shorthand) + ", " + name
		}
		rows = append(rows, []string{name, code(flag.DefValue), flag.Usage})
	})
	return `# Command lines

## phalanx-scheduler

` + prose(scheduler.NewCommand().Long) + `

` + "`phalanx-scheduler --help`" + ` lists them. What the plugins can be told is in [arguments.md](arguments.md).

## phalanx-reporter

` + prose(reporter.Long) + `

` + table([]string{"flag", "default", "is"}, rows), nil
}

// prose makes one paragraph for each line.
func prose(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n\n") }
