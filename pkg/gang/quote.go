package gang

import (
	"fmt"
	"strconv"
)

// longestQuote keeps a complaint short enough for an event and a condition.
const longestQuote = 40

// Clip shortens a value that is to be quoted to people.
func Clip(text string) string {
	count := 0
	for at := range text {
		if count == longestQuote {
			return text[:at] + "…"
		}
		count++
	}
	return text
}

// Complaint is the one sentence about a wrong value: `spec.minMember is "eight": it must be a whole number`. source names
// the field or the annotation, value is as JSON has it, and is clipped.
func Complaint(source, value, rule string) string {
	return fmt.Sprintf("%s is %s: it must be %s", source, Clip(value), rule)
}

func quote(text string) string { return Clip(strconv.Quote(text)) }
