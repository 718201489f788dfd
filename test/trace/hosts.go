package trace

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// GPUsPerHost is what we give every host: the topology does not tell.
const GPUsPerHost = 8

// Host is a host with the switches above it. The name of a leaf contains that of its spine: "P10-S14".
type Host struct{ Name, Core, Spine, Leaf string }

// ReadHosts reads hosts, as the Lingjun trace has them: a CSV file with the columns ip, DSW, PSW and ASW. The addresses are
// hashes; hosts are named after their leaf, in the order of the file.
func ReadHosts(r io.Reader) ([]Host, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || !slices.Equal(rows[0], []string{"ip", "DSW", "PSW", "ASW"}) {
		return nil, errors.New("the fabric must begin with the columns ip, DSW, PSW, ASW")
	}
	hosts := make([]Host, 0, len(rows)-1)
	below := map[string]int{} // how many hosts a leaf has so far
	for i, row := range rows[1:] {
		if slices.Contains(row, "") {
			return nil, fmt.Errorf("host in line %d has an empty column", i+2)
		}
		// The name of a leaf is unique below its spine only.
		leaf := row[2] + "-" + row[3]
		below[leaf]++
		hosts = append(hosts, Host{Name: fmt.Sprintf("%s-h%d", strings.ToLower(leaf), below[leaf]), Core: row[1], Spine: row[2], Leaf: leaf})
	}
	return hosts, nil
}
