package packed

import (
	"encoding/binary"
	"errors"
	"slices"
)

const intsetHeader = 8 // width, numbers

// IntsetNew returns an empty intset.
func IntsetNew() []byte { return AppendIntset(nil) }

// AppendIntset appends an empty intset to dst, which has to be empty if it is to be worked on.
func AppendIntset(dst []byte) []byte {
	return append(dst, 2, 0, 0, 0, 0, 0, 0, 0)
}

// IntsetLen returns the number of numbers.
func IntsetLen(b []byte) int { return int(binary.LittleEndian.Uint32(b[4:])) }

// intsetWidth returns the bytes of each number: 2, 4 or 8.
func intsetWidth(b []byte) int { return int(b[0]) }

// widthOf returns the bytes that n needs.
func widthOf(n int64) int {
	switch {
	case fits(n, 16):
		return 2
	case fits(n, 32):
		return 4
	}
	return 8
}

// IntsetAt returns the i-th number, 0 <= i < IntsetLen.
func IntsetAt(b []byte, i int) int64 { return intAt(b, i, intsetWidth(b)) }

// intAt is IntsetAt for a width that may not be what the header says.
func intAt(b []byte, i, width int) int64 {
	p := b[intsetHeader+i*width:]
	switch width {
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(p)))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(p)))
	}
	return int64(binary.LittleEndian.Uint64(p))
}

// putIntAt is the way back.
func putIntAt(b []byte, i, width int, n int64) {
	p := b[intsetHeader+i*width:]
	switch width {
	case 2:
		binary.LittleEndian.PutUint16(p, uint16(n))
	case 4:
		binary.LittleEndian.PutUint32(p, uint32(n))
	default:
		binary.LittleEndian.PutUint64(p, uint64(n))
	}
}

// IntsetFind returns the index of n, or the one that it would have.
func IntsetFind(b []byte, n int64) (i int, ok bool) {
	width := intsetWidth(b)
	lo, hi := 0, IntsetLen(b)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		switch v := intAt(b, mid, width); {
		case v < n:
			lo = mid + 1
		case v > n:
			hi = mid
		default:
			return mid, true
		}
	}
	return lo, false
}

// IntsetAdd adds n, and says whether it was not there. A number that needs more bytes than those
// there are makes all of them wider.
func IntsetAdd(b []byte, n int64) (_ []byte, added bool) {
	at, ok := IntsetFind(b, n)
	if ok {
		return b, false
	}
	count, width := IntsetLen(b), intsetWidth(b)
	wide := max(width, widthOf(n))
	size := len(b)
	b = slices.Grow(b, intsetHeader+(count+1)*wide-size)[:intsetHeader+(count+1)*wide]
	if wide == width {
		from := intsetHeader + at*width
		copy(b[from+width:], b[from:size])
	} else {
		for i := count - 1; i >= 0; i-- { // from the end, so that nothing is written over
			to := i
			if i >= at {
				to++
			}
			putIntAt(b, to, wide, intAt(b, i, width))
		}
		b[0] = byte(wide)
	}
	putIntAt(b, at, wide, n)
	binary.LittleEndian.PutUint32(b[4:], uint32(count+1))
	return b, true
}

// IntsetDelete removes n, and says whether it was there. Numbers never become narrower.
func IntsetDelete(b []byte, n int64) (_ []byte, deleted bool) {
	i, ok := IntsetFind(b, n)
	if !ok {
		return b, false
	}
	from, width := intsetHeader+i*intsetWidth(b), intsetWidth(b)
	binary.LittleEndian.PutUint32(b[4:], uint32(IntsetLen(b)-1))
	return append(b[:from], b[from+width:]...), true
}

// What is wrong with an intset that IntsetValidate refuses.
var (
	errIntsetSize  = errors.New("intset: length differs from the header")
	errIntsetWidth = errors.New("intset: bad encoding")
	errIntsetOrder = errors.New("intset: numbers are not in order")
)

// IntsetValidate says whether bytes of unknown origin are an intset that the other functions
// can work on. It may be empty, and its numbers wider than needed.
func IntsetValidate(b []byte) error {
	if len(b) < intsetHeader {
		return errIntsetSize
	}
	width := binary.LittleEndian.Uint32(b)
	if width != 2 && width != 4 && width != 8 {
		return errIntsetWidth
	}
	count := uint64(binary.LittleEndian.Uint32(b[4:]))
	if uint64(len(b)) != intsetHeader+count*uint64(width) {
		return errIntsetSize
	}
	for i := 1; i < int(count); i++ {
		if IntsetAt(b, i-1) >= IntsetAt(b, i) {
			return errIntsetOrder
		}
	}
	return nil
}
