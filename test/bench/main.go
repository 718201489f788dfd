// Command bench measures Phalanx against kube-scheduler, in kube-scheduler's own benchmark.
//
// Purpose: ratios, which a quiet machine gives whatever its size. The contenders take turns, one process per contender and
// workload, because the scheduler's histograms add up over a process; of the rounds the median counts. What a contender and a workload are is
// written down in the harness (package harness, a module of its own); what is made of their figures in plan.go.
//
// It prints a table for docs/benchmarks.md, then one line per figure:
//
//	RATIO <name> ours=<value><unit> upstream=<value><unit> ratio=<n>     how many times better ours is
//	FIGURE <name> ours=<value><unit> ...                                 where upstream has no such thing
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	isQuick := flag.Bool("quick", false, "measure the smaller workloads once, for a first impression")
	rounds := flag.Int("rounds", 0, "how often to measure each; 3 if unset, 1 with -quick")
	keep := flag.String("keep", "", "an existing folder for the CPU profiles of the last round; they are thrown away if unset")
	only := flag.String("only", "", "the one workload to measure, e.g. 3x1000")
	flag.Parse()
	p := full()
	if *isQuick {
		p = quick()
	}
	if *only != "" {
		if p = p.only(*only); len(p.trials) == 0 {
			fmt.Fprintf(os.Stderr, "bench: -only: there is no workload %q\n", *only)
			os.Exit(1)
		}
	}
	if *rounds > 0 {
		p.rounds = *rounds
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := bench(ctx, p, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, p plan, keep string) error {
	r, err := newRunner(ctx, keep)
	if err != nil {
		return err
	}
	defer r.close()
	begin := time.Now()
	taken := samples{}
	for round := range p.rounds {
		for _, t := range p.trials {
			fmt.Fprintf(os.Stderr, "round %d of %d, %s: ", round+1, p.rounds, t)
			result, err := r.run(ctx, t)
			if err != nil {
				fmt.Fprintln(os.Stderr, "failed")
				return fmt.Errorf("%s: %w", t, err)
			}
			fmt.Fprintln(os.Stderr, result)
			taken.add(t, result)
		}
	}
	solver, err := solve(ctx, p.rounds)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "measured in %s\n", time.Since(begin).Round(time.Second))
	fmt.Printf("%s\nMedian of %d.\n\n", machine(), p.rounds)
	writeTable(os.Stdout, p, taken)
	fmt.Println()
	writeLines(os.Stdout, p, taken)
	writeSolver(os.Stdout, solver)
	return nil
}
