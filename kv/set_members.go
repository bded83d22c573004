package kv

import (
	"bytes"
	"hash/maphash"
)

// Members is a list of distinct byte strings in ordinary memory: what SUNION and its like
// collect before they store it. The zero Members is empty. Reset keeps the memory.
type Members struct {
	// Plain tells StoreSet to make no intset, even if all members are integers.
	Plain bool

	text    []byte
	ends    []int
	slots   []int32 // open addressing: 1 + the index of a member; 0 is free
	indexed int     // so many members, the first ones, are in slots
	seed    maphash.Seed
}

// Len returns the number of members.
func (m *Members) Len() int { return len(m.ends) }

// At returns the i-th member that was added. It is borrowed until the next Add or Reset.
func (m *Members) At(i int) []byte {
	from := 0
	if i > 0 {
		from = m.ends[i-1]
	}
	return m.text[from:m.ends[i]:m.ends[i]]
}

// Has tells whether member has been added.
func (m *Members) Has(member []byte) bool {
	if len(m.ends) == 0 {
		return false
	}
	m.index()
	return m.slots[m.find(member)] != 0
}

// Append adds a copy of member, which must not be there yet. Where nobody calls Add or Has, it costs
// no more than the copy.
func (m *Members) Append(member []byte) {
	m.text = append(m.text, member...)
	m.ends = append(m.ends, len(m.text))
}

// Add adds a copy of member, if there is none, and tells whether it did.
func (m *Members) Add(member []byte) bool {
	m.index()
	i := m.find(member)
	if m.slots[i] != 0 {
		return false
	}
	m.Append(member)
	m.slots[i], m.indexed = int32(len(m.ends)), len(m.ends)
	return true
}

// index makes room in slots for one more member, and enters those that Append has added.
func (m *Members) index() {
	if n := len(m.ends) + 1; 4*n > 3*len(m.slots) {
		if m.slots == nil {
			m.seed = maphash.MakeSeed()
		}
		size := max(16, 2*len(m.slots))
		for 4*n > 3*size {
			size *= 2
		}
		m.slots, m.indexed = make([]int32, size), 0
	}
	for ; m.indexed < len(m.ends); m.indexed++ {
		m.slots[m.find(m.At(m.indexed))] = int32(m.indexed + 1)
	}
}

// find returns the slot of member, or the free one where it belongs.
func (m *Members) find(member []byte) uint64 {
	mask := uint64(len(m.slots) - 1)
	i := maphash.Bytes(m.seed, member) & mask
	for m.slots[i] != 0 && !bytes.Equal(m.At(int(m.slots[i]-1)), member) {
		i = (i + 1) & mask
	}
	return i
}

// membersKept is the most memory in bytes that Reset keeps of each kind.
const membersKept = 1 << 20

// Reset forgets all members.
func (m *Members) Reset() {
	if cap(m.text) > membersKept || 8*cap(m.ends) > membersKept || 4*len(m.slots) > membersKept {
		*m = Members{}
		return
	}
	m.text, m.ends, m.indexed, m.Plain = m.text[:0], m.ends[:0], 0, false
	clear(m.slots)
}
