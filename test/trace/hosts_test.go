package trace_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/phalanx-scheduler/phalanx/test/trace"
)

func TestLingjunIsWhatTheReadmeSays(t *testing.T) {
	hosts, err := trace.Lingjun()
	require.NoError(t, err)
	require.Len(t, hosts, 847)
	cores, leaves, names := map[string]bool{}, map[string]int{}, map[string]bool{}
	spines := map[string]int{}
	for _, h := range hosts {
		require.False(t, names[h.Name], h.Name)
		names[h.Name] = true
		cores[h.Core] = true
		spines[h.Spine]++
		leaves[h.Leaf]++
		require.True(t, strings.HasPrefix(h.Leaf, h.Spine+"-S"), h.Leaf)
		require.True(t, strings.HasPrefix(h.Name, strings.ToLower(h.Leaf)+"-h"), h.Name)
	}
	require.Equal(t, map[string]bool{"G6": true}, cores)
	require.Equal(t, map[string]int{"P8": 179, "P10": 362, "P12": 306}, spines)
	require.Len(t, leaves, 119)
}

func TestABrokenFabricIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "the fabric must begin with the columns ip, DSW, PSW, ASW",
		"ip,DSW\n":                      "the fabric must begin with the columns ip, DSW, PSW, ASW",
		"ip,DSW,PSW,ASW\na,G6,P10,\n":   "host in line 2 has an empty column",
		"ip,DSW,PSW,ASW\na,G6,P10,S1,x": "record on line 2: wrong number of fields",
	} {
		_, err := trace.ReadHosts(strings.NewReader(text))
		require.EqualError(t, err, want)
	}
}
