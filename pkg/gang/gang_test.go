package gang

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheListOfReasonsIsWhole(t *testing.T) {
	source, err := os.ReadFile("gang.go")
	require.NoError(t, err)
	var declared []Reason
	for _, match := range regexp.MustCompile(`Reason = "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		declared = append(declared, Reason(match[1]))
	}
	assert.NotEmpty(t, declared)
	assert.Equal(t, declared, Reasons())
}
