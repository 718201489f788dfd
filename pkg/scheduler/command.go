package scheduler

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/tools/cache"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	basecompatibility "k8s.io/component-base/compatibility"
	"k8s.io/component-base/featuregate"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/term"
	"k8s.io/component-base/version/verflag"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
)

// Name is the program's name, its default profile's is [DefaultProfile].
const Name = "phalanx-scheduler"

// version is stamped by the linker.
var version = "v0.1.0-dev"

// NewCommand returns the command with every flag of kube-scheduler.
func NewCommand() *cobra.Command {
	opts := options.NewOptions()
	opts.SecureServing.ServerCert.PairName = Name
	cmd := &cobra.Command{
		Use: Name,
		Long: `phalanx-scheduler is a Kubernetes scheduler for AI jobs. It starts gangs of pods all at once or not at all.
It is kube-scheduler with plugins of its own: all flags, configuration files, endpoints and metrics are those of kube-scheduler.
Started with --kubeconfig alone it serves the scheduler name "phalanx"; with --config, those of the profiles in the file.`,
		SilenceUsage:  true,
		SilenceErrors: true, // Main prints them
		Args:          cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return opts.ComponentGlobalsRegistry.Set()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if requested := cmd.Flags().Lookup("version"); requested != nil && requested.Value.String() == "true" {
				return printVersion(cmd.OutOrStdout())
			}
			verflag.PrintAndExitIfRequested()
			return run(cmd, opts)
		},
	}
	flags := opts.Flags
	verflag.AddFlags(flags.FlagSet("global"))
	globalflag.AddGlobalFlags(flags.FlagSet("global"), cmd.Name(), logs.SkipLoggingConfigurationFlags())
	for _, set := range flags.FlagSets {
		cmd.Flags().AddFlagSet(set)
	}
	columns, _, _ := term.TerminalSize(cmd.OutOrStdout())
	cliflag.SetUsageAndHelpFunc(cmd, *flags, columns)
	return cmd
}

// run serves until a signal or an error ends it.
func run(cmd *cobra.Command, opts *options.Options) error {
	gates := opts.ComponentGlobalsRegistry.FeatureGateFor(basecompatibility.DefaultKubeComponent)
	if err := logsapi.ValidateAndApply(opts.Logs, gates); err != nil {
		return err
	}
	cliflag.PrintFlags(cmd.Flags())
	if opts.InformerName == nil {
		name, err := cache.NewInformerName(Name)
		if err != nil {
			return err
		}
		opts.InformerName = name
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	finish := make(chan func(), 1) // empty until there is something to finish
	go func() {
		<-server.SetupSignalHandler()
		select {
		case f := <-finish:
			f()
		default:
		}
		cancel()
	}()

	cc, core, err := setup(ctx, opts)
	if err != nil {
		return err
	}
	turn := newTurn()
	turn.guard(ctx, core)
	finish <- func() { turn.drain(ctx, assumed(core)) }
	gates.(featuregate.MutableFeatureGate).AddMetrics()
	opts.ComponentGlobalsRegistry.AddMetrics()
	return app.Run(ctx, cc, core)
}

func printVersion(w io.Writer) error {
	kubernetes := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == "k8s.io/kubernetes" {
				kubernetes = dependency.Version
			}
		}
	}
	_, err := fmt.Fprintf(w, "Phalanx %s (Kubernetes %s)\n", version, kubernetes)
	return err
}

// Main runs the command and returns the exit code.
func Main() int {
	if err := NewCommand().ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
