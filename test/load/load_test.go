package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A small load goes through all phases. What it measures says nothing; that it measures is the point: each phase ends only when
// every gang that fits runs, none is half started, and all others say why they wait.
func TestASmallLoad(t *testing.T) {
	s := size{nodes: 48, pods: 400, gangs: 12, hostile: 100, room: 2, starts: 2, rest: time.Second, churn: 3 * time.Second}
	var said []string
	err := measure(t.Context(), s, func(format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		t.Log(line)
		said = append(said, line)
	})
	require.NoError(t, err)
	for _, figure := range []string{
		"start/48 nodes/ready", "start/400 running pods/ready", "start/12 waiting gangs/first-bind", "start/everything, again/all-told",
		"rest/12 waiting gangs", "churn/cpu", "churn/from room to bound", "hostile/from room to bound",
	} {
		assert.Contains(t, strings.Join(said, "\n"), "FIGURE "+figure+" value=")
	}
}
