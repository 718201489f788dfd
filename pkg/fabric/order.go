package fabric

import (
	"encoding/binary"
	"slices"
	"strings"
)

// merge returns the elements of two sorted lists in one.
func merge(a, b []*record) []*record {
	if len(a) == 0 {
		return b
	}
	out := make([]*record, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if compareRecords(a[0], b[0]) < 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// compareRecords orders by domains, broadest first, then by name; numbers in names count as numbers: r2 comes before r10.
// A node without a domain at a level comes after those that have one.
func compareRecords(a, b *record) int {
	if c := comparePaths(a, b); c != 0 {
		return c
	}
	return compareNatural(a.name, b.name)
}

func comparePaths(a, b *record) int {
	for depth := range max(len(a.domains), len(b.domains)) {
		x, y := a.domain(depth), b.domain(depth)
		if (x == "") != (y == "") {
			if x == "" {
				return 1
			}
			return -1
		}
		if x == "" {
			break // each is its own domain from here on
		}
		if c := compareNatural(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// path writes the names of the domains that a record shares with others.
func (r *record) path(into []byte) []byte {
	for _, name := range r.domains {
		if name == "" {
			break
		}
		into = append(binary.AppendUvarint(into, uint64(len(name))), name...)
	}
	return into
}

func (r *record) domain(level int) string {
	if level < len(r.domains) {
		return r.domains[level]
	}
	return ""
}

// sortRecords sorts as compareRecords does. Records are many and their paths few: they are dealt out by path, then the paths are
// sorted, then the records of each. So the time grows as the records do, as long as racks stay as large as they are.
func sortRecords(records []*record) {
	numbers := map[string]int{}
	var groups [][]*record
	var path []byte
	for _, r := range records {
		path = r.path(path[:0])
		group, ok := numbers[string(path)]
		if !ok {
			group = len(groups)
			numbers[string(path)] = group
			groups = append(groups, nil)
		}
		groups[group] = append(groups[group], r)
	}
	slices.SortFunc(groups, func(a, b []*record) int { return comparePaths(a[0], b[0]) })
	for _, group := range groups {
		slices.SortFunc(group, func(a, b *record) int { return compareNatural(a.name, b.name) })
		records = records[copy(records, group):]
	}
}

// compareNatural compares texts with the numbers in them compared as numbers. Texts that differ never compare as equal.
func compareNatural(a, b string) int {
	same := 0 // up to the last number that may differ
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	if same < min(len(a), len(b)) && digits(a[same:]) == digits(b[same:]) {
		return int(a[same]) - int(b[same])
	}
	for same > 0 && isDigit(a[same-1]) {
		same--
	}
	x, y := a[same:], b[same:]
	for x != "" && y != "" {
		if !isDigit(x[0]) || !isDigit(y[0]) {
			if x[0] != y[0] {
				return int(x[0]) - int(y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		var n, m string
		n, x = cutNumber(x)
		m, y = cutNumber(y)
		if len(n) != len(m) {
			return len(n) - len(m)
		}
		if c := strings.Compare(n, m); c != 0 {
			return c
		}
	}
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(a, b) // leading zeros
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// digits counts the digits that a text begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// cutNumber splits the digits off a text, without leading zeros.
func cutNumber(s string) (number, rest string) {
	end := digits(s)
	return strings.TrimLeft(s[:end], "0"), s[end:]
}
