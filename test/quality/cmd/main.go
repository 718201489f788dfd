// Command cmd prints how well placement policies place: a table for each mix of jobs and each load.
//
//	go run ./test/quality/cmd
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/phalanx-scheduler/phalanx/test/quality"
	"github.com/phalanx-scheduler/phalanx/test/trace"
)

func main() {
	loads := flag.String("loads", "0.5,0.7,0.9,1.1", "what gangs ask for while they arrive, as parts of what the fabric has")
	copies := flag.Int("copies", 10, "how many times the trace is played")
	shifts := flag.Int("shifts", 1, "how many times all of it is repeated, with other arrivals, for means and deviations")
	lots := flag.Int("lots", 0, "instead of the tables, so many ways to break ties among the fewest domains: what that choice is worth")
	flag.Parse()
	if err := run(*loads, *copies, *shifts, *lots); err != nil {
		fmt.Fprintln(os.Stderr, "quality:", err)
		os.Exit(1)
	}
}

func run(list string, copies, shifts, lots int) error {
	if copies < 1 || shifts < 1 || lots < 0 {
		return errors.New("-copies and -shifts must be 1 or more, -lots 0 or more")
	}
	var loads []float64
	for _, word := range strings.Split(list, ",") {
		load, err := strconv.ParseFloat(word, 64)
		if err != nil || !(load >= 0.01 && load <= 10) {
			return fmt.Errorf("-loads must be numbers from 0.01 to 10, not %q", word)
		}
		loads = append(loads, load)
	}
	hosts, err := trace.Lingjun()
	if err != nil {
		return err
	}
	jobs, err := trace.Kalos()
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	if lots > 0 {
		return errors.Join(quality.Ties(out, hosts, quality.Mixes(jobs), loads, copies, lots), out.Flush())
	}
	return errors.Join(quality.Report(out, hosts, quality.Mixes(jobs), loads, copies, shifts, quality.Policies()), out.Flush())
}
