package placement_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/pkg/fabric"
	"github.com/phalanx-scheduler/phalanx/pkg/placement"
)

// The pictures in testdata teach the algorithm, read in the order of their files. A case is a cluster, a gang, a line of
// dashes, and what the solver says:
//
//	# What the case shows.
//	block b1: rack r1: n1[8/8] n2[4/8]
//	          rack r2: n3[2/8,16/32]* n4[8/8]!
//	gang 4 × 2 GPUs required=rack
//	----
//	the cluster with the plan in it, and its cost; or the refusal
//
// A node shows what it has free and what it has: GPUs, and CPUs after a comma. Members of the gang that run already are on the
// nodes with a *; those with a ! admit nobody. In the plan, each member is a letter, a for the first class.
// A gang is a line for its first class and one that begins with "and" for each other one; members are all needed, unless
// min= says how many are. required= is the level of which one domain must hold the gang, slice=2/rack asks for slices of two
// in a rack each, and search=bounded takes the exact search away.

var isUpdate = flag.Bool("update", false, "rewrite the pictures in testdata")

func TestPictures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			before, err := os.ReadFile(file)
			require.NoError(t, err)
			var after strings.Builder
			for i, text := range strings.Split(strings.TrimRight(string(before), "\n"), "\n\n") {
				if i > 0 {
					after.WriteString("\n")
				}
				question, _, isCase := strings.Cut(text, "----")
				after.WriteString(strings.TrimRight(question, "\n") + "\n")
				if isCase {
					after.WriteString("----\n" + parsePicture(t, question).solve())
				}
			}
			if *isUpdate {
				require.NoError(t, os.WriteFile(file, []byte(after.String()), 0o644))
				return
			}
			assert.Equal(t, string(before), after.String(), "go test -update rewrites it")
		})
	}
}

// picture is a case of the files in testdata.
type picture struct {
	cluster string
	fabric  *fabric.Fabric
	problem placement.Problem
	solver  placement.Solver
}

var (
	clusterWord = regexp.MustCompile(`(block|rack) (\w+):|(\w+)\[(\d+)/(\d+)(?:,(\d+)/(\d+))?\]([*!]?)`)
	gangLine    = regexp.MustCompile(`^(?:gang|and) (\d+) ×(?: (\d+) GPUs?)?(?: (\d+) CPUs?)?(.*)$`)
	levels      = []string{"cluster", "block", "rack", "node"}
)

func parsePicture(t *testing.T, text string) *picture {
	p := &picture{fabric: fabric.New("block", "rack")}
	p.fabric.Resource("GPUs")
	p.fabric.Resource("CPUs")
	var gang []string
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "#"):
		case gangLine.MatchString(strings.TrimSpace(line)):
			gang = append(gang, strings.TrimSpace(line))
		default:
			p.cluster += line
		}
	}
	running, excluded := p.parseCluster()
	for _, name := range running {
		number, _ := p.fabric.Number(name)
		p.problem.Beside = append(p.problem.Beside, number)
	}
	exclusions := &placement.Exclusions{Reasons: []string{"tainted"}, By: make([]uint8, p.fabric.Len())}
	for _, name := range excluded {
		number, _ := p.fabric.Number(name)
		exclusions.By[number] = 1
	}
	for _, line := range gang {
		p.parseClass(t, line, exclusions)
	}
	return p
}

func (p *picture) parseCluster() (running, excluded []string) {
	block, rack := "", ""
	for _, word := range clusterWord.FindAllStringSubmatch(p.cluster, -1) {
		switch {
		case word[1] == "block":
			block, rack = word[2], ""
		case word[1] == "rack":
			rack = word[2]
		default:
			p.fabric.Set(fabric.Node{
				Name: word[3], Domains: []string{block, rack},
				Free: []int64{number(word[4]), number(word[6])}, IsWhole: word[4] == word[5] && word[6] == word[7],
			})
		}
		switch word[8] {
		case "*":
			running = append(running, word[3])
		case "!":
			excluded = append(excluded, word[3])
		}
	}
	return running, excluded
}

func (p *picture) parseClass(t *testing.T, line string, exclusions *placement.Exclusions) {
	word := gangLine.FindStringSubmatch(line)
	class := placement.Class{Members: int(number(word[1])), Excluded: exclusions}
	class.Minimum = class.Members
	class.Request = fabric.Request{{Resource: 0, Quantity: number(word[2])}, {Resource: 1, Quantity: number(word[3])}}
	for wish := range strings.FieldsSeq(word[4]) {
		key, value, _ := strings.Cut(wish, "=")
		switch key {
		case "min":
			class.Minimum = int(number(value))
		case "required":
			p.problem.Required = depthOf(t, value)
		case "slice":
			size, level, _ := strings.Cut(value, "/")
			p.problem.Slice = placement.Slice{Size: int(number(size)), Depth: depthOf(t, level)}
		case "search":
			p.solver.Work = -1
		default:
			require.Failf(t, "unknown wish", "%s", wish)
		}
	}
	p.problem.Classes = append(p.problem.Classes, class)
	p.problem.Minimum += class.Minimum
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // "" is 0
	return n
}

func depthOf(t *testing.T, level string) int {
	for depth, name := range levels {
		if name == level {
			return depth
		}
	}
	require.Failf(t, "unknown level", "%s", level)
	return 0
}

func (p *picture) solve() string {
	plan, refused := p.solver.Solve(p.fabric, p.problem)
	if refused != nil {
		return p.drawRefusal(refused)
	}
	takes, members := map[string][2]int64{}, map[string]string{}
	for _, place := range plan.Places {
		name := p.fabric.Tree().Node(place.Node)
		taken := takes[name]
		for i, want := range p.problem.Classes[place.Class].Request {
			taken[i] += int64(place.Members) * want.Quantity
		}
		takes[name] = taken
		members[name] += strings.Repeat(string(rune('a'+place.Class)), place.Members)
	}
	drawn := clusterWord.ReplaceAllStringFunc(p.cluster, func(text string) string {
		word := clusterWord.FindStringSubmatch(text)
		name := word[3]
		if members[name] == "" {
			return text
		}
		free := fmt.Sprintf("%d/%s", number(word[4])-takes[name][0], word[5])
		if word[6] != "" {
			free += fmt.Sprintf(",%d/%s", number(word[6])-takes[name][1], word[7])
		}
		return fmt.Sprintf("%s[%s %s]%s", name, free, members[name], word[8])
	})
	c := plan.Cost
	return drawn + fmt.Sprintf("in %s: %s; slots %s; whole %s\n", p.domain(plan.Depth, plan.Domain),
		counts([]string{"block", "rack", "node"}, c.Domains), counts([]string{"node", "rack", "block"}, c.Slots), counts([]string{"node", "rack", "block"}, c.Wholes))
}

// counts writes numbers by level.
func counts[T int | int64](levels []string, numbers []T) string {
	parts := make([]string, len(numbers))
	for i, n := range numbers {
		parts[i] = fmt.Sprintf("%ss %d", levels[i], n)
	}
	return strings.Join(parts, ", ")
}

func (p *picture) domain(depth, number int) string {
	tree := p.fabric.Tree()
	switch {
	case depth == 0:
		return "the cluster"
	case depth > tree.Depth():
		return "node " + tree.Node(number)
	}
	return tree.LevelName(depth) + " " + strings.Join(tree.Path(depth, number), "/")
}

func (p *picture) drawRefusal(r *placement.Refusal) string {
	class := string(rune('a' + r.Class))
	admitted := fmt.Sprintf("%d nodes admit it", r.Admitted)
	for _, e := range r.Exclusions {
		admitted += fmt.Sprintf(", %d %s", e.Nodes, e.Reason)
	}
	switch r.Kind {
	case placement.Excluded:
		return fmt.Sprintf("refused, excluded: class %s needs %d; %s\n", class, r.Need, admitted)
	case placement.Insufficient, placement.Fragmented:
		kind := map[placement.Kind]string{placement.Insufficient: "insufficient", placement.Fragmented: "fragmented"}[r.Kind]
		return fmt.Sprintf("refused, %s: class %s needs %d and has %d slots; %d %s are free on %d nodes; %s\n",
			kind, class, r.Need, r.Have, r.Free, p.fabric.ResourceName(r.Scarce), r.FreeNodes, admitted)
	case placement.TooNarrow:
		return fmt.Sprintf("refused, too narrow: class %s needs %d, %s has %d slots, the most; %s\n", class, r.Need, p.domain(r.Depth, r.Domain), r.Have, admitted)
	}
	known := "are known to fit"
	if r.IsProven {
		known = "fit"
	}
	return fmt.Sprintf("refused, apart: %d needed together, each class fits alone; %d %s, in %s\n", r.Need, r.Have, known, p.domain(r.Depth, r.Domain))
}
