package packed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
)

const (
	listHeader  = 6     // total, elements
	uncounted   = 65535 // in place of the number of elements: it was too large to write down
	minListpack = listHeader + 1
)

// NewListpack returns an empty listpack.
func NewListpack() []byte { return AppendNew(nil) }

// AppendNew appends an empty listpack to dst, which has to be empty if it is to be worked on:
// the form for scratch memory.
func AppendNew(dst []byte) []byte {
	return append(dst, minListpack, 0, 0, 0, 0, 0, endOfList)
}

// Bytes returns the length that the listpack's header states.
func Bytes(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }

// Len returns the number of elements. It walks through the listpack if there are 65535 or more.
func Len(b []byte) int {
	n := int(binary.LittleEndian.Uint16(b[4:]))
	if n != uncounted {
		return n
	}
	n = 0
	for at := First(b); at >= 0; at = Next(b, at) {
		n++
	}
	return n
}

// First returns the offset of the first element, -1 if there is none.
func First(b []byte) int { return orEnd(b, listHeader) }

// Last returns the offset of the last element, -1 if there is none.
func Last(b []byte) int { return before(b, len(b)-1) }

// Next returns the offset of the element after the one at offset at, -1 if there is none.
func Next(b []byte, at int) int { return orEnd(b, after(b, at)) }

// Prev returns the offset of the element before the one at offset at, -1 if there is none.
func Prev(b []byte, at int) int { return before(b, at) }

// orEnd returns at, or -1 if that is the end.
func orEnd(b []byte, at int) int {
	if b[at] == endOfList {
		return -1
	}
	return at
}

// after returns where the element at at ends.
func after(b []byte, at int) int {
	n := encodedLen(b[at:])
	return at + n + backLen(n)
}

// before returns where the element that ends at end begins, -1 if there is none.
func before(b []byte, end int) int {
	if end <= listHeader {
		return -1
	}
	n, _ := readBack(b[listHeader:end])
	return end - n - backLen(n)
}

// Seek returns the offset of the element with that index; -1 is the last one, -2 the one before
// it. It returns -1 if there is no such element. It comes from the nearer end.
func Seek(b []byte, index int) int {
	if n := int(binary.LittleEndian.Uint16(b[4:])); n != uncounted {
		if index < -n || index >= n {
			return -1
		}
		switch {
		case index >= 0 && index > n/2:
			index -= n
		case index < 0 && -index > n-n/2:
			index += n
		}
	}
	if index >= 0 {
		at := First(b)
		for ; index > 0 && at >= 0; index-- {
			at = Next(b, at)
		}
		return at
	}
	at := Last(b)
	for ; index < -1 && at >= 0; index++ {
		at = Prev(b, at)
	}
	return at
}

// Get returns the element at offset at.
func Get(b []byte, at int) Value { return decode(b[at:]) }

// Append adds an element at the end.
func Append(b, elem []byte) []byte {
	var e element
	e.encode(elem)
	return put(b, len(b)-1, len(b)-1, 1, &e)
}

// AppendInt adds a number at the end. It is the same as Append of its text.
func AppendInt(b []byte, n int64) []byte {
	var e element
	e.encodeInt(n)
	return put(b, len(b)-1, len(b)-1, 1, &e)
}

// Insert adds an element before the one at offset at; at the end if at is -1.
func Insert(b []byte, at int, elem []byte) []byte {
	if at < 0 {
		return Append(b, elem)
	}
	var e element
	e.encode(elem)
	return put(b, at, at, 1, &e)
}

// Replace puts elem in the place of the element at offset at, and leaves its offset as it is.
func Replace(b []byte, at int, elem []byte) []byte {
	var e element
	e.encode(elem)
	return put(b, at, after(b, at), 0, &e)
}

// ReplaceInt is Replace with a number.
func ReplaceInt(b []byte, at int, n int64) []byte {
	var e element
	e.encodeInt(n)
	return put(b, at, after(b, at), 0, &e)
}

// Delete removes n elements from offset at on, or as many as there are. What follows them is at
// offset at then.
func Delete(b []byte, at, n int) []byte {
	end, gone := at, 0
	for ; gone < n && b[end] != endOfList; gone++ {
		end = after(b, end)
	}
	b = append(b[:at], b[end:]...)
	account(b, -gone)
	return b
}

// put writes e in the place of the bytes from from to to, and adds more to the number of elements.
func put(b []byte, from, to, more int, e *element) []byte {
	n, size := len(b), e.size()
	if grow := size - (to - from); grow > 0 {
		b = slices.Grow(b, grow)[:n+grow]
		copy(b[to+grow:], b[to:n])
	} else if grow < 0 {
		copy(b[from+size:], b[to:])
		b = b[:n+grow]
	}
	e.put(b[from : from+size])
	account(b, more)
	return b
}

// account brings the header up to date: the length, and more elements than before. One that
// says uncounted stays so.
func account(b []byte, more int) {
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	if n := int(binary.LittleEndian.Uint16(b[4:])); n != uncounted {
		binary.LittleEndian.PutUint16(b[4:], uint16(min(n+more, uncounted)))
	}
}

// Find returns the offset of the first element that is equal to elem, -1 if there is none. It
// begins at offset from (-1: nowhere), and passes over skip elements after each that it looks at.
func Find(b []byte, from int, elem []byte, skip int) int {
	if from < 0 {
		return -1
	}
	n, isInt := ParseInt(elem)
	for at, passing := from, 0; b[at] != endOfList; {
		size := encodedLen(b[at:])
		if passing > 0 {
			passing--
		} else {
			if sameElement(b[at:at+size], elem, n, isInt) {
				return at
			}
			passing = skip
		}
		at += size + backLen(size)
	}
	return -1
}

// sameElement says whether enc is elem, which is the number n if isInt.
func sameElement(enc, elem []byte, n int64, isInt bool) bool {
	switch c := enc[0]; {
	case c >= enc6Str && c < enc13Int:
		return bytes.Equal(enc[1:], elem)
	case c >= enc12Str && c <= enc32Str:
		v := decode(enc)
		return bytes.Equal(v.Text, elem)
	}
	if !isInt {
		return false
	}
	v := decode(enc)
	return v.Int == n
}

// What is wrong with a listpack that Validate refuses.
var (
	errListSize   = errors.New("listpack: length differs from the header")
	errListEnd    = errors.New("listpack: no end mark")
	errListElem   = errors.New("listpack: bad element")
	errListBack   = errors.New("listpack: bad length after an element")
	errListLength = errors.New("listpack: number of elements differs from the header")
)

// Validate goes through bytes of unknown origin and returns the number of elements if they are
// a listpack that every other function can work on. It accepts numbers and strings that have
// been encoded longer than needed, as other writers may.
func Validate(b []byte) (elements int, err error) {
	if len(b) < minListpack || uint64(binary.LittleEndian.Uint32(b)) != uint64(len(b)) {
		return 0, errListSize
	}
	end := len(b) - 1
	if b[end] != endOfList {
		return 0, errListEnd
	}
	at := listHeader
	for at < end {
		size := encodedLen(b[at:end])
		if size == 0 || size > end-at {
			return 0, errListElem
		}
		next := at + size + backLen(size)
		if next > end {
			return 0, errListBack
		}
		if back, ok := readBack(b[at+size : next]); !ok || back != size {
			return 0, errListBack
		}
		at = next
		elements++
	}
	if n := int(binary.LittleEndian.Uint16(b[4:])); n != uncounted && n != elements {
		return 0, errListLength
	}
	return elements, nil
}
