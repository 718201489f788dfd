package fabric

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// A scheduler that has no gang to place for weeks asks for no slots, while pods come and go.
func TestTheLogDoesNotGrowUnread(t *testing.T) {
	f := New()
	gpu := f.Resource("gpu")
	for _, name := range []string{"n1", "n2", "n3"} {
		f.Set(Node{Name: name})
	}
	request := Request{{gpu, 1}}
	f.Slots(request)
	for free := range int64(10_000) {
		f.Set(Node{Name: "n2", Free: []int64{free}})
	}
	assert.LessOrEqual(t, len(f.log), 2*f.Len())
	assert.Equal(t, []int32{0, 9_999, 0}, f.Slots(request))
}
