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
	seen  int // of the log
	used  int
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
	f.shortenLog()
	if t.seen < 0 {
		for i, r := range f.order {
			t.slots[i] = r.slots(request)
		}
	} else {
		for _, i := range f.log[t.seen:] {
			t.slots[i] = f.order[i].slots(request)
		}
	}
	t.seen = len(f.log)
	return t.slots
}

// shortenLog empties the log once walking over it costs more than walking over all nodes: who has not read it reads all.
func (f *Fabric) shortenLog() {
	if len(f.log) <= 2*len(f.order)+1024 {
		return
	}
	for _, t := range f.tables {
		if t.seen == len(f.log) {
			t.seen = 0
		} else {
			t.seen = -1
		}
	}
	f.log = f.log[:0]
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

func (r *record) slots(request Request) int32 {
	slots := int64(MaxSlots)
	for _, a := range request {
		if a.Quantity <= 0 {
			continue
		}
		have := r.amount(a.Resource)
		if have < a.Quantity {
			return 0
		}
		slots = min(slots, have/a.Quantity)
	}
	return int32(slots)
}
