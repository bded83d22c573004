// Package packed has the two formats in which small collections lie in one block:
// Redis' listpack and intset. See https://github.com/antirez/listpack for the first.
//
// The bytes are exactly those that Redis keeps and writes into its dumps, so that a block
// is loaded, saved, dumped and restored as it lies:
//
//	listpack  total u32 | elements u16 | element … | 0xFF
//	element   encoding and data | length of that, readable from its end
//	intset    bytes of a number (2, 4, 8) u32 | numbers u32 | numbers, ascending
//
// All numbers are little-endian. The number of elements in a listpack's header is 65535 when
// there are more than 65534: then they have to be counted.
//
// A block is a []byte of its exact length. Functions that change one work like append: in
// place if its capacity allows, and the result is what counts afterwards. An element that is
// put in must not lie in the block itself. Only Validate and IntsetValidate may be given bytes
// of unknown origin; all other functions take blocks that have passed them, and panic, if at
// all, as a slice does.
//
// The package imports nothing of this module.
package packed

import "math"

// maxDigits is how many digits an int64 can have. A uint64 holds as many without overflow.
const maxDigits = 19

// ParseInt returns the number whose canonical decimal text elem is: no plus sign, no spaces,
// no leading zeros, no -0, within int64. Only such a text can be kept as a number, since only
// it comes back as it was.
func ParseInt(elem []byte) (n int64, ok bool) {
	digits := elem
	negative := len(elem) > 0 && elem[0] == '-'
	if negative {
		digits = elem[1:]
	}
	if len(digits) == 0 || len(digits) > maxDigits {
		return 0, false
	}
	if digits[0] == '0' {
		return 0, len(elem) == 1
	}
	var u uint64
	for _, c := range digits {
		d := uint64(c - '0')
		if d > 9 {
			return 0, false
		}
		u = u*10 + d
	}
	if negative {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u <= math.MaxInt64
}
