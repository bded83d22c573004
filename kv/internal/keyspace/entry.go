package keyspace

import (
	"encoding/binary"
	"unsafe"

	"kvd/kv/internal/arena"
)

// An entry is one block:
//
//	flags  1 byte   type (bits 0-3), encoding (4-5), expiry (6), external (7)
//	expiry 8 bytes  Unix milliseconds, little endian; only with flagExpiry
//	klen   varint
//	vlen   varint
//	key
//	value, or with flagExternal the 8-byte Ref of a block that holds it
const (
	flagExpiry   = 1 << 6
	flagExternal = 1 << 7
	typeMask     = 0x0f
	encShift     = 4
	encMask      = 3
)

// inlineMax is the longest value, in bytes, that stands in its entry. A longer
// one has a block of its own, so that changing the expiry or the end of the
// value need not copy it.
const inlineMax = 2048

// Entry is a look at an entry. Key and Value are borrowed from the arena.
type Entry struct {
	Kind     uint8 // type and encoding as the caller gave them
	ExpireAt int64 // Unix milliseconds, 0 if the key does not expire
	Key      []byte
	Value    []byte
	external arena.Ref // block of the value, or 0
	head     int       // bytes before the value
}

// Kind packs a type (0..15) and an encoding (0..3).
func Kind(typ, enc uint8) uint8 { return typ&typeMask | enc&encMask<<encShift }

// KindType returns the type that was packed into a kind.
func KindType(kind uint8) uint8 { return kind & typeMask }

// Types that mean something here; the others are the caller's affair.
const (
	typeString = 1
	typeHash   = 5
)

// HasTrees tells whether a value of that kind is the head of trees, whose nodes are
// blocks of the table's or of a heap of their own: strings with encoding 3, and what is
// no string with an odd one.
func HasTrees(kind uint8) bool {
	enc := kind >> encShift & encMask
	if kind&typeMask == typeString {
		return enc == 3
	}
	return enc&1 != 0
}

// extended tells whether a kind is that of a hash whose fields may expire, encoding 2 or
// 3: an older RDB version cannot have it.
func extended(kind uint8) bool { return kind&typeMask == typeHash && kind>>encShift&2 != 0 }

// Type returns the type that was packed into Kind.
func (e *Entry) Type() uint8 { return e.Kind & typeMask }

// Encoding returns the encoding that was packed into Kind.
func (e *Entry) Encoding() uint8 { return e.Kind >> encShift & encMask }

// uvarint reads a varint at p.
func uvarint(p unsafe.Pointer) (v uint64, n int) {
	b := *(*byte)(p)
	if b < 0x80 {
		return uint64(b), 1
	}
	v = uint64(b & 0x7f)
	for shift := 7; ; shift += 7 {
		n++
		b = *(*byte)(unsafe.Add(p, n))
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, n + 1
		}
	}
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// readEntry decodes the entry at ref into e. It allocates nothing and runs in
// the forked child too.
func readEntry(a *arena.Arena, ref arena.Ref, e *Entry) {
	p := a.Ptr(ref)
	flags := *(*byte)(p)
	off := 1
	e.ExpireAt = 0
	if flags&flagExpiry != 0 {
		e.ExpireAt = *(*int64)(unsafe.Add(p, 1))
		off = 9
	}
	klen, n := uvarint(unsafe.Add(p, off))
	off += n
	vlen, n := uvarint(unsafe.Add(p, off))
	off += n
	e.Kind = flags & (typeMask | encMask<<encShift)
	e.Key = unsafe.Slice((*byte)(unsafe.Add(p, off)), int(klen))[:klen:klen]
	off += int(klen)
	e.head = off
	e.external = 0
	v := unsafe.Add(p, off)
	if flags&flagExternal != 0 {
		e.external = arena.Ref(binary.LittleEndian.Uint64(unsafe.Slice((*byte)(v), 8)))
		v = a.Ptr(e.external)
	}
	e.Value = unsafe.Slice((*byte)(v), int(vlen))[:vlen:vlen]
}

// keyEquals tells whether the entry at ref has the given key.
func keyEquals(a *arena.Arena, ref arena.Ref, key []byte) bool {
	p := a.Ptr(ref)
	off := 1
	if *(*byte)(p)&flagExpiry != 0 {
		off = 9
	}
	klen, n := uvarint(unsafe.Add(p, off))
	if int(klen) != len(key) {
		return false
	}
	off += n
	for *(*byte)(unsafe.Add(p, off)) >= 0x80 { // skip vlen
		off++
	}
	off++
	return string(unsafe.Slice((*byte)(unsafe.Add(p, off)), int(klen))) == string(key)
}

// entrySize returns the bytes of an entry, and of them those before the value.
func entrySize(klen, vlen int, expires bool) (size, head int) {
	head = 1 + uvarintLen(uint64(klen)) + uvarintLen(uint64(vlen)) + klen
	if expires {
		head += 8
	}
	if vlen > inlineMax {
		return head + 8, head
	}
	return head + vlen, head
}

// writeHead writes all of an entry but its value.
func writeHead(dst []byte, kind uint8, key []byte, vlen int, expireAt int64) {
	flags := kind
	if vlen > inlineMax {
		flags |= flagExternal
	}
	off := 1
	if expireAt != 0 {
		flags |= flagExpiry
		binary.LittleEndian.PutUint64(dst[1:], uint64(expireAt))
		off = 9
	}
	dst[0] = flags
	off += binary.PutUvarint(dst[off:], uint64(len(key)))
	off += binary.PutUvarint(dst[off:], uint64(vlen))
	copy(dst[off:], key)
}

func setExpiry(a *arena.Arena, ref arena.Ref, at int64) {
	binary.LittleEndian.PutUint64(a.Bytes(ref+1, 8), uint64(at))
}

func putRef(dst []byte, ref arena.Ref) { binary.LittleEndian.PutUint64(dst, uint64(ref)) }
