package command

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

// writeTable writes a report for people: what concerns all GPUs, then a line for each.
func writeTable(w io.Writer, r *gpu.Report) error {
	if err := r.Validate(); err != nil {
		return err
	}
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"driver", cmp.Or(r.Driver, "unknown")},
		{"GPUs", strings.Join(models(r), ", ")},
		{"missing", missing(r)},
		{"NVLink", links(r)},
		{"fabric", fabric(r)},
	} {
		if line[1] != "" {
			fmt.Fprintf(columns, "%s\t%s\n", line[0], line[1])
		}
	}
	if len(r.GPUs) > 0 {
		fmt.Fprintln(columns)
		fmt.Fprintln(columns, "GPU\tSTATE\tFREE GiB\tOF\tNUMA\tMIG\tLINKS\tBUS\tUUID\tREASONS")
	}
	for i := range r.GPUs {
		g := &r.GPUs[i]
		fmt.Fprintf(columns, "%d\t%v\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.Index, g.State, gib(g.FreeMiB), gib(g.MemoryMiB), numa(g), mig(g), up(g),
			cmp.Or(g.Bus, "unknown"), g.UUID, strings.Join(g.Reasons, ", "))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// models are "8 × NVIDIA H100 80GB HBM3 (compute capability 9.0)", in the order of the GPUs.
func models(r *gpu.Report) []string {
	var names []string
	counts := map[string]int{}
	for i := range r.GPUs {
		g := &r.GPUs[i]
		name := cmp.Or(g.Product, "GPU of unknown model")
		if g.Capability != (gpu.Capability{}) {
			name += fmt.Sprintf(" (compute capability %v)", g.Capability)
		}
		if counts[name]++; counts[name] == 1 {
			names = append(names, name)
		}
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%d × %s", counts[name], name)
	}
	if names == nil {
		return []string{"none"}
	}
	return names
}

func missing(r *gpu.Report) string {
	switch r.Missing {
	case 0:
		return ""
	case 1:
		return "1 GPU that the driver counts and cannot find"
	}
	return fmt.Sprintf("%d GPUs that the driver counts and cannot find", r.Missing)
}

// links says how the GPUs are connected, direct links pair by pair.
func links(r *gpu.Report) string {
	switch r.Links.Kind {
	case gpu.NoLinks:
		return ""
	case gpu.Switch, gpu.MultiNode:
		text := map[gpu.LinkKind]string{gpu.Switch: "switches, all to all", gpu.MultiNode: "switches, all to all and to other nodes"}[r.Links.Kind]
		if r.Links.IsDown {
			text += "; they are down"
		}
		return text
	}
	pairs := make([]string, len(r.Links.Pairs))
	for i, p := range r.Links.Pairs {
		pairs[i] = fmt.Sprintf("%d-%d ×%d", r.GPUs[p.A].Index, r.GPUs[p.B].Index, p.Links)
	}
	return fmt.Sprintf("%s: %s", r.Links.Kind, strings.Join(pairs, ", "))
}

func fabric(r *gpu.Report) string {
	if r.Fabric.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s, clique %d", r.Fabric.UUID, r.Fabric.Clique)
}

func gib(mib int) string { return fmt.Sprintf("%d.%d", mib/1024, mib%1024*10/1024) }

func numa(g *gpu.GPU) string {
	if g.NUMA < 0 {
		return "-"
	}
	return fmt.Sprint(g.NUMA)
}

func mig(g *gpu.GPU) string {
	if g.IsMIG {
		return "on"
	}
	return "-"
}

// up is "18", "17/18" or, without any, "-".
func up(g *gpu.GPU) string {
	switch {
	case g.Links == 0:
		return "-"
	case g.BadLinks > 0:
		return fmt.Sprintf("%d/%d", g.Links-g.BadLinks, g.Links)
	}
	return fmt.Sprint(g.Links)
}
