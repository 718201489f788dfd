//go:build !cgo

package nvml_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/phalanx-scheduler/phalanx/pkg/reporter"
	"github.com/phalanx-scheduler/phalanx/pkg/reporter/nvml"
)

func TestWithoutCgoThereIsNoDriver(t *testing.T) {
	err := nvml.New().Init()
	assert.ErrorIs(t, err, reporter.NoBackend)
	assert.ErrorContains(t, err, "built without cgo")
}
