package fabric

import "encoding/binary"

const (
	// MaxSlots bounds the slots of one node, so that sums over nodes cannot overflow: 2^30 nodes would be needed for it.
	MaxSlots = 1 << 30
	// maxTables bounds how many requests are remembered; the one that was used longest ago goes first.
	maxTables = 128
)

// table is how many pods of one request each node holds.
type table struct {
	slots []int32
	seen  int // so much of the log is in it; -1 if nothing is
	used  int // when, counted in uses
}

// Slots returns how many pods of one request fit on each node, by node number, each pod whole on its node, at most
// MaxSlots. The result is valid until the next change of the fabric and must not be written to.
//
// The answer to the last requests is remembered: it costs the nodes that changed since.
func (f *Fabric) Slots(request Request) []int32 {
	f.Tree()
	key := keyOf(request)
	t, ok := f.tables[key]
	if !ok {
		f.forgetOldest()
		t = &table{slots: make([]int32, len(f.order)), seen: -1}
		f.tables[key] = t
	}
	f.uses++
	t.used = f.uses
	if t.seen < 0 {
		for i, r := range f.order {
			t.slots[i] = f.slotsOn(r, request)
		}
	} else {
		for _, i := range f.log[t.seen:] {
			t.slots[i] = f.slotsOn(f.order[i], request)
		}
	}
	t.seen = len(f.log)
	return t.slots
}

// logChange remembers that a node's tables are out of date. Once it would cost less to walk over all nodes than over the
// log, the log starts anew: who has not read it to the end walks over all nodes.
func (f *Fabric) logChange(node int32) {
	if len(f.log) >= 2*len(f.order) {
		for _, t := range f.tables {
			if t.seen == len(f.log) {
				t.seen = 0
			} else {
				t.seen = -1
			}
		}
		f.log = f.log[:0]
	}
	f.log = append(f.log, node)
}

func (f *Fabric) forgetOldest() {
	if len(f.tables) < maxTables {
		return
	}
	oldest, key := f.uses+1, ""
	for k, t := range f.tables {
		if t.used < oldest { // no two were used at once
			oldest, key = t.used, k
		}
	}
	delete(f.tables, key)
}

func keyOf(request Request) string {
	key := make([]byte, 0, 12*len(request))
	for _, a := range request {
		key = binary.AppendUvarint(key, uint64(a.Resource))
		key = binary.AppendVarint(key, a.Quantity)
	}
	return string(key)
}

func (f *Fabric) slotsOn(r *record, request Request) int32 {
	slots := int64(MaxSlots)
	for _, a := range request {
		if a.Quantity <= 0 {
			continue
		}
		have := f.amount(r, a.Resource)
		if have < a.Quantity {
			return 0
		}
		slots = min(slots, have/a.Quantity)
	}
	return int32(slots)
}
