package quality

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

// draw makes a cluster of a picture. A line is a spine; its leaves have their hosts in brackets, by their free GPUs:
//
//	P: A[8 8] B[8 0]
//	Q: C[4]
func draw(t *testing.T, picture string) *Cluster {
	t.Helper()
	var hosts []trace.Host
	var free []int
	for line := range strings.Lines(strings.TrimSpace(picture)) {
		spine, leaves, _ := strings.Cut(strings.TrimSpace(line), ": ")
		for _, text := range strings.SplitAfter(leaves, "]") {
			name, list, _ := strings.Cut(strings.Trim(text, " ]"), "[")
			for i, word := range strings.Fields(list) {
				n, err := strconv.Atoi(word)
				require.NoError(t, err)
				hosts = append(hosts, trace.Host{Name: fmt.Sprintf("%s%d", name, i), Spine: spine, Leaf: name})
				free = append(free, n)
			}
		}
	}
	c := NewCluster(hosts)
	for h, n := range free {
		require.Equal(t, hosts[h].Name, c.Hosts[h].Name, "draw switches and hosts in the order of their names")
		c.move(h, n-c.Free[h])
	}
	return c
}

// members draws how many members each host has, a dot for none.
func members(c *Cluster, hosts []int) string {
	count := make([]int, len(c.Hosts))
	for _, h := range hosts {
		count[h]++
	}
	var lines []string
	for _, spine := range c.Spines {
		var leaves []string
		for _, leaf := range c.Leaves {
			if leaf.First < spine.First || leaf.End > spine.End {
				continue
			}
			words := make([]string, 0, leaf.End-leaf.First)
			for _, n := range count[leaf.First:leaf.End] {
				words = append(words, strings.Replace(strconv.Itoa(n), "0", ".", 1))
			}
			leaves = append(leaves, fmt.Sprintf("%s[%s]", leaf.Name, strings.Join(words, " ")))
		}
		lines = append(lines, spine.Name+": "+strings.Join(leaves, " "))
	}
	return strings.Join(lines, "\n")
}

// undent removes the indentation of a picture.
func undent(picture string) string {
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(picture)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, "\n")
}
