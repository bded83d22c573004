package packed

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// The first byte of an element says what it is:
//
//	0xxxxxxx                     0 … 127
//	10llllll                     a string of up to 63 bytes
//	110xxxxx xxxxxxxx            a number of 13 bits
//	1110llll llllllll            a string of up to 4095 bytes
//	0xF0 length u32              a string
//	0xF1, 0xF2, 0xF3, 0xF4       a number of 16, 24, 32, 64 bits
const (
	enc6Str   = 0x80
	enc13Int  = 0xC0
	enc12Str  = 0xE0
	enc32Str  = 0xF0
	enc16Int  = 0xF1
	enc24Int  = 0xF2
	enc32Int  = 0xF3
	enc64Int  = 0xF4
	endOfList = 0xFF
)

const (
	max6Str  = 1<<6 - 1
	max12Str = 1<<12 - 1
)

// Value is an element: a string or a number.
type Value struct {
	Text  []byte // the string, borrowed from the block; nil for a number
	Int   int64
	IsInt bool
}

// Append appends the element as a string: a number as decimal text.
func (v *Value) Append(dst []byte) []byte {
	if v.IsInt {
		return strconv.AppendInt(dst, v.Int, 10)
	}
	return append(dst, v.Text...)
}

// Len returns the length of what Append appends.
func (v *Value) Len() int {
	if !v.IsInt {
		return len(v.Text)
	}
	n, u := 1, uint64(v.Int)
	if v.Int < 0 {
		n, u = 2, -u
	}
	for ; u > 9; u /= 10 {
		n++
	}
	return n
}

// Equal says whether Append would append elem.
func (v *Value) Equal(elem []byte) bool {
	if !v.IsInt {
		return bytes.Equal(v.Text, elem)
	}
	n, ok := ParseInt(elem)
	return ok && n == v.Int
}

// element is one that is about to be written: what is before its string's bytes, or all of a
// number, and how long both are together.
type element struct {
	head [9]byte
	n    int    // used of head
	text []byte // follows it
}

// encode chooses the encoding of elem as Redis does: a number if it is the canonical text of one.
func (e *element) encode(elem []byte) {
	if n, ok := ParseInt(elem); ok {
		e.encodeInt(n)
		return
	}
	e.text = elem
	switch n := len(elem); {
	case n <= max6Str:
		e.head[0] = enc6Str | byte(n)
		e.n = 1
	case n <= max12Str:
		e.head[0], e.head[1] = enc12Str|byte(n>>8), byte(n)
		e.n = 2
	default:
		e.head[0] = enc32Str
		binary.LittleEndian.PutUint32(e.head[1:], uint32(n))
		e.n = 5
	}
}

// encodeInt takes the shortest encoding of v.
func (e *element) encodeInt(v int64) {
	e.text = nil
	if v >= 0 && v <= 127 {
		e.head[0] = byte(v)
		e.n = 1
		return
	}
	if fits(v, 13) {
		e.head[0], e.head[1] = enc13Int|byte(v>>8)&0x1F, byte(v)
		e.n = 2
		return
	}
	binary.LittleEndian.PutUint64(e.head[1:], uint64(v))
	switch {
	case fits(v, 16):
		e.head[0], e.n = enc16Int, 3
	case fits(v, 24):
		e.head[0], e.n = enc24Int, 4
	case fits(v, 32):
		e.head[0], e.n = enc32Int, 5
	default:
		e.head[0], e.n = enc64Int, 9
	}
}

// fits says whether v is a signed number of that many bits.
func fits(v int64, bits uint) bool {
	return v>>(bits-1) == 0 || v>>(bits-1) == -1
}

// size is the length of the element with the length at its end.
func (e *element) size() int {
	n := e.n + len(e.text)
	return n + backLen(n)
}

// put writes the element to the beginning of b, which is long enough.
func (e *element) put(b []byte) {
	copy(b, e.head[:e.n])
	n := e.n + copy(b[e.n:], e.text)
	putBack(b[n:], n)
}

// backLen is the number of bytes that the length n takes at the end of an element. That
// 16383, 2097151 and so on take one more than they need is how Redis does it.
func backLen(n int) int {
	switch {
	case n <= 127:
		return 1
	case n < 1<<14-1:
		return 2
	case n < 1<<21-1:
		return 3
	case n < 1<<28-1:
		return 4
	}
	return 5
}

// putBack writes the length n so that it can be read from its end: 7 bits in each byte, the
// low ones last; the high bit of a byte says that there is one more before it.
func putBack(b []byte, n int) {
	k := backLen(n)
	for i := k - 1; i > 0; i-- {
		b[i] = byte(n)&0x7F | 0x80
		n >>= 7
	}
	b[0] = byte(n)
}

// readBack reads the length that ends with b. It is not ok if there is none.
func readBack(b []byte) (n int, ok bool) {
	for i, shift := len(b)-1, 0; i >= 0 && shift < 35; i, shift = i-1, shift+7 {
		n |= int(b[i]&0x7F) << shift
		if b[i]&0x80 == 0 {
			return n, true
		}
	}
	return 0, false
}

// encodedLen returns the length of the element that b begins with, without the length at its
// end; 0 if b is too short to say, or begins with no element.
func encodedLen(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	c := b[0]
	switch {
	case c < enc6Str:
		return 1
	case c < enc13Int:
		return 1 + int(c&max6Str)
	case c < enc12Str:
		return 2
	case c < enc32Str:
		if len(b) < 2 {
			return 0
		}
		return 2 + int(c&0x0F)<<8 + int(b[1])
	}
	switch c {
	case enc32Str:
		if len(b) < 5 {
			return 0
		}
		return 5 + int(binary.LittleEndian.Uint32(b[1:]))
	case enc16Int:
		return 3
	case enc24Int:
		return 4
	case enc32Int:
		return 5
	case enc64Int:
		return 9
	}
	return 0
}

// decode reads the element that b begins with.
func decode(b []byte) Value {
	c := b[0]
	switch {
	case c < enc6Str:
		return Value{Int: int64(c), IsInt: true}
	case c < enc13Int:
		n := 1 + int(c&max6Str)
		return Value{Text: b[1:n:n]}
	case c < enc12Str:
		v := int64(c&0x1F)<<8 | int64(b[1])
		return Value{Int: v << 51 >> 51, IsInt: true}
	case c < enc32Str:
		n := 2 + int(c&0x0F)<<8 + int(b[1])
		return Value{Text: b[2:n:n]}
	}
	var v int64
	switch c {
	case enc32Str:
		n := 5 + int(binary.LittleEndian.Uint32(b[1:]))
		return Value{Text: b[5:n:n]}
	case enc16Int:
		v = int64(int16(binary.LittleEndian.Uint16(b[1:])))
	case enc24Int:
		v = int64(b[1]) | int64(b[2])<<8 | int64(int8(b[3]))<<16
	case enc32Int:
		v = int64(int32(binary.LittleEndian.Uint32(b[1:])))
	default:
		v = int64(binary.LittleEndian.Uint64(b[1:]))
	}
	return Value{Int: v, IsInt: true}
}
