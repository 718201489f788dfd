// Package command is phalanx-reporter's command line.
//
// Purpose: flags in; one report out, or reports of the node until it is told to end. The exit codes that scripts rely on: 0, 3 where
// there is no GPU driver, 1 for all else.
// Invariants: what is wrong is one line on standard error. A driver that does not answer ends the process.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu/health"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
)

// Name is the program's name.
const Name = "phalanx-reporter"

// version is stamped by the linker.
var version = "v0.1.0-dev"

// The exit codes.
const (
	exitFailed   = 1
	exitNoDriver = 3
)

// callLimit is how long the driver may take for one GPU. The first call after a boot loads firmware, which takes seconds.
const callLimit = 60 * time.Second

// formats are what -o takes.
var formats = map[string]func(w io.Writer, r *gpu.Report) error{
	"json":  writeJSON,
	"table": writeTable,
	"yaml":  writeYAML,
}

// New returns the command. backend says what the driver can talk to, for the version; exit ends the process.
func New(driver reporter.Driver, backend string, exit func(code int)) *cobra.Command {
	format, isOnce := "", false
	var node nodeOptions
	cmd := &cobra.Command{
		Use:   Name,
		Short: "Report the health, memory and links of this machine's GPUs",
		Long: `phalanx-reporter reads the GPUs of this machine through NVIDIA's driver and makes the report that Phalanx schedules by.
With --once it prints the report and ends; no cluster is needed. The exit code is 3 if there is no GPU driver.
Without, it reads them again and again and shows the report on the cluster's node: in an annotation, labels and a condition.
Where there is no driver it waits for one.`,
		Version:       fmt.Sprintf("%s (%s)", version, backend),
		SilenceUsage:  true,
		SilenceErrors: true, // Main prints them
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, ok := formats[format]
			if !ok {
				return fmt.Errorf("--output is %q: it must be json, table or yaml", format)
			}
			dog := reporter.Watchdog{Limit: callLimit, Exit: func(reason string) {
				fmt.Fprintln(cmd.ErrOrStderr(), Name+": "+reason)
				exit(exitFailed)
			}}
			if !isOnce {
				return node.run(cmd.Context(), driver, dog, cmd.ErrOrStderr())
			}
			report, err := once(driver, dog)
			if err != nil {
				return err
			}
			return write(cmd.OutOrStdout(), &report)
		},
	}
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	cmd.Flags().BoolVar(&isOnce, "once", false, "print one report and end")
	cmd.Flags().StringVarP(&format, "output", "o", "table", "with --once: json, as the annotation of the node has it, table or yaml")
	node.addFlags(cmd.Flags())
	return cmd
}

// once reads one report. What is wrong is confirmed at once.
func once(driver reporter.Driver, dog reporter.Watchdog) (gpu.Report, error) {
	config := health.Default()
	reader, err := reporter.Open(driver, &config, dog)
	if err != nil {
		return gpu.Report{}, err
	}
	report, isUnsure, err := reader.Read(time.Now(), nil)
	if err == nil && isUnsure {
		report, _, err = reader.Read(time.Now(), nil)
	}
	return report, errors.Join(err, reader.Close())
}

// Main runs the command and returns the exit code.
func Main(driver reporter.Driver, backend string) int {
	return run(New(driver, backend, os.Exit), os.Stderr)
}

func run(cmd *cobra.Command, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, reporter.NoLibrary), errors.Is(err, reporter.NotLoaded), errors.Is(err, reporter.NoBackend):
		fmt.Fprintf(stderr, "%s: there are no GPUs to report: %v\n", Name, err)
		return exitNoDriver
	}
	fmt.Fprintf(stderr, "%s: %v\n", Name, err)
	return exitFailed
}

// writeJSON writes the very bytes that the node's annotation has.
func writeJSON(w io.Writer, r *gpu.Report) error {
	text, err := r.Encode()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

func writeYAML(w io.Writer, r *gpu.Report) error {
	text, err := r.Encode()
	if err != nil {
		return err
	}
	if text, err = yaml.JSONToYAML(text); err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
