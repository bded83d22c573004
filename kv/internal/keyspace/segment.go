package keyspace

import (
	"unsafe"

	"kvd/kv/internal/arena"
)

// Sizes of a segment in bytes.
const (
	headerSize = 64
	stepSize   = 1024
	maxSegment = 8192
)

// A slot: 48 bits of Ref, 15 of tag, 1 that says that the key expires. Zero is
// an empty slot.
const (
	tagBits  = 15
	refShift = 16
	tagMask  = (1<<tagBits - 1) << 1
	ttlBit   = 1
)

func makeSlot(ref arena.Ref, tag uint64, expires bool) uint64 {
	s := uint64(ref)<<refShift | tag<<1
	if expires {
		s |= ttlBit
	}
	return s
}

func slotRef(s uint64) arena.Ref { return arena.Ref(s >> refShift) }
func slotTag(s uint64) uint64    { return s & tagMask >> 1 }

// segment is the header of a segment, laid over its first 64 bytes.
type segment struct {
	slots    uint16 // in all
	homes    uint16 // of those, home positions; the rest takes what overflows
	count    uint16
	depth    uint8 // bits of the hash, after the shard's, that its keys share
	_        uint8
	expires  uint32
	_        uint32
	expireAt int64 // no key of the segment expires before; 0 if none expires
	_        [40]byte
}

// The layout is part of what a segment's size promises.
var _ = [1]struct{}{}[unsafe.Sizeof(segment{})-headerSize]

// seg is a segment with where it is.
type seg struct {
	*segment
	ref arena.Ref
}

func segmentAt(a *arena.Arena, ref arena.Ref) seg {
	return seg{(*segment)(a.Ptr(ref)), ref}
}

// table returns the slots.
func (s seg) table() []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Add(unsafe.Pointer(s.segment), headerSize)), int(s.slots))
}

// clocks returns the access clocks of the slots, see clock.go.
func (s seg) clocks(a *arena.Arena) []byte {
	return a.Side(s.ref+headerSize, int(s.slots)*8)
}

func (s seg) bytes() int { return headerSize + int(s.slots)*8 }

// limit returns how many keys a segment with so many home positions takes: 92 %.
func limit(homes int) int { return homes * 118 / 128 }

// overflow returns how many slots behind the last home position a segment of n
// slots has.
func overflow(n int) int { return min(8+n/24, 40) }

// sizeFor returns the bytes of the smallest segment that takes n keys and has
// some room for more.
func sizeFor(n int) int {
	for size := stepSize; size < maxSegment; size += stepSize {
		slots := (size - headerSize) / 8
		if limit(slots-overflow(slots)) > n {
			return size
		}
	}
	return maxSegment
}

// home returns the home position of a tag among so many.
func home(tag uint64, homes uint16) int { return int(tag * uint64(homes) >> tagBits) }

// first returns the position of the first slot whose tag is at least tag, or
// of the empty slot or the end where it would be.
func (s seg) first(t []uint64, tag uint64) int {
	want := tag << 1
	i := home(tag, s.homes)
	for i < len(t) && t[i] != 0 && t[i]&tagMask < want {
		i++
	}
	return i
}

// insert puts a slot with its clock where it belongs. It returns false if there
// is no room behind its home position.
func (s seg) insert(t []uint64, clk []byte, slot uint64, clock byte) bool {
	tag := slotTag(slot)
	i := s.first(t, tag)
	j := i
	for j < len(t) && t[j] != 0 {
		j++
	}
	if j == len(t) {
		return false
	}
	copy(t[i+1:j+1], t[i:j])
	copy(clk[i+1:j+1], clk[i:j])
	t[i], clk[i] = slot, clock
	s.count++
	return true
}

// remove takes the slot at i out and closes the gap.
func (s seg) remove(t []uint64, clk []byte, i int) {
	j := i + 1
	for j < len(t) && t[j] != 0 && home(slotTag(t[j]), s.homes) < j {
		j++
	}
	copy(t[i:j-1], t[i+1:j])
	copy(clk[i:j-1], clk[i+1:j])
	t[j-1] = 0
	s.count--
}

// noteExpiry lowers the bound of the segment's earliest expiry.
func (s seg) noteExpiry(at int64) {
	if at != 0 && (s.expireAt == 0 || at < s.expireAt) {
		s.expireAt = at
	}
}
